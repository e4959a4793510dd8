"""The verdicts of a run: time, energy, memory and accuracy of every method against its baseline.

Methods of one board, task and set of conditions are judged together: the A/A control first, then all of them with
Holm's procedure over their number. Where the control itself shows a difference in a quantity, no verdict on that
quantity is given there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.looks.judging import FIXED, Judging, JudgingOf, judging_of, no_look_words
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
from tunebench.reports.analysis.row import ItemPairs, NotCompared, Origin, Verdict
from tunebench.reports.analysis.verdict_words import BETTER, reason, withheld_reason
from tunebench.reports.analysis.within.inference import no_claim
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import AccuracyComparison, compare_accuracies, compare_accuracy
from tunebench.reports.stats.attainable import ALPHA, fewest_blocks
from tunebench.reports.stats.holm import Adjusted, compare_all, holm

Judged = Verdict | NotCompared
#: ``id(cell)`` -> quantity -> verdict.
Verdicts = dict[int, dict[str, Judged]]

_LESS_IS_BETTER = {"FASTER": "LESS", "SLOWER": "MORE"}
_NO_TWIN = "its twin was not measured"


def verdicts(
    reader: RunReader,
    groups: Sequence[Cell],
    baselines: Mapping[str, str | None],
    deltas: Callable[[str], Mapping[str, float]],
    *,
    judging: JudgingOf | None = None,
    quantities: Sequence[Quantity] = QUANTITIES,
) -> Verdicts:
    """Judge every method of a run against its baseline.

    Args:
        reader: the run, for stored predictions.
        groups: its cells.
        baselines: task -> label of its baseline.
        deltas: task -> what does not matter, by quantity.
        judging: (board, task) -> level and blocks; default: the run's own.
        quantities: those to judge.

    Returns:
        ``id(cell)`` -> quantity -> verdict, for A/A controls and for every cell whose baseline was measured.
    """
    judged: Verdicts = {}
    how_of = judging or judging_of(reader)
    for members in _families(groups):
        first = members[0].first
        how = how_of(first.board_id, first.task)
        delta = {**DEFAULT_DELTA, **deltas(first.task)}
        base = next((cell for cell in members if cell.first.label == baselines.get(first.task)), None)
        controls = [cell for cell in members if cell.first.aa_control]
        others = [cell for cell in members if not cell.first.aa_control and cell is not base]
        asked = members if "accuracy" in quantities else []
        predicted = {id(cell): right_items(cell, reader) for cell in asked}
        twins = {id(cell): twin(members, cell) for cell in controls}
        for name in quantities:
            for cell in controls:
                judged.setdefault(id(cell), {})[name] = _control(
                    name, twins[id(cell)], cell, delta[name], predicted, how=how
                )
            if base is None:
                continue
            control = next((cell for cell in controls if twins[id(cell)] is base), None)
            verdicts_of_others = _judged(name, base, others, delta[name], predicted, how=how)
            for cell, verdict in zip(others, verdicts_of_others, strict=True):
                aa = judged[id(control)][name] if control else None
                after_control = _after_control(verdict, aa, base.first.label)
                judged.setdefault(id(cell), {})[name] = _barred(
                    name, cell, _before_any_look(after_control, how)
                )
    return judged


def twin(groups: Sequence[Cell], control: Cell) -> Cell | None:
    """Find the cell that an A/A control repeats: same conditions, same built-in method."""
    same = (cell for cell in groups if cell.conditions() == control.conditions())
    built_in = (cell for cell in same if not cell.first.aa_control and not cell.first.own)
    return next((cell for cell in built_in if cell.first.method == control.first.method), None)


def alone(name: Quantity, base: Cell, cell: Cell, delta: float) -> Judged:
    """Compare seconds, joules or bytes of two cells alone, without a correction for other methods."""
    return _ratios(name, base, [cell], delta, FIXED)[0]


def aa_result(judged: Judged) -> str:
    """Return the result of an A/A control: ``passed``, ``failed``, ``unclear`` or ``no verdict``."""
    if judged.verdict is None or judged.verdict == "NO VERDICT":
        return "no verdict"
    return {"SAME": "passed", "UNCLEAR": "unclear"}.get(judged.verdict, "failed")


def _families(groups: Sequence[Cell]) -> list[list[Cell]]:
    families: dict[tuple[object, ...], list[Cell]] = {}
    for cell in groups:
        families.setdefault(cell.conditions(), []).append(cell)
    return list(families.values())


def _control(
    name: Quantity,
    base: Cell | None,
    cell: Cell,
    delta: float,
    predicted: Mapping[int, dict[int, Right]],
    *,
    how: Judging,
) -> Judged:
    """Judge a control, always at the level of a fixed campaign: what it finds withholds verdicts and gives none."""
    if base is None:
        return NotCompared(name, missing=_NO_TWIN)
    return _judged(name, base, [cell], delta, predicted, how=replace(how, alpha=ALPHA))[0]


def _after_control(judged: Judged, control: Judged | None, baseline: str) -> Judged:
    """Withhold a verdict on a quantity in which the baseline differs from itself."""
    if not isinstance(control, Verdict) or not isinstance(judged, Verdict) or aa_result(control) != "failed":
        return judged
    return replace(
        judged,
        verdict="NO VERDICT",
        better=None,
        withheld=True,
        blocks_needed=0,
        reason=withheld_reason(control, baseline),
    )


def _barred(name: Quantity, cell: Cell, judged: Judged) -> Judged:
    """Give no verdict on the time and energy of a network that is compressed in name only."""
    reason = no_claim(cell.usable) if name in ("time", "energy") else None
    return judged if reason is None else NotCompared(name, missing=reason)


def _before_any_look(judged: Judged, how: Judging) -> Judged:
    """Give no verdict in a run that stops when it is decided and that was not looked at yet."""
    if how.first_look is None or not isinstance(judged, Verdict) or judged.withheld:
        return judged
    needed = max(1, how.first_look - judged.n)
    return replace(judged, verdict="NO VERDICT", better=None, blocks_needed=needed, reason=no_look_words(how))


def _judged(
    name: Quantity,
    base: Cell,
    cells: Sequence[Cell],
    delta: float,
    predicted: Mapping[int, dict[int, Right]],
    *,
    how: Judging,
) -> list[Judged]:
    if name == "accuracy":
        return _accuracy(base, cells, delta, predicted, how)
    return _ratios(name, base, cells, delta, how)


def _looked_at(blocks: set[int], how: Judging) -> list[int]:
    """Return the blocks that are judged, in order."""
    return sorted(block for block in blocks if how.before_block is None or block < how.before_block)


def _ratios(name: Quantity, base: Cell, cells: Sequence[Cell], delta: float, how: Judging) -> list[Judged]:
    reference = values(base, name)
    compared: list[NotCompared | Source] = []
    pairs: list[tuple[list[float], list[float]]] = []
    for cell in cells:
        own = values(cell, name)
        shared = [source for source in reference.by_source if source in own.by_source]
        source = shared[0] if shared else Source()
        theirs, ours = reference.by_source.get(source, {}), own.by_source.get(source, {})
        blocks = _looked_at(set(theirs) & set(ours), how)
        if blocks:
            compared.append(source)
            pairs.append(([theirs[b] for b in blocks], [ours[b] for b in blocks]))
        else:
            reason = _incomparable(name, reference, own, base.first.label)
            compared.append(NotCompared(name, missing=reason or "not measured"))
    adjusted = iter(compare_all([b for b, _ in pairs], [c for _, c in pairs], delta=delta, alpha=how.alpha))
    return [_ratio(name, next(adjusted), item) if isinstance(item, Source) else item for item in compared]


def _incomparable(name: Quantity, base: Values, own: Values, baseline: str) -> str:
    if name != "time" and own.missing is not None:
        return own.missing
    if name != "time" and base.missing is not None:
        return f"{baseline}: {base.missing}"
    if own.by_source and base.by_source and not set(own.by_source) & set(base.by_source):
        return f"measured in another scope or by another source than {baseline}"
    return f"no block in which both this and {baseline} were measured"


def _ratio(name: Quantity, adjusted: Adjusted, source: Source) -> Verdict:
    alone = adjusted.alone
    words = {} if name == "time" else _LESS_IS_BETTER
    word = words.get(adjusted.verdict, adjusted.verdict)
    verdict = Verdict(
        quantity=name,
        unit="ratio",
        kind=f"{source.scope} by {source.source}" if source.scope else "",
        origin=Origin(source.scope or None, source.source or None, source.repeated),
        verdict=word,
        verdict_alone=words.get(alone.verdict, alone.verdict),
        better=BETTER.get(word),
        value=alone.ratio,
        low=alone.low,
        high=alone.high,
        interval=alone.interval,
        confidence=alone.confidence,
        delta=alone.delta,
        n=alone.n,
        blocks_needed=adjusted.blocks_needed,
        methods=adjusted.methods,
        p_adjusted=adjusted.p,
        level=adjusted.level,
        adjusted_low=adjusted.low,
        adjusted_high=adjusted.high,
        pairs=None,
        limited_by=None,
        alpha=adjusted.alpha,
    )
    return replace(verdict, reason=reason(verdict))


def _accuracy(
    base: Cell,
    cells: Sequence[Cell],
    delta: float,
    predicted: Mapping[int, dict[int, Right]],
    how: Judging,
) -> list[Judged]:
    """Compare accuracies by stored predictions; where there are none, by the accuracies of each block."""
    ways = [_accuracy_of(base, cell, delta, predicted, how) for cell in cells]
    alone = [way(ALPHA) if way else None for way in ways]
    tested = [result for result in alone if result is not None and result.verdict != "NO VERDICT"]
    outside = iter(holm([result.p_outside for result in tested]))
    inside = iter(holm([result.p_inside for result in tested]))
    judged: list[Judged] = []
    for way, result in zip(ways, alone, strict=True):
        if way is None or result is None:
            judged.append(NotCompared("accuracy", missing="no block in which the accuracy of both is known"))
        elif result.verdict == "NO VERDICT":
            needed = result.blocks_needed
            if not result.items:  # judged by signed ranks: as many blocks as times ask for
                needed = max(1, fewest_blocks(sum(way is not None for way in ways)) - result.n)
            short = replace(result, blocks_needed=needed)
            judged.append(_points(short, short.verdict, len(tested), (None, None), short))
        else:
            tests = next(outside), next(inside)
            p, level = tests[0] if abs(result.points) > delta else tests[1]
            adjusted = result if level == ALPHA else way(level)
            verdict = result.verdict if p <= ALPHA else "UNCLEAR"
            judged.append(_points(result, verdict, len(tested), (p, level), adjusted))
    return judged


def _accuracy_of(
    base: Cell, cell: Cell, delta: float, predicted: Mapping[int, dict[int, Right]], how: Judging
) -> Callable[[float], AccuracyComparison] | None:
    """Return a function that compares two cells' accuracy at a level; None if no block holds both."""
    before, after = _paired_right(predicted[id(base)], predicted[id(cell)], how)
    theirs, ours = accuracies(base), accuracies(cell)
    blocks = _looked_at(set(theirs) & set(ours), how)
    # Predictions of a part of the blocks would say less than the accuracies of all.
    if len(before) and len(before) >= len(blocks):
        return lambda level: compare_accuracy(before, after, delta=delta, level=level)
    if not blocks:
        return None
    pairs = [theirs[b] for b in blocks], [ours[b] for b in blocks]
    return lambda level: compare_accuracies(*pairs, delta=delta, level=level)


def _paired_right(
    base: dict[int, Right], own: dict[int, Right], how: Judging
) -> tuple[np.ndarray, np.ndarray]:
    """Return which items baseline and candidate got right (blocks x items), for blocks that predicted the same items."""
    shared = _looked_at(set(base) & set(own), how)
    blocks = [block for block in shared if base[block].items == own[block].items]
    blocks = [block for block in blocks if base[block].items == base[blocks[0]].items]
    if not blocks:
        return np.empty((0, 0), dtype=bool), np.empty((0, 0), dtype=bool)
    return np.array([base[b].right for b in blocks]), np.array([own[b].right for b in blocks])


def _points(
    alone: AccuracyComparison,
    word: str,
    methods: int,
    test: tuple[float | None, float | None],
    adjusted: AccuracyComparison,
) -> Verdict:
    unclear = word == "UNCLEAR"
    by_item = f"{alone.items} test items, paired by seed and item"
    by_seed = "accuracy of each seed, test items taken as given: no predictions that fit the records"
    verdict = Verdict(
        quantity="accuracy",
        unit="points",
        kind=by_item if alone.items else by_seed,
        origin=None,
        verdict=word,
        verdict_alone=alone.verdict,
        better=BETTER.get(word),
        value=alone.points,
        low=alone.low,
        high=alone.high,
        interval="range" if alone.confidence is None else "bootstrap" if alone.items else "wilcoxon",
        confidence=alone.confidence,
        delta=alone.delta,
        n=alone.n,
        blocks_needed=max(1, adjusted.blocks_needed) if unclear else alone.blocks_needed,
        methods=methods,
        p_adjusted=test[0],
        level=test[1],
        adjusted_low=adjusted.low if adjusted.confidence else None,
        adjusted_high=adjusted.high if adjusted.confidence else None,
        pairs=ItemPairs(alone.items or None, alone.discordant),
        limited_by=alone.limited_by if unclear else None,
    )
    return replace(verdict, reason=reason(verdict))
