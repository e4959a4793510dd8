"""The study's numbers as JSON-ready values, by board, engine and build; none of these is ever pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tunebench.reports.analysis.cells import Cell, numbers, paired, unequal_work
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.paired import difference, mean_sd
from tunebench.reports.studies.skip2_lora.constants import (
    AGAINST,
    AIM_POINTS,
    CANDIDATE,
    PUBLISHED,
    PUBLISHED_HIGH,
    PUBLISHED_LOW,
    PUBLISHED_MEAN,
    PUBLISHED_SOURCE,
    REFERENCE,
    STUDY,
    TITLES,
)
from tunebench.reports.studies.skip2_lora.sentences import dependence, explanation

_UNIT = ("board_id", "engine", "engine_build", "device", "threads", "dtype", "power_mode")
_FACTS = ("board_kind", "board_model", "emulated")


def study_block(reader: RunReader, groups: Sequence[Cell], delta: float) -> dict[str, Any] | None:
    """The study of a run, or None if its plan does not ask for one.

    Args:
        reader: an open run.
        groups: its cells, in the order of the report.
        delta: relative difference of time that does not matter.
    """
    suite = reader.plan.get("suite")
    if not isinstance(suite, dict) or suite.get("study") != STUDY:
        return None
    units = [_unit(members, delta) for members in _by_unit(groups)]
    _name([unit["tasks"] for unit in units])
    for unit in units:
        unit["headline"] = _headline(unit["tasks"])
    for unit in units:
        unit["explanation"] = explanation(unit, units)
    return {
        "name": STUDY,
        "candidate": CANDIDATE,
        "reference": REFERENCE,
        "aim_points": AIM_POINTS,
        "published": {
            "label": PUBLISHED,
            "reduction_mean": PUBLISHED_MEAN,
            "low": PUBLISHED_LOW,
            "high": PUBLISHED_HIGH,
            "source": PUBLISHED_SOURCE,
        },
        "dependence": dependence(units),
        "units": units,
    }


def _by_unit(groups: Sequence[Cell]) -> list[list[Cell]]:
    found: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in groups:
        if not (cell.first.own or cell.first.aa_control):
            found.setdefault(tuple(getattr(cell.first, name) for name in _UNIT), []).append(cell)
    return list(found.values())


def _unit(members: Sequence[Cell], delta: float) -> dict[str, Any]:
    """One board, engine and build under one set of conditions."""
    first = members[0].first
    by_task: dict[str, list[Cell]] = {}
    for cell in members:
        by_task.setdefault(cell.first.task, []).append(cell)
    return {
        **{name: getattr(first, name) for name in (*_UNIT, *_FACTS)},
        "engine_version": next((v for c in members if (v := c.first.prov.engine_version)), None),
        "tasks": [_task(cells, delta) for cells in by_task.values()],
    }


def _headline(tasks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The plain mean of the reductions, over the data sets that have one."""
    known = [(task["name"], task["reduction"]["value"]) for task in tasks if task["reduction"]]
    return {
        "reduction_mean": mean_sd([value for _, value in known])[0] if known else None,
        "datasets": [name for name, _ in known],
        "missing": {task["name"]: task["reduction_missing"] for task in tasks if not task["reduction"]},
    }


def _name(units: Sequence[Sequence[dict[str, Any]]]) -> None:
    """The shortest name that tells a unit's tasks apart, the same in all units: data set, with model, or task."""

    def clear(told: Callable[[dict[str, Any]], str], task: dict[str, Any]) -> bool:
        return all(sum(told(one) == told(task) for one in tasks) <= 1 for tasks in units)

    def with_model(task: dict[str, Any]) -> str:
        return f"{task['dataset']}/{task['model']}"

    for task in (one for tasks in units for one in tasks):
        if clear(lambda one: str(one["dataset"]), task):
            task["name"] = task["dataset"]
        else:
            task["name"] = with_model(task) if clear(with_model, task) else task["task"]


def _task(cells: Sequence[Cell], delta: float) -> dict[str, Any]:
    by_method: dict[str, Cell] = {}
    for cell in cells:
        # Where a method stands under two labels, the one that is called like it counts.
        if cell.first.method not in by_method or cell.first.label == cell.first.method:
            by_method[cell.first.method] = cell
    order = [name for name in TITLES if name in by_method] + [n for n in by_method if n not in TITLES]
    reference = by_method.get(REFERENCE)
    methods = [_method(by_method[name], reference, delta) for name in order]
    candidate = next((one for one in methods if one["method"] == CANDIDATE), None)
    first = cells[0].first
    return {
        "task": first.task,
        "dataset": first.dataset,
        "model": first.model,
        "methods": methods,
        "missing_methods": [name for name in TITLES if name not in by_method],
        "reduction": candidate["reduction"] if candidate else None,
        "reduction_missing": candidate["reduction_missing"] if candidate else f"{CANDIDATE} was not measured",
        "differences": [_difference(by_method, name) for name in AGAINST],
        "bound": _bound(methods),
    }


def _method(cell: Cell, reference: Cell | None, delta: float) -> dict[str, Any]:
    told = numbers(cell)
    reduction, missing = _reduction(cell, reference, delta)
    losses, n_losses = _mean_lines([rep.quality.losses for rep in cell.usable])
    marked = [[value for _, _, value in rep.quality.curve] for rep in cell.instrumented]
    accuracies, n_accuracies = _mean_lines(marked)
    epochs = next(
        ([e for e, _, _ in rep.quality.curve] for rep in cell.instrumented if rep.quality.curve), []
    )
    madds = _madds(cell)
    total = sum(madds.values()) if madds else None
    wall = told["wall_s"]
    return {
        **{
            key: told[key] for key in ("method", "label", "n", "wall_s", "wall_missing", "accuracy", "phases")
        },
        "title": TITLES.get(cell.first.method, cell.first.method),
        "reduction": reduction,
        "reduction_missing": missing,
        "losses": losses,
        "losses_n": n_losses,
        "accuracies": [list(pair) for pair in zip(epochs, accuracies, strict=False)],
        "accuracies_n": n_accuracies,
        "madds": madds,
        "madds_total": total,
        "madds_per_s": total / wall["median"] if total and wall else None,
    }


def _reduction(cell: Cell, reference: Cell | None, delta: float) -> tuple[dict[str, Any] | None, str | None]:
    """Share of the reference's time that is saved: 1 - ratio, with the interval of the paired comparison."""
    if reference is None:
        return None, f"{REFERENCE} was not measured"
    if cell is reference:
        return None, "this is the reference"
    found, why = paired(reference, cell, delta=delta)
    if found is None:
        return None, why
    return {
        "value": 1 - found.ratio,
        "low": 1 - found.high,
        "high": 1 - found.low,
        "interval": found.interval,
        "confidence": found.confidence,
        "n": found.n,
        "unequal_work": unequal_work(reference, cell),
    }, None


def _difference(by_method: dict[str, Cell], against: str) -> dict[str, Any]:
    """Accuracy of the candidate less that of another, in points, paired by block."""
    told: dict[str, Any] = {"against": against, "points": None, "aim": "open", "missing": None}
    absent = [name for name in (CANDIDATE, against) if name not in by_method]
    if absent:
        return {**told, "missing": f"{' and '.join(absent)} not measured"}
    ours, theirs = (_after(by_method[name]) for name in (CANDIDATE, against))
    blocks = sorted(set(ours) & set(theirs))
    if not blocks:
        return {**told, "missing": "no block in which the accuracy of both is known"}
    found = difference([100 * theirs[b] for b in blocks], [100 * ours[b] for b in blocks])
    return {
        **told,
        "points": found.shift,
        "low": found.low,
        "high": found.high,
        "interval": found.interval,
        "confidence": found.confidence,
        "n": found.n,
        "aim": _aim(found.low, found.high) if found.interval != "range" else "open",
    }


def _aim(low: float, high: float) -> str:
    """``met``: the interval lies within the aim; ``missed``: wholly outside; ``open``: across its edge."""
    # Accuracies are counts over items: the tolerance keeps a difference of exactly the aim inside it.
    edge = AIM_POINTS + 1e-9
    if -edge <= low and high <= edge:
        return "met"
    return "missed" if low > edge or high < -edge else "open"


def _after(cell: Cell) -> dict[int, float]:
    return {rep.block: rep.quality.after for rep in cell.usable if rep.quality.after is not None}


def _mean_lines(lines: Sequence[Sequence[float]]) -> tuple[list[float], int]:
    """Mean at each epoch over the lines there are, as far as all of them go; and how many they are."""
    known = [line for line in lines if line]
    return [sum(values) / len(known) for values in zip(*known, strict=False)], len(known)


def _madds(cell: Cell) -> dict[str, int] | None:
    """Multiply-adds of one fine-tuning; None where the records do not agree on one count."""
    found = [rep.madds for rep in cell.usable if rep.madds]
    return dict(found[0]) if found and all(one == found[0] for one in found) else None


def _bound(methods: Sequence[dict[str, Any]]) -> float | None:
    """The reduction by multiply-adds alone: what equal rates of both methods would give."""
    totals = {one["method"]: one["madds_total"] for one in methods}
    ours, theirs = totals.get(CANDIDATE), totals.get(REFERENCE)
    return 1 - ours / theirs if ours and theirs else None
