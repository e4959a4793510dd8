"""Robustness: a fine-tuning under a stressor beside the same one measured quietly, paired by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.row import PairedRatio, UnderStress
from tunebench.reports.records import OPERATING_POINTS, Stressed
from tunebench.reports.results.frames import pairs
from tunebench.reports.stats.paired import compare

_NO_QUIET = "its quiet row was not measured on this board"
_NO_BLOCK = "no block in which both this and its quiet row were measured"


def under_stress(cell: Cell, groups: Sequence[Cell], delta: float) -> UnderStress | None:
    """Return how a cell fares under its stressor against its quiet row; ``None`` for a cell that has none.

    Args:
        cell: the one that is asked for.
        groups: all cells of the run.
        delta: relative difference of times that does not matter.
    """
    stressor = cell.first.stressor
    if stressor is None:
        return None
    quiet = next((other for other in groups if _is_quiet_row(other, cell, stressor)), None)
    stressors = [rep.stressor for rep in cell.timed if rep.stressor is not None]
    return UnderStress(
        id=stressor.id,
        kind=stressor.kind,
        params=stressor.params,
        quiet_task=stressor.quiet_task,
        n_held=sum(entry.held for entry in stressors),
        figures=_figures([entry for entry in stressors if entry.held]),
        outcomes=dict(Counter(rep.outcome for rep in cell.timed)),
        time=_ratio(quiet, cell, "wall_s", delta),
        memory=_ratio(quiet, cell, "peak_rss_b", delta),
        host=_ratio(quiet, cell, "host_s", delta),
        quiet_wall_s=_median(quiet, "wall_s"),
        quiet_peak_rss_b=_median(quiet, "peak_rss_b"),
        missing=None if stressor.kind in OPERATING_POINTS else _why_no_ratio(quiet, cell),
    )


def _is_quiet_row(other: Cell, cell: Cell, stressor: Stressed) -> bool:
    """Tell whether a cell is what another is without its stressor: all the rest is equal."""
    quiet, stressed = other.first, cell.first
    names = ("board_id", "label", "engine", "engine_build", "device", "threads", "dtype", "power_mode")
    alike = all(getattr(quiet, name) == getattr(stressed, name) for name in names)
    return alike and quiet.stressor is None and quiet.task == stressor.quiet_task


def _ratio(quiet: Cell | None, cell: Cell, column: str, delta: float) -> PairedRatio | None:
    """Return the cell's values over those of its quiet row; ``None`` where no block has both."""
    if quiet is None:
        return None
    values = pairs(quiet.counted, cell.counted, column, across=("task",))
    if values.empty:
        return None
    comparison = compare(values["baseline"].tolist(), values["candidate"].tolist(), delta=delta)
    return PairedRatio(
        comparison.ratio,
        comparison.low,
        comparison.high,
        comparison.interval,
        comparison.confidence,
        comparison.n,
    )


def _why_no_ratio(quiet: Cell | None, cell: Cell) -> str | None:
    if quiet is None:
        return _NO_QUIET
    return _NO_BLOCK if pairs(quiet.counted, cell.counted, across=("task",)).empty else None


def _median(quiet: Cell | None, column: str) -> float | None:
    values = quiet.counted[column].dropna().tolist() if quiet is not None else []
    return median(values) if values else None


def _figures(held: Sequence[Stressed]) -> dict[str, float]:
    """Return the median of each figure that was read back: at the end where it was read then, else at the start."""
    values: dict[str, list[float]] = {}
    for entry in held:
        for name, value in {**(entry.applied or {}), **(entry.verified or {})}.items():
            values.setdefault(name, []).append(value)
    return {name: median(each) for name, each in values.items()}
