"""Compare several methods with one baseline: Holm's procedure, and how it meets verdicts that are read off intervals.

Each method can earn one of two claims: "differs by more than the band" (FASTER, SLOWER) or "does not" (SAME). For
each the exact p-value is that of :func:`tunebench.reports.stats.signed_rank.claim_p_values`. Holm (Scand. J. Statist.
6 (1979) 65) runs once over the m methods' p-values of the first claim and once over those of the second. Within
either run the null hypotheses are fixed by the truth, so Holm's guarantee holds under any dependence (methods share
their baseline): the probability that any difference is claimed where there is none is at most 5%, that any SAME is
wrong at most 2.5% (its two one-sided tests run at the level of the 95% interval). A verdict says FASTER only if its
claim survives Holm; the direction is that of the estimate.

The interval of confidence 1 - level, at the level at which Holm tested the method, always agrees with the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.stats.attainable import ALPHA, smallest_p
from tunebench.reports.stats.paired import (
    MIN_BLOCKS,
    Comparison,
    ComparisonVerdict,
    centre_interval,
    compare,
    further_blocks,
    log_ratios,
)
from tunebench.reports.stats.signed_rank import hodges_lehmann, min_values

__all__ = ["ALPHA", "Adjusted", "compare_all", "holm"]


@dataclass(frozen=True)
class Adjusted:
    """The comparison of one method, alone and after the correction for several methods.

    Attributes:
        alone: the comparison as if there were no other method; its interval covers at 95% on its own.
        verdict: what survives Holm's procedure; never clearer than ``alone.verdict``.
        methods: how many methods were judged together.
        alpha: what Holm's procedure keeps any false claim among them below.
        p: Holm-adjusted p-value of the nearer claim; None below six blocks.
        level: the level at which this method was tested; None below six blocks.
        low: the interval of confidence 1 - level, as a ratio; None if so few blocks have none.
        high: its upper end.
        blocks_needed: estimated number of further blocks until the adjusted verdict can be clear; 0 = it is. Below six
            blocks: until Holm's procedure over all these methods can give one.
    """

    alone: Comparison
    verdict: ComparisonVerdict
    methods: int
    alpha: float
    p: float | None
    level: float | None
    low: float | None
    high: float | None
    blocks_needed: int


def holm(p_values: Sequence[float], *, alpha: float = ALPHA) -> list[tuple[float, float]]:
    """Return (adjusted p-value, level at which it was tested) of each p-value by Holm's step-down procedure.

    A claim stands if its adjusted p-value is at most ``alpha``, which is when its p-value is at most its level. Those
    that do not stand share the level at which the procedure stopped.

    Raises:
        ValueError: a p-value is not between 0 and 1.

    >>> [(round(p, 3), round(level, 4)) for p, level in holm([0.01, 0.04, 0.02])]
    [(0.03, 0.0167), (0.04, 0.05), (0.04, 0.025)]
    >>> [(round(p, 3), round(level, 4)) for p, level in holm([0.03, 0.04])]
    [(0.06, 0.025), (0.06, 0.025)]
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("p-values must lie between 0 and 1")
    count = len(p_values)
    adjusted = [(1.0, alpha)] * count
    worst, level, stopped = 0.0, alpha, False
    for place, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        worst = max(worst, min(1.0, (count - place) * p_values[index]))
        if not stopped:
            level = alpha / (count - place)
            stopped = p_values[index] > level
        adjusted[index] = (worst, level)
    return adjusted


def compare_all(
    baseline_s: Sequence[Sequence[float]],
    candidates_s: Sequence[Sequence[float]],
    *,
    delta: float,
    alpha: float = ALPHA,
) -> list[Adjusted]:
    """Compare several methods with their baseline and adjust the verdicts for their number.

    Args:
        baseline_s: for each candidate the baseline's values in the blocks that both share.
        candidates_s: for each candidate its values in these blocks.
        delta: relative difference that does not matter.
        alpha: probability of any false claim among the candidates; smaller at a look of a run that may stop early.

    Returns:
        One result a candidate. Candidates with fewer than six blocks get no verdict and are not counted.

    Raises:
        ValueError: as :func:`tunebench.reports.stats.paired.compare`, or the two lists differ in length.

    Examples:
        >>> base = [10.0, 10.2, 9.9, 10.1, 10.3, 10.0]
        >>> fast = [5.0, 5.1, 5.0, 5.0, 5.2, 5.0]
        >>> [result.verdict for result in compare_all([base], [fast], delta=0.02)]
        ['FASTER']
        >>> both = compare_all([base, base], [fast, fast], delta=0.02)    # six blocks cannot carry two methods
        >>> [(result.alone.verdict, result.verdict, result.blocks_needed) for result in both]
        [('FASTER', 'UNCLEAR', 1), ('FASTER', 'UNCLEAR', 1)]
        >>> few = compare_all([base[:3]] * 3, [fast[:3]] * 3, delta=0.02)    # seven blocks would carry three
        >>> few[0].verdict, few[0].blocks_needed
        ('NO VERDICT', 4)
    """
    if len(baseline_s) != len(candidates_s):
        raise ValueError(f"{len(baseline_s)} baselines for {len(candidates_s)} candidates")
    alone = [compare(b, c, delta=delta) for b, c in zip(baseline_s, candidates_s, strict=True)]
    judged = [index for index, comparison in enumerate(alone) if comparison.verdict != "NO VERDICT"]
    outside = holm([alone[index].p_outside for index in judged], alpha=alpha)
    inside = holm([alone[index].p_inside for index in judged], alpha=alpha)
    counts = [comparison.n for comparison in alone]
    results = [
        Adjusted(
            comparison,
            "NO VERDICT",
            len(judged),
            alpha,
            None,
            None,
            None,
            None,
            _blocks_until_possible(counts, index, alpha),
        )
        for index, comparison in enumerate(alone)
    ]
    for place, index in enumerate(judged):
        ratios = log_ratios(baseline_s[index], candidates_s[index]).tolist()
        results[index] = _adjust(
            alone[index], ratios, outside[place], inside[place], methods=len(judged), alpha=alpha
        )
    return results


def _blocks_until_possible(counts: Sequence[int], index: int, alpha: float) -> int:
    """Return the further blocks after which a method can have a verdict, if all have their smallest p-values by then.

    Args:
        counts: blocks of each method now; each further block is one for all of them.
        index: the method.
        alpha: as in :func:`compare_all`.

    >>> _blocks_until_possible([3, 3, 3], 0, 0.05), _blocks_until_possible([6, 3], 1, 0.05)
    (4, 3)
    """
    more = max(1, MIN_BLOCKS - counts[index])
    while True:
        p_values = [smallest_p(count + more) for count in counts]
        if holm(p_values, alpha=alpha)[index][0] <= alpha:
            return more
        more += 1


def _adjust(
    alone: Comparison,
    ratios: Sequence[float],
    outside: tuple[float, float],
    inside: tuple[float, float],
    *,
    methods: int,
    alpha: float,
) -> Adjusted:
    band, shift, n = math.log1p(alone.delta), hodges_lehmann(ratios), len(ratios)
    p, level = outside if abs(shift) > band else inside
    verdict: ComparisonVerdict = alone.verdict if p <= alpha else "UNCLEAR"
    interval = centre_interval(ratios, confidence=1 - level)
    needed = 0
    if verdict == "UNCLEAR":
        fewest = max(1, max(MIN_BLOCKS, min_values(1 - level)) - n)
        half = (interval[1] - interval[0]) / 2 if interval else 0.0
        needed = max(1, further_blocks(shift, half, band, n)) if interval else fewest
    return Adjusted(
        alone=alone,
        verdict=verdict,
        methods=methods,
        alpha=alpha,
        p=p,
        level=level,
        low=math.exp(interval[0]) if interval else None,
        high=math.exp(interval[1]) if interval else None,
        blocks_needed=needed,
    )
