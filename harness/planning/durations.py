"""Predict how long repetitions take, from earlier runs of the same results root and from those of this run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tunebench.harness.planning.repetition import DurationKey, Planned, key_of
from tunebench.reports.results import ResultsError, RunReader

#: Older runs say little about tonight.
_RECENT_RUNS = 5


def durations_below(root: Path, lab: str) -> dict[DurationKey, float]:
    """Return the median host seconds of each kind of repetition over the newest runs of a lab.

    Runs that cannot be read are passed over.

    Args:
        root: folder of results.
        lab: name of the lab.
    """
    plans = sorted((root / lab).glob("*/*/*/*/plan.json"), key=lambda path: path.parent.name, reverse=True)
    durations_s: dict[DurationKey, list[float]] = {}
    for path in plans[:_RECENT_RUNS]:
        try:
            reader = RunReader(path.parent, check=False)
        except (ResultsError, OSError):
            continue
        for record in reader.repetitions:
            if record.host_s is not None and record.outcome == "ok":
                durations_s.setdefault(key_of(record), []).append(record.host_s)
    return {key: median(values) for key, values in durations_s.items()}


#: Host seconds by kind of repetition. They hold all that a repetition costs on top of its fine-tuning.
Durations = Mapping[DurationKey, float]


@dataclass(frozen=True)
class Estimate:
    """Predicted seconds of a board's queue.

    Attributes:
        known_s: seconds of the repetitions with a history.
        n_known: how many these are.
        n_unknown: repetitions of which nothing is known.
        least_s: seconds of energy and idle repetitions without a history: their windows are known beforehand.
    """

    known_s: float
    n_known: int
    n_unknown: int
    least_s: float = 0.0

    @property
    def total_s(self) -> float | None:
        """Return the seconds of all, unknown ones at the mean of the known; ``None`` without any history."""
        if not self.n_known:
            return None if self.n_unknown or not self.least_s else self.least_s
        return self.known_s * (self.n_known + self.n_unknown) / self.n_known + self.least_s


def estimate(repetitions: Iterable[Planned], durations: Durations) -> Estimate:
    """Sum the predicted host seconds of repetitions."""
    known_s, least_s, n_known, n_unknown = 0.0, 0.0, 0, 0
    for planned in repetitions:
        seconds = durations.get(planned.duration_key)
        if seconds is not None:
            known_s += seconds
            n_known += 1
        elif planned.least_s:
            # Before its window it loads what a timed repetition loads.
            least_s += planned.least_s + (durations.get((planned.board_id, *planned.workload.key, "")) or 0.0)
        else:
            n_unknown += 1
    return Estimate(known_s, n_known, n_unknown, least_s)


class Stopwatch:
    """Learn durations while repetitions finish; safe to use from several threads.

    Args:
        history: durations of earlier runs; those of this run come before them.
    """

    def __init__(self, history: dict[DurationKey, float] | None = None) -> None:
        self._durations_s: dict[DurationKey, list[float]] = {}
        self._history = dict(history or {})
        self._lock = threading.Lock()

    def learn(self, planned: Planned, host_s: float) -> None:
        """Note how many host seconds a repetition took."""
        with self._lock:
            self._durations_s.setdefault(planned.duration_key, []).append(host_s)

    def durations(self) -> dict[DurationKey, float]:
        """Return the median host seconds of each kind of repetition."""
        with self._lock:
            learnt = {key: sorted(values)[len(values) // 2] for key, values in self._durations_s.items()}
        return {**self._history, **learnt}
