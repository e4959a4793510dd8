"""Tell now and then how far the boards are: a quiet session of hours must not look like one that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tunebench.harness.campaign.progress import clock
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition

#: Seconds between two lines, and before the first.
EVERY_S = 30.0
FIRST_S = 10.0
#: So many boards are named with what runs on them.
_MOST_NAMED = 3


class Progress:
    """What runs where and how much is done, told in one line every :data:`EVERY_S` seconds; safe to use from threads.

    Args:
        tell: shows a line.
        total: planned repetitions.
        done: those of them that are on disk already.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        total: int,
        done: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell, self._now = tell, now
        self._total, self._done = total, done
        self._running: dict[str, str] = {}
        self._over_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._due_s = now() + FIRST_S

    def left_out(self, count: int) -> None:
        """Note that so many planned repetitions will not run."""
        with self._lock:
            self._total -= count

    def joined(self, count: int) -> None:
        """Note that so many repetitions have been planned on another board."""
        with self._lock:
            self._total += count

    def started(self, planned: Planned, left_s: float | None) -> None:
        """Note that a repetition starts; ``left_s`` predicts the rest of its board's queue (None: no history)."""
        with self._lock:
            self._running[planned.board_id] = f"{planned.workload.task} {planned.workload.label}"
            if left_s is not None:
                self._over_s[planned.board_id] = self._now() + left_s

    def finished(self, record: Repetition) -> None:
        """Note that a record is on disk."""
        with self._lock:
            self._done += record.attempt == 1
        self.tick()

    def ended(self, board_id: str) -> None:
        """Note that a board's queue is over."""
        with self._lock:
            self._running.pop(board_id, None)
            self._over_s.pop(board_id, None)

    def tick(self) -> None:
        """Tell how far it is, if the last line is long enough ago."""
        with self._lock:
            if self._now() < self._due_s or not self._running:
                return
            self._due_s = self._now() + EVERY_S
            line = self._line()
        self._tell(line)

    def _line(self) -> str:
        parts = [f"{self._done} of {self._total} repetitions"]
        # Boards run in parallel: the slowest one decides; where one of them has no history, nothing is claimed.
        if self._running.keys() <= self._over_s.keys():
            parts.append(f"about {clock(max(self._over_s.values()) - self._now())} left")
        named = [f"{board_id}: {what}" for board_id, what in sorted(self._running.items())]
        more = len(named) - _MOST_NAMED
        parts.append("; ".join(named[:_MOST_NAMED]) + (f"; and {more} more boards" if more > 0 else ""))
        return ", ".join(parts)
