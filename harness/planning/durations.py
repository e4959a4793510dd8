"""How long repetitions took in earlier runs of the same results root: what an ETA may be claimed from."""

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
    """Median host seconds by board, task, label and kind of repetition over the newest runs of ``lab``."""
    plans = sorted((root / lab).glob("*/*/*/*/plan.json"), key=lambda path: path.parent.name, reverse=True)
    seen: dict[DurationKey, list[float]] = {}
    for path in plans[:_RECENT_RUNS]:
        try:
            reader = RunReader(path.parent, check=False)
        except (ResultsError, OSError):
            continue
        for record in reader.repetitions:
            if record.host_s is not None and record.outcome == "ok":
                seen.setdefault(key_of(record), []).append(record.host_s)
    return {key: median(values) for key, values in seen.items()}


#: What one repetition costs on top of its fine-tuning is learnt from history; without any, nothing is claimed.
Durations = Mapping["DurationKey", float]


@dataclass(frozen=True)
class Estimate:
    """Predicted seconds of a board's queue.

    Attributes:
        known_s: of those with a history.
        least_s: of energy and idle repetitions without one: their windows are known beforehand.
        n_unknown: the others have no history and are not guessed one by one.
    """

    known_s: float
    n_known: int
    n_unknown: int
    least_s: float = 0.0

    @property
    def total_s(self) -> float | None:
        """All of it, unknown ones at the mean of the known; ``None`` without any history."""
        if not self.n_known:
            return None if self.n_unknown or not self.least_s else self.least_s
        return self.known_s * (self.n_known + self.n_unknown) / self.n_known + self.least_s


def estimate(repetitions: Iterable[Planned], durations: Durations) -> Estimate:
    """Sum predicted host seconds."""
    known_s, least_s, n_known, n_unknown = 0.0, 0.0, 0, 0
    for one in repetitions:
        seconds = durations.get(one.duration_key)
        if seconds is not None:
            known_s += seconds
            n_known += 1
        elif one.least_s:
            # Before its window it loads what a timed one loads.
            least_s += one.least_s + (durations.get((one.board_id, *one.workload.key, "")) or 0.0)
        else:
            n_unknown += 1
    return Estimate(known_s, n_known, n_unknown, least_s)


class Stopwatch:
    """Median host seconds by board, task, label and kind, learnt as repetitions finish."""

    def __init__(self, history: dict[DurationKey, float] | None = None) -> None:
        self._seen: dict[DurationKey, list[float]] = {}
        self._history = dict(history or {})
        self._lock = threading.Lock()

    def learn(self, planned: Planned, host_s: float) -> None:
        with self._lock:
            self._seen.setdefault(planned.duration_key, []).append(host_s)

    def durations(self) -> dict[DurationKey, float]:
        with self._lock:
            learnt = {key: sorted(values)[len(values) // 2] for key, values in self._seen.items()}
        return {**self._history, **learnt}
