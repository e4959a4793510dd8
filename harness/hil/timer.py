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
    """A timer that moves only by the seconds that a board has reported.

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
    """Replay measured seconds in pytest-benchmark, as rounds of one iteration each.

    ``--benchmark-cprofile`` calls the function once more, or as often as ``--benchmark-cprofile-loops`` says, after the
    rounds: there is nothing left to replay then, and the profile is that of nothing.
    """
    rounds: Iterator[float] = iter(seconds)

    def reset() -> None:
        clock.now_s = 0.0

    def measured() -> None:
        clock.now_s = next(rounds, clock.now_s)

    benchmark.pedantic(measured, setup=reset, rounds=len(seconds), iterations=1)


@dataclass(frozen=True)
class Result:
    """What a board measured for one workload: the timed repetitions, in the order of their blocks."""

    records: tuple[Repetition, ...]

    @property
    def usable(self) -> tuple[Repetition, ...]:
        """Return the repetitions that ended well and are not invalid."""
        return tuple(
            record for record in self.records if record.outcome == "ok" and record.verdict != "invalid"
        )

    @property
    def seconds(self) -> list[float]:
        """Return the board's seconds of each usable repetition."""
        return [record.wall_s for record in self.usable if record.wall_s is not None]

    @property
    def quality_before(self) -> float | None:
        """Return the mean quality before training over the usable repetitions, 0..1; None if none has one."""
        return _mean([record.quality.before for record in self.usable])

    @property
    def quality_after(self) -> float | None:
        """Return the mean quality after training over the usable repetitions, 0..1; None if none has one."""
        return _mean([record.quality.after for record in self.usable])

    @property
    def peak_rss_b(self) -> int | None:
        """Return the largest peak memory of the usable repetitions, bytes; None if none has one."""
        return max(
            (record.peak_rss_b for record in self.usable if record.peak_rss_b is not None), default=None
        )


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


class Mailbox:
    """A store into which the boards' threads put records, and in which tests wait for theirs."""

    def __init__(self, planned: Sequence[Planned]) -> None:
        self._expected: dict[tuple[str, str, str], int] = {}
        self._records: dict[tuple[str, str, str], list[Repetition]] = {}
        self._ended: set[str] = set()
        self._changed = threading.Condition()
        self.expect(planned)

    def expect(self, planned: Sequence[Planned]) -> None:
        """Expect the records of these, too."""
        with self._changed:
            for repetition in planned:
                if repetition.role == "timed":
                    key = (repetition.board_id, *repetition.workload.key)
                    self._expected[key] = self._expected.get(key, 0) + 1

    def put(self, record: Repetition) -> None:
        """Hand over a record that is on disk."""
        with self._changed:
            if record.role == "timed":
                self._records.setdefault((record.board_id, record.task, record.label), []).append(record)
            self._changed.notify_all()

    def close(self, board_id: str) -> None:
        """Note that no more records will come from this board."""
        with self._changed:
            self._ended.add(board_id)
            self._changed.notify_all()

    def wait(self, board_id: str, task: str, label: str, skipped: Callable[[], str | None]) -> Result:
        """Block until all repetitions of a workload are there, or the board's queue is over."""
        key = (board_id, task, label)
        with self._changed:
            while True:
                records = self._records.get(key, [])
                final = [record for record in records if not attempts.to_be_repeated(record)]
                if len(final) >= self._expected.get(key, 0) or board_id in self._ended or skipped():
                    return Result(tuple(sorted(records, key=lambda record: record.block)))
                # A bound, so that Ctrl-C is noticed.
                self._changed.wait(0.5)
