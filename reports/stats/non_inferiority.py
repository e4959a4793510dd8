"""Judge whether a candidate is worse than a baseline by less than a margin that was fixed beforehand. Pure functions.

One-sided at 2.5%: the lower end of the exact two-sided 95% signed-rank interval of the differences, paired by block
(:mod:`tunebench.reports.stats.paired`), must lie above minus the margin. Runs that diverged are scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tunebench.reports.stats.paired import Difference, difference

NonInferiorityVerdict = Literal["NOT INFERIOR", "INFERIOR", "OPEN", "NO VERDICT"]

#: Probability of calling a candidate not inferior that is worse by the margin.
ALPHA = 0.025
#: What a run that diverged scores.
DIVERGED = 0.0
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class NonInferiority:
    """How a candidate stands to its margin.

    Attributes:
        points: candidate less baseline, Hodges-Lehmann.
        low, high: ends of the interval; ``low`` bounds one-sidedly at 2.5%.
        margin: points, fixed beforehand.
        n: blocks in which both have a score.
        diverged: how many runs of the two diverged in these blocks and were counted as 0.
        interval: ``wilcoxon``, or ``range`` where blocks are too few for a verdict.
    """

    points: float
    low: float
    high: float
    margin: float
    n: int
    diverged: int
    interval: str
    verdict: NonInferiorityVerdict


def judge_non_inferiority(
    baseline: Mapping[int, float | None], candidate: Mapping[int, float | None], margin: float
) -> NonInferiority | None:
    """Judge by scores 0..1 of each block; None among them: that run diverged. None if no block has both.

    Raises:
        ValueError: the margin is not positive, or a score is not finite.

    Examples:
        >>> base = {block: 0.90 for block in range(6)}
        >>> judge_non_inferiority(base, {block: 0.895 for block in range(6)}, 1.0).verdict
        'NOT INFERIOR'
        >>> judge_non_inferiority(base, {**base, 3: None, 4: None, 5: None}, 1.0).verdict    # divergences count
        'OPEN'
    """
    if not margin > 0:  # NaN, too
        raise ValueError(f"margin must be positive, got {margin}")
    shift = points_apart(baseline, candidate)
    if shift is None:
        return None
    both = set(baseline) & set(candidate)
    return NonInferiority(
        points=shift.shift,
        low=shift.low,
        high=shift.high,
        margin=margin,
        n=shift.n,
        diverged=sum(scores[block] is None for scores in (baseline, candidate) for block in both),
        interval=shift.interval,
        verdict=_verdict(shift.low, shift.high, margin) if shift.interval != "range" else "NO VERDICT",
    )


def points_apart(
    baseline: Mapping[int, float | None], candidate: Mapping[int, float | None]
) -> Difference | None:
    """Return candidate less baseline in points, paired by block (divergence: score 0); None if no block has both."""
    blocks = sorted(set(baseline) & set(candidate))
    if not blocks:
        return None
    theirs, ours = ([100 * as_score(of[block]) for block in blocks] for of in (baseline, candidate))
    return difference(theirs, ours, confidence=1 - 2 * ALPHA)


def as_score(score: float | None) -> float:
    """Return a score as it counts: a run that diverged has one, too."""
    return DIVERGED if score is None else score


def _verdict(low: float, high: float, margin: float) -> NonInferiorityVerdict:
    # Worse by exactly the margin is not less than the margin; scores are counts over items, so it happens.
    if low > -margin + _TOLERANCE:
        return "NOT INFERIOR"
    return "INFERIOR" if high < -margin - _TOLERANCE else "OPEN"
