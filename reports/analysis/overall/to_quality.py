"""What a method takes to reach the baseline's quality: seconds, joules, steps, and the same against the baseline's."""

from __future__ import annotations

from collections.abc import Mapping

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.quantities import values
from tunebench.reports.analysis.row import NoTarget, Reached, ReachedAgainst, ToTarget
from tunebench.reports.stats.sample import median_interval
from tunebench.reports.stats.time_to_accuracy import (
    ToQuality,
    compare_to_quality,
    to_quality,
    value_at_quality,
)


def quality_target(base: Cell | None, given: float | None, delta_points: float) -> tuple[float, str] | None:
    """Return (target, source): the suite's target, else the baseline's median final quality less the tolerance."""
    if given is not None:
        return given, "the suite's target"
    ends = [rep.quality.curve[-1][2] for rep in base.instrumented if rep.quality.curve] if base else []
    if base is None or not ends:
        return None
    target = median_interval(ends).median - delta_points / 100
    return target, f"where {base.first.label} ends, less {delta_points:g} points"


def reach(
    cell: Cell, base: Cell | None, target: tuple[float, str] | None, delta: float
) -> ToTarget | NoTarget:
    """Return the seconds and joules that a cell's instrumented repetitions took to reach the target.

    Runs that never reached it are counted as such.
    """
    runs = _runs(cell)
    if target is None or not runs:
        return NoTarget()
    level, source = target
    seconds = {block: value_at_quality(times, marks, level) for block, (times, marks) in runs.items()}
    joules, energy_missing = _joules(cell, runs, seconds)
    against = None
    theirs = {b: value_at_quality(t, m, level) for b, (t, m) in _runs(base).items()} if base else {}
    blocks = sorted(b for b in set(seconds) & set(theirs) if seconds[b] != 0 and theirs[b] != 0)
    if base is not None and base is not cell and blocks:
        pair = compare_to_quality([theirs[b] for b in blocks], [seconds[b] for b in blocks], delta=delta)
        against = ReachedAgainst(pair.ratio, pair.low, pair.high, pair.verdict, pair.n, pair.neither)
    return ToTarget(
        target=level,
        target_source=source,
        missing=None,
        time_s=_reached(to_quality(list(seconds.values()))),
        energy_j=_reached(to_quality(joules)) if joules else None,
        energy_missing=energy_missing,
        against_baseline=against,
        steps=_steps(cell, level),
    )


def _runs(cell: Cell) -> dict[int, tuple[list[float], list[float]]]:
    """Return, by block, the training seconds and qualities at each mark of the instrumented repetition."""
    return {
        rep.block: ([point[1] for point in rep.quality.curve], [point[2] for point in rep.quality.curve])
        for rep in cell.instrumented
        if rep.quality.curve
    }


def _steps(cell: Cell, level: float) -> Reached | None:
    """Return the steps to the target: a curve has a point for each epoch, and each has as many steps."""
    runs = [rep for rep in cell.instrumented if rep.quality.curve]
    if not runs or any(not rep.steps for rep in runs):
        return None
    reached: list[float | None] = []
    for rep in runs:
        curve = rep.quality.curve or []
        epoch = value_at_quality([point[0] for point in curve], [point[2] for point in curve], level)
        reached.append(None if epoch is None else epoch * (rep.steps or 0) / curve[-1][0])
    return _reached(to_quality(reached))


def _joules(
    cell: Cell, runs: Mapping[int, tuple[list[float], list[float]]], seconds: Mapping[int, float | None]
) -> tuple[list[float | None], str | None]:
    """Return the joules to the target: the cell's median of a whole fine-tuning times the share of training needed.

    Marks cost energy, so joules come from unmarked repetitions; that power is even over the training is assumed.
    """
    known = values(cell, "energy")
    if not known.by_source:
        return [], known.missing
    total_j = median_interval(list(next(iter(known.by_source.values())).values())).median
    shares = [
        None if at is None else at / runs[block][0][-1]
        for block, at in seconds.items()
        if runs[block][0][-1] > 0
    ]
    return [None if share is None else total_j * share for share in shares], None


def _reached(result: ToQuality) -> Reached:
    return Reached(
        n=result.n,
        reached=result.reached,
        median=result.median,
        low=result.low,
        high=result.high,
        interval=result.kind,
        olympic=result.olympic,
    )
