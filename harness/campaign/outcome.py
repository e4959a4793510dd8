"""Count what a campaign has measured and what it leaves out and why; the boards' threads fill it in while it runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from tunebench.harness.config.suite import Workload
from tunebench.harness.planning.repetition import Planned, covers
from tunebench.reports.records import Repetition, Skip


class CampaignOutcome:
    """Counts and skips of a campaign; safe to use from several threads.

    Attributes:
        counts: records by outcome, and by ``verdict:NAME``.
        skipped: what is left out, of the plan and found out since.
        given_up: board id -> why the rest of its queue is left out.
        interrupted: whether the user asked to stop.

    Args:
        skipped: what the plan leaves out.
        leave_out_missing: skip boards that were never reached for good, so that the run can be completed without them.
    """

    def __init__(self, skipped: tuple[Skip, ...] = (), *, leave_out_missing: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.skipped: list[Skip] = list(skipped)
        self.given_up: dict[str, str] = {}
        self.interrupted = False
        self._leave_out_missing = leave_out_missing
        self._skips: dict[str, dict[tuple[str, str], str]] = {}
        self._lock = threading.Lock()

    def count(self, record: Repetition) -> None:
        """Count a record that is on disk."""
        with self._lock:
            self.counts[record.outcome] += 1
            self.counts[f"verdict:{record.verdict}"] += 1

    def skip(self, board_id: str, workload: Workload, reason: str) -> None:
        """Leave a workload out on a board."""
        with self._lock:
            self._skips.setdefault(board_id, {})[workload.key] = reason
            skip = Skip(board_id=board_id, label=workload.label, task=workload.task, reason=reason)
            if skip not in self.skipped:
                self.skipped.append(skip)

    def leave_out(self, skips: Iterable[Skip]) -> None:
        """Leave out what nobody misses: what follows a decision, or was left out before blocks were added."""
        with self._lock:
            self.skipped.extend(skip for skip in skips if skip not in self.skipped)

    def skip_role(self, skip: Skip) -> None:
        """Leave a board's repetitions of one role out."""
        with self._lock:
            self.skipped.append(skip)

    def give_up(self, board_id: str, reason: str, *, begun: bool) -> bool:
        """Leave the rest of a board's queue out; return whether it stays open, so that the run can be resumed.

        Args:
            board_id: the board.
            reason: why.
            begun: whether something was started on it. It may hold a finished repetition then, so its queue stays open
                whatever was asked: nothing is lost.
        """
        with self._lock:
            self.given_up[board_id] = reason
            closed = self._leave_out_missing and not begun
            if closed:
                self.skipped.append(Skip(board_id=board_id, reason=reason))
            return not closed

    def left_out_reason(self, board_id: str) -> str | None:
        """Return why a whole board is left out; None: it is not."""
        with self._lock:
            whole = (skip for skip in self.skipped if skip.board_id == board_id and skip.of_whole_board)
            return next((skip.reason for skip in whole), None)

    def is_skipped(self, planned: Planned) -> bool:
        """Tell whether a repetition is left out."""
        with self._lock:
            return any(covers(skip, planned) for skip in self.skipped)

    def skip_reason(self, board_id: str, workload: Workload) -> str | None:
        """Return why a workload was not run on a board, once that is known."""
        with self._lock:
            if board_id in self.given_up:
                return self.given_up[board_id]
            reason = self._skips.get(board_id, {}).get(workload.key)
        return reason if reason is not None else self.left_out_reason(board_id)
