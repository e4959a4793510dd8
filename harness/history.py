"""How long repetitions took in earlier runs of the same results root: what an ETA may be claimed from."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from reports.results import ResultsError, RunReader

#: Older runs say little about tonight.
_RECENT_RUNS = 5


def durations_below(root: Path, lab: str) -> dict[tuple[str, str, str], float]:
    """Median host seconds by (board, task, label) over the newest runs of ``lab``; empty without any."""
    plans = sorted((root / lab).glob("*/*/*/*/plan.json"), key=lambda path: path.parent.name, reverse=True)
    seen: dict[tuple[str, str, str], list[float]] = {}
    for path in plans[:_RECENT_RUNS]:
        try:
            reader = RunReader(path.parent, check=False)
        except (ResultsError, OSError):
            continue
        for record in reader.repetitions:
            if record.host_s is not None and record.outcome == "ok":
                seen.setdefault((record.board_id, record.task, record.label), []).append(record.host_s)
    return {key: median(values) for key, values in seen.items()}
