"""How long repetitions took in earlier runs of the same results root: what an ETA may be claimed from."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from tunebench.harness.plan import DurationKey, key_of
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
