"""What the CPU counted in the windows of a cell: instructions, cycles and cache misses of one fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import Instructions
from tunebench.reports.analysis.within.spreads import spread
from tunebench.reports.records import Pmu, Repetition


def instructions(used: Sequence[Repetition]) -> Instructions | None:
    """Return medians over a cell's repetitions; None where none of them counted anything."""
    counted = [(rep, rep.pmu) for rep in used if rep.pmu is not None]
    if not counted:
        return None
    values = [(rep, pmu) for rep, pmu in counted if pmu.instructions]
    # Steps are those of one fine-tuning, as the counts are.
    per_step = [
        pmu.instructions / pmu.repeats / rep.steps for rep, pmu in values if pmu.instructions and rep.steps
    ]
    return Instructions(
        n=len(counted),
        instructions=spread(_of_one(pmu, pmu.instructions) for _, pmu in counted),
        per_step=spread(per_step),
        cycles=spread(_of_one(pmu, pmu.cycles) for _, pmu in counted),
        ipc=spread(pmu.instructions / pmu.cycles for _, pmu in values if pmu.instructions and pmu.cycles),
        cache_misses=spread(_of_one(pmu, pmu.cache_misses) for _, pmu in counted),
        running=min(pmu.running for _, pmu in counted),
    )


def _of_one(pmu: Pmu, count: int | None) -> float | None:
    return None if count is None else count / pmu.repeats
