"""The verdicts of a run: time, energy, memory and accuracy of every method against its baseline.

Methods of one board, task and set of conditions are judged together: the A/A control first, then all of them with
Holm's procedure over their number. Where the control itself shows a difference in a quantity, no verdict on that
quantity is given there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.quantities import (
    DEFAULT_DELTA,
    QUANTITIES,
    Quantity,
    Right,
    Source,
    Values,
    accuracies,
    right_items,
    values,
)
from tunebench.reports.analysis.verdict_words import BETTER, reason, withheld_reason
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import AccuracyComparison, compare_accuracies, compare_accuracy
from tunebench.reports.stats.holm import ALPHA, Adjusted, compare_all, holm

#: A verdict as JSON-ready values.
Told = dict[str, Any]
#: ``id(cell)`` -> quantity -> verdict.
Verdicts = dict[int, dict[str, Told]]

_LESS_IS_BETTER = {"FASTER": "LESS", "SLOWER": "MORE"}
_NO_TWIN = "its twin was not measured"


def verdicts(
    reader: RunReader,
    groups: Sequence[Cell],
    baselines: Mapping[str, str | None],
    deltas: Callable[[str], Mapping[str, float]],
) -> Verdicts:
    """Every verdict of a run.

    Args:
        reader: the run, for stored predictions.
        groups: its cells.
        baselines: task -> label of its baseline.
        deltas: task -> what does not matter, by quantity.

    Returns:
        ``id(cell)`` -> quantity -> verdict, for A/A controls and for every cell whose baseline was measured.
    """
    found: Verdicts = {}
    for members in _families(groups):
        first = members[0].first
        delta = {**DEFAULT_DELTA, **deltas(first.task)}
        base = next((cell for cell in members if cell.first.label == baselines.get(first.task)), None)
        controls = [cell for cell in members if cell.first.aa_control]
        others = [cell for cell in members if not cell.first.aa_control and cell is not base]
        predicted = {id(cell): right_items(cell, reader) for cell in members}
        twins = {id(cell): twin(members, cell) for cell in controls}
        for name in QUANTITIES:
            for cell in controls:
                found.setdefault(id(cell), {})[name] = _control(
                    name, twins[id(cell)], cell, delta[name], predicted
                )
            if base is None:
                continue
            control = next((cell for cell in controls if twins[id(cell)] is base), None)
            told = _judged(name, base, others, delta[name], predicted)
            for cell, one in zip(others, told, strict=True):
                aa = found[id(control)][name] if control else None
                found.setdefault(id(cell), {})[name] = _after_control(one, aa, base.first.label)
    return found


def twin(groups: Sequence[Cell], control: Cell) -> Cell | None:
    """The cell that an A/A control repeats: same conditions, same built-in method."""
    same = (cell for cell in groups if cell.conditions() == control.conditions())
    built_in = (cell for cell in same if not cell.first.aa_control and not cell.first.own)
    return next((cell for cell in built_in if cell.first.method == control.first.method), None)


def alone(name: Quantity, base: Cell, cell: Cell, delta: float) -> Told:
    """One comparison of seconds, joules or bytes by itself, whatever else was measured."""
    return _ratios(name, base, [cell], delta)[0]


def aa_result(told: Told | None) -> str:
    """``passed``, ``failed``, ``unclear`` or ``no verdict``."""
    verdict = told["verdict"] if told else None
    if verdict in (None, "NO VERDICT"):
        return "no verdict"
    return {"SAME": "passed", "UNCLEAR": "unclear"}.get(verdict, "failed")


def _families(groups: Sequence[Cell]) -> list[list[Cell]]:
    found: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in groups:
        found.setdefault(cell.conditions(), []).append(cell)
    return list(found.values())


def _control(
    name: Quantity, base: Cell | None, cell: Cell, delta: float, predicted: Mapping[int, dict[int, Right]]
) -> Told:
    return _missing(name, _NO_TWIN) if base is None else _judged(name, base, [cell], delta, predicted)[0]


def _after_control(told: Told, control: Told | None, baseline: str) -> Told:
    """Withhold a verdict on a quantity in which the baseline differs from itself."""
    if control is None or aa_result(control) != "failed" or told["verdict"] is None:
        return told
    return {
        **told,
        "verdict": "NO VERDICT",
        "better": None,
        "withheld": True,
        "blocks_needed": 0,
        "reason": withheld_reason(control, baseline),
    }


def _judged(
    name: Quantity,
    base: Cell,
    cells: Sequence[Cell],
    delta: float,
    predicted: Mapping[int, dict[int, Right]],
) -> list[Told]:
    if name == "accuracy":
        return _accuracy(base, cells, delta, predicted)
    return _ratios(name, base, cells, delta)


def _ratios(name: Quantity, base: Cell, cells: Sequence[Cell], delta: float) -> list[Told]:
    reference = values(base, name)
    found: list[Told | Source] = []
    pairs: list[tuple[list[float], list[float]]] = []
    for cell in cells:
        own = values(cell, name)
        shared = [source for source in reference.by_source if source in own.by_source]
        source = shared[0] if shared else Source()
        theirs, ours = reference.by_source.get(source, {}), own.by_source.get(source, {})
        blocks = sorted(set(theirs) & set(ours))
        if blocks:
            found.append(source)
            pairs.append(([theirs[b] for b in blocks], [ours[b] for b in blocks]))
        else:
            found.append(_missing(name, _incomparable(name, reference, own, base.first.label)))
    judged = iter(compare_all([b for b, _ in pairs], [c for _, c in pairs], delta=delta))
    return [_ratio(name, next(judged), one) if isinstance(one, Source) else one for one in found]


def _incomparable(name: Quantity, base: Values, own: Values, baseline: str) -> str:
    if name != "time" and own.missing is not None:
        return own.missing
    if name != "time" and base.missing is not None:
        return f"{baseline}: {base.missing}"
    if own.by_source and base.by_source and not set(own.by_source) & set(base.by_source):
        return f"measured in another scope or by another source than {baseline}"
    return f"no block in which both this and {baseline} were measured"


def _ratio(name: Quantity, one: Adjusted, source: Source) -> Told:
    alone = one.alone
    words = {} if name == "time" else _LESS_IS_BETTER
    verdict = words.get(one.verdict, one.verdict)
    told = {
        "quantity": name,
        "unit": "ratio",
        "kind": f"{source.scope} by {source.source}" if source.scope else "",
        "scope": source.scope or None,
        "source": source.source or None,
        "repeated": source.repeated,
        "verdict": verdict,
        "verdict_alone": words.get(alone.verdict, alone.verdict),
        "better": BETTER.get(verdict),
        "value": alone.ratio,
        "low": alone.low,
        "high": alone.high,
        "interval": alone.interval,
        "confidence": alone.confidence,
        "delta": alone.delta,
        "n": alone.n,
        "blocks_needed": one.blocks_needed,
        "methods": one.methods,
        "p_adjusted": one.p,
        "level": one.level,
        "adjusted_low": one.low,
        "adjusted_high": one.high,
        "limited_by": None,
        "withheld": False,
        "missing": None,
    }
    return {**told, "reason": reason(told)}


def _missing(name: Quantity, why: str | None) -> Told:
    return {
        "quantity": name,
        "verdict": None,
        "better": None,
        "missing": why or "not measured",
        "reason": None,
    }


def _accuracy(
    base: Cell, cells: Sequence[Cell], delta: float, predicted: Mapping[int, dict[int, Right]]
) -> list[Told]:
    """By stored predictions; where there are none, by the accuracies of each block."""
    ways = [_accuracy_of(base, cell, delta, predicted) for cell in cells]
    alone = [way(ALPHA) if way else None for way in ways]
    judged = [one for one in alone if one is not None and one.verdict != "NO VERDICT"]
    outside = iter(holm([one.p_outside for one in judged]))
    inside = iter(holm([one.p_inside for one in judged]))
    found = []
    for way, one in zip(ways, alone, strict=True):
        if way is None or one is None:
            found.append(_missing("accuracy", "no block in which the accuracy of both is known"))
        elif one.verdict == "NO VERDICT":
            found.append(_points(one, one.verdict, len(judged), (None, None), one))
        else:
            tests = next(outside), next(inside)
            p, level = tests[0] if abs(one.points) > delta else tests[1]
            adjusted = one if level == ALPHA else way(level)
            verdict = one.verdict if p <= ALPHA else "UNCLEAR"
            found.append(_points(one, verdict, len(judged), (p, level), adjusted))
    return found


def _accuracy_of(
    base: Cell, cell: Cell, delta: float, predicted: Mapping[int, dict[int, Right]]
) -> Callable[[float], AccuracyComparison] | None:
    """How to compare two cells' accuracy at a level; None if no block holds both."""
    before, after = _paired_right(predicted[id(base)], predicted[id(cell)])
    theirs, ours = accuracies(base), accuracies(cell)
    blocks = sorted(set(theirs) & set(ours))
    # Predictions of a part of the blocks would say less than the accuracies of all.
    if len(before) and len(before) >= len(blocks):
        return lambda level: compare_accuracy(before, after, delta=delta, level=level)
    if not blocks:
        return None
    pairs = [theirs[b] for b in blocks], [ours[b] for b in blocks]
    return lambda level: compare_accuracies(*pairs, delta=delta, level=level)


def _paired_right(base: dict[int, Right], own: dict[int, Right]) -> tuple[np.ndarray, np.ndarray]:
    """(baseline, candidate) right, blocks x items, for blocks in which both predicted the items of the first."""
    blocks = [block for block in sorted(set(base) & set(own)) if base[block].items == own[block].items]
    blocks = [block for block in blocks if base[block].items == base[blocks[0]].items]
    if not blocks:
        return np.empty((0, 0), dtype=bool), np.empty((0, 0), dtype=bool)
    return np.array([base[b].right for b in blocks]), np.array([own[b].right for b in blocks])


def _points(
    one: AccuracyComparison,
    verdict: str,
    methods: int,
    test: tuple[float | None, float | None],
    adjusted: AccuracyComparison,
) -> Told:
    unclear = verdict == "UNCLEAR"
    by_item = f"{one.items} test items, paired by seed and item"
    by_seed = "accuracy of each seed, test items taken as given: no predictions that fit the records"
    interval = "range" if one.confidence is None else "bootstrap" if one.items else "wilcoxon"
    told = {
        "quantity": "accuracy",
        "unit": "points",
        "kind": by_item if one.items else by_seed,
        "verdict": verdict,
        "verdict_alone": one.verdict,
        "better": BETTER.get(verdict),
        "value": one.points,
        "low": one.low,
        "high": one.high,
        "interval": interval,
        "confidence": one.confidence,
        "delta": one.delta,
        "n": one.n,
        "blocks_needed": max(1, adjusted.blocks_needed) if unclear else one.blocks_needed,
        "methods": methods,
        "p_adjusted": test[0],
        "level": test[1],
        "adjusted_low": adjusted.low if adjusted.confidence else None,
        "adjusted_high": adjusted.high if adjusted.confidence else None,
        "items": one.items or None,
        "discordant": one.discordant,
        "limited_by": one.limited_by if unclear else None,
        "withheld": False,
        "missing": None,
    }
    return {**told, "reason": reason(told)}
