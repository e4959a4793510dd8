"""Seconds measured on a board, accounted in pytest-benchmark through its public interface only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tunebench.harness.planning import attempts
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition


class ReplayClock:
    """A timer that stands still but for the seconds a board has reported.

    pytest-benchmark takes the difference of two calls around the measured function; the setup sets the clock to
    0.0 and the function sets it to the board's seconds, so the difference is those seconds, bit for bit.
    """

    # pytest-benchmark writes these into its JSON as options.timer.
    __module__ = "tunebench.clock"
    __name__ = "board_monotonic"

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def replay(benchmark: Any, clock: ReplayClock, seconds: Sequence[float]) -> None:
    """Replay repetitions as rounds of one iteration."""
    rounds: Iterator[float] = iter(seconds)

    def reset() -> None:
        clock.now_s = 0.0

    def measured() -> None:
        clock.now_s = next(rounds)

    benchmark.pedantic(measured, setup=reset, rounds=len(seconds), iterations=1)


@dataclass(frozen=True)
class Result:
    """What a board measured for one workload: the timed repetitions, in the order of their blocks."""

    records: tuple[Repetition, ...]

    @property
    def usable(self) -> tuple[Repetition, ...]:
        """Repetitions that ended well and are not invalid."""
        return tuple(one for one in self.records if one.outcome == "ok" and one.verdict != "invalid")

    @property
    def seconds(self) -> list[float]:
        """Board seconds of each usable repetition."""
        return [one.wall_s for one in self.usable if one.wall_s is not None]

    @property
    def quality_before(self) -> float | None:
        """Mean over the usable repetitions."""
        return _mean([one.quality.before for one in self.usable])

    @property
    def quality_after(self) -> float | None:
        """Mean over the usable repetitions."""
        return _mean([one.quality.after for one in self.usable])

    @property
    def peak_rss_b(self) -> int | None:
        """The largest of the usable repetitions."""
        return max((one.peak_rss_b for one in self.usable if one.peak_rss_b is not None), default=None)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


class Mailbox:
    """Where the boards' threads put records and the tests wait for theirs."""

    def __init__(self, planned: Sequence[Planned]) -> None:
        self._expected: dict[tuple[str, str, str], int] = {}
        for one in planned:
            if one.role == "timed":
                key = (one.board_id, *one.workload.key)
                self._expected[key] = self._expected.get(key, 0) + 1
        self._records: dict[tuple[str, str, str], list[Repetition]] = {}
        self._ended: set[str] = set()
        self._changed = threading.Condition()

    def put(self, record: Repetition) -> None:
        """A record is on disk."""
        with self._changed:
            if record.role == "timed":
                self._records.setdefault((record.board_id, record.task, record.label), []).append(record)
            self._changed.notify_all()

    def close(self, board_id: str) -> None:
        """Nothing more will come from this board."""
        with self._changed:
            self._ended.add(board_id)
            self._changed.notify_all()

    def wait(self, board_id: str, task: str, label: str, skipped: Callable[[], str | None]) -> Result:
        """Block until all repetitions of a workload are there, or the board's queue is over."""
        key = (board_id, task, label)
        with self._changed:
            while True:
                records = self._records.get(key, [])
                final = [one for one in records if not attempts.to_be_repeated(one)]
                if len(final) >= self._expected.get(key, 0) or board_id in self._ended or skipped():
                    return Result(tuple(sorted(records, key=lambda one: one.block)))
                # A bound, so that Ctrl-C is noticed.
                self._changed.wait(0.5)
