"""Quality at a budget: the best that a method reaches within seconds, bytes or joules that a task's methods share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.energy import SCOPES
from tunebench.reports.analysis.overall.budgets import best_within, memory_budgets, round_budgets
from tunebench.reports.analysis.quantities import Source, values
from tunebench.reports.analysis.row import AtBudget, Budgets, Median
from tunebench.reports.records import Repetition
from tunebench.reports.stats.sample import median_interval

_NO_CURVE = "no instrumented repetition tells its quality on the way"
_NOTHING_YET = "no quality is known that early"
_OTHER_SENSOR = "not measured by the sensor that the others have"
_NO_SENSOR = "joules were not measured"


@dataclass(frozen=True)
class _Total:
    """What a cell's whole fine-tuning takes; None: not measured.

    Attributes:
        time_s: of training, evaluations on the way left out; median over the curves.
        peak_b: the highest of its repetitions: what fits must fit every time.
        energy_j: median, by the sensor that most cells of the task have.
    """

    time_s: float | None
    peak_b: float | None
    energy_j: float | None


def at_budgets(cell: Cell, task: Sequence[Cell], given: Mapping[str, Sequence[float]]) -> Budgets:
    """Return the best quality of a cell within each budget that its task's cells share.

    Budgets are the suite's; of a kind that it does not name they are rounded up from what those cells take as a whole, so
    that each is just enough for one of them at least.

    Args:
        cell: the one that is asked for.
        task: all cells of its board and task, itself included.
        given: the suite's budgets by key of a record: ``wall_s``, ``peak_rss_b``, ``energy_j``.
    """
    runs = [rep for rep in cell.instrumented if rep.quality.curve]
    if not runs:
        reasons = (rep.missing.get("quality") for rep in [*cell.instrumented, *cell.usable])
        return Budgets(next((reason for reason in reasons if reason), _NO_CURVE), [])
    source = _shared_source(task)
    totals = [_total_of(other, source) for other in task]
    own_total = _total_of(cell, source)
    times_s = given.get("wall_s") or round_budgets(
        total.time_s for total in totals if total.time_s is not None
    )
    peaks_b = given.get("peak_rss_b") or memory_budgets(
        total.peak_b for total in totals if total.peak_b is not None
    )
    joules = given.get("energy_j") or round_budgets(
        total.energy_j for total in totals if total.energy_j is not None
    )
    within = [_by_curve(runs, "time", budget, 1.0) for budget in times_s]
    within += [_by_memory(runs, own_total.peak_b, budget) for budget in peaks_b]
    unknown = _OTHER_SENSOR if source is not None else _NO_SENSOR
    within += [_by_energy(runs, own_total.energy_j, budget, unknown) for budget in joules]
    return Budgets(None, within)


def _shared_source(task: Sequence[Cell]) -> Source | None:
    """Return the sensor that most cells were measured by; of several, repeated windows first, then the widest."""
    having = Counter(source for cell in task for source in values(cell, "energy").by_source)
    best = sorted(
        having, key=lambda source: (-having[source], not source.repeated, SCOPES.index(source.scope))
    )
    return best[0] if best else None


def _total_of(cell: Cell, source: Source | None) -> _Total:
    ends = [rep.quality.curve[-1][1] for rep in cell.instrumented if rep.quality.curve]
    peaks = values(cell, "memory").by_source.get(Source())
    joules = values(cell, "energy").by_source.get(source) if source is not None else None
    return _Total(
        median_interval(ends).median if ends else None,
        max(peaks.values()) if peaks else None,
        median_interval(list(joules.values())).median if joules else None,
    )


def _by_curve(runs: Sequence[Repetition], quantity: str, budget: float, per_s: float) -> AtBudget:
    """Return the best of each run's curve within a budget; a second of training spends ``per_s`` of it."""
    best = [
        best_within(
            [point[1] * per_s for point in rep.quality.curve],
            [point[2] for point in rep.quality.curve],
            budget,
            rep.quality.before,
        )
        for rep in runs
    ]
    known = [quality for quality in best if quality is not None]
    if len(known) < len(best):
        return AtBudget(quantity, budget, None, _NOTHING_YET)
    return AtBudget(quantity, budget, _median(known))


def _by_memory(runs: Sequence[Repetition], peak_b: float | None, budget_b: float) -> AtBudget:
    if peak_b is None:
        return AtBudget("memory", budget_b, None, "its peak memory is not known")
    if peak_b > budget_b:
        return AtBudget("memory", budget_b, None, "does not fit")
    return AtBudget("memory", budget_b, _median([max(p[2] for p in rep.quality.curve) for rep in runs]))


def _by_energy(runs: Sequence[Repetition], energy_j: float | None, budget_j: float, unknown: str) -> AtBudget:
    """Return the best within joules: those of the unmarked fine-tuning, spent evenly over the training of each run."""
    if energy_j is None:
        return AtBudget("energy", budget_j, None, unknown)
    ends = [rep.quality.curve[-1][1] for rep in runs]
    if not all(end > 0 for end in ends):
        return AtBudget("energy", budget_j, None, _NOTHING_YET)
    return _by_curve(runs, "energy", budget_j, energy_j / median_interval(ends).median)


def _median(qualities: Sequence[float]) -> Median:
    middle = median_interval(qualities)
    return Median(middle.n, middle.median, middle.low, middle.high, middle.kind, middle.confidence)
