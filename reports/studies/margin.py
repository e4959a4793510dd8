"""Judge a study's candidate by the margin that its suite has committed, and say it in a sentence (docs/protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.formatting.units import clean
from tunebench.reports.records import Repetition
from tunebench.reports.stats.non_inferiority import NonInferiority, judge_non_inferiority, points_apart


def scores(cell: Cell) -> Mapping[int, float | None]:
    """Return the score of each block; None: the run of that block diverged. Others that failed are in no block."""
    known: dict[int, float | None] = {rep.block: rep.quality.after for rep in scored(cell)}
    for rep in cell.timed:
        if rep.outcome == "diverged":
            known.setdefault(rep.block, None)
    return known


def scored(cell: Cell) -> list[Repetition]:
    """Return the repetitions whose quality counts, of a block the last; one of a method without steps has no time."""
    ended = [rep for rep in cell.timed if rep.outcome == "ok" and rep.verdict != "invalid"]
    by_block = {rep.block: rep for rep in ended if rep.quality.after is not None}
    return list(by_block.values())


def judged_sentence(candidate: Cell, baseline: Cell, margin: float | None) -> str | None:
    """Return what may be claimed of a candidate; None where the suite has committed no margin."""
    if margin is None:
        return None
    ours, theirs = (clean(cell.first.label, 40) for cell in (candidate, baseline))
    judged = judge_non_inferiority(scores(baseline), scores(candidate), margin)
    if judged is None:
        return f"{ours} against {theirs}: no block in which both have a score, so nothing is said of inferiority."
    return " ".join(
        [_claim(judged, ours, theirs), _basis(judged, candidate), *_losses(candidate, baseline, ours, theirs)]
    )


def beside_sentence(candidate: Cell, other: Cell) -> str | None:
    """Return how a candidate stands to a method that no claim was fixed for; None if no block has both."""
    shift = points_apart(scores(other), scores(candidate))
    if shift is None:
        return None
    ours, theirs = (clean(cell.first.label, 40) for cell in (candidate, other))
    span = f"[{signed(shift.low)}, {signed(shift.high)}]"
    return f"Beside it, without a claim: {ours} less {theirs} {signed(shift.shift)} points, {span}."


def _claim(judged: NonInferiority, ours: str, theirs: str) -> str:
    points = f"{judged.margin:g} point{'s' if judged.margin != 1 else ''}"
    words = {
        "NOT INFERIOR": f"{ours} is non-inferior to {theirs} at {points}, the margin fixed beforehand",
        "INFERIOR": f"{ours} is inferior to {theirs}: worse by more than {points}, the margin fixed beforehand",
        "OPEN": f"Not shown that {ours} is non-inferior to {theirs} at {points}, the margin fixed beforehand: the "
        f"difference may be {signed(judged.low)}",
        "NO VERDICT": f"Too few blocks to say whether {ours} is non-inferior to {theirs} at {points}",
    }
    if judged.verdict == "NO VERDICT":
        return f"{words[judged.verdict]}: {signed(judged.points)} points, range {_span(judged)}."
    mark = ";" if judged.verdict == "OPEN" else ":"
    return (
        f"{words[judged.verdict]}{mark} {signed(judged.points)} points, {_span(judged)}, one-sided at 2.5%."
    )


def _basis(judged: NonInferiority, candidate: Cell) -> str:
    bases = {rep.base for rep in candidate.timed if rep.base is not None}
    blocks = f"{judged.n} block{'s' if judged.n != 1 else ''}"
    start = (
        f"{blocks} from {len(bases)} pretraining bases"
        if len(bases) > 1
        else f"{blocks} from one pretraining: other start weights are not in it"
    )
    lost = judged.diverged
    runs = (
        f"; {lost} run{'s' if lost != 1 else ''} diverged and count{'s' if lost == 1 else ''} as 0"
        if lost
        else ""
    )
    return f"It rests on {start}{runs}."


def _losses(candidate: Cell, baseline: Cell, ours: str, theirs: str) -> list[str]:
    """Return the training losses at the end, where both are known: they tell too few steps from too few parameters."""
    ends = [
        [rep.quality.loss_final for rep in scored(cell) if rep.quality.loss_final is not None]
        for cell in (candidate, baseline)
    ]
    if not all(ends):
        return []
    first, second = map(fmean, ends)
    return [f"Training ended at a mean loss of {first:.3g} ({ours}) and {second:.3g} ({theirs})."]


def _span(judged: NonInferiority) -> str:
    return f"[{signed(judged.low)}, {signed(judged.high)}]"


def signed(value: float) -> str:
    """Return points with their sign: ``−1.20``."""
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")
