"""Estimate a centre by Hodges and Lehmann, with the exact signed-rank test and interval that go with it.

Pure functions on plain arrays. Each value weighs by the rank of its distance from the centre. Wilcoxon's test takes
the rank itself; ``cap`` limits it ("winsorised" ranks: Policello and Hettmansperger, J. Amer. Statist. Assoc. 71
(1976) 624), so that one outlier weighs no more than an ordinary large value. Cap n is Wilcoxon's test, cap 1 the sign
test. The null distribution is exact for every cap: each weight falls to either side with probability one half.

Sources: Hodges and Lehmann, Ann. Math. Statist. 34 (1963) 598; Hollander, Wolfe, Chicken: Nonparametric Statistical
Methods, sections 3.1-3.3. With tied values everything here errs on the safe side: intervals too wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Above this many values the signed-rank distribution is approximated by the normal one (error < 1e-4).
EXACT_UP_TO = 200


def walsh_averages(values: Sequence[float] | Floats) -> Floats:
    """Return all means of two values (each with itself too), sorted: n (n + 1) / 2 of them.

    >>> walsh_averages([1.0, 3.0]).tolist()
    [1.0, 2.0, 3.0]
    """
    array = np.asarray(values, dtype=float)
    first, second = np.triu_indices(len(array))
    return np.sort((array[first] + array[second]) / 2)


def hodges_lehmann(values: Sequence[float] | Floats) -> float:
    """Return the Hodges-Lehmann estimate of the centre: the median of the Walsh averages.

    >>> hodges_lehmann([1.0, 2.0, 6.0])
    2.75
    """
    return float(np.median(walsh_averages(values)))


def half(n: int) -> int:
    """Return the cap used for verdicts: half of the ranks.

    >>> half(6), half(15)
    (3, 8)
    """
    return (n + 1) // 2


def signed_rank_interval(
    values: Sequence[float] | Floats, *, confidence: float = 0.95, cap: int | None = None
) -> tuple[float, float] | None:
    """Return the interval of the centre that inverts the two-sided signed-rank test.

    Args:
        values: at least one.
        confidence: coverage.
        cap: the largest weight; None = Wilcoxon's test, whose interval ends at Walsh averages counted from each end.

    Returns:
        Its ends; None if no interval of this confidence exists (at 95%: below six values).

    >>> signed_rank_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    (1.0, 6.0)
    >>> signed_rank_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None
    True
    >>> blocks = [1.0, 1.2, 1.4, 1.5, 1.7, 1.8, 2.0, 2.1, 2.3, 40.0]    # one outlier
    >>> [round(signed_rank_interval(blocks, cap=cap)[1], 2) for cap in (None, 5)]
    [20.6, 2.2]
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    averages = walsh_averages(array)
    if cap is None or cap >= n:
        depth = signed_rank_depth(n, confidence)
        return None if depth == 0 else (float(averages[depth - 1]), float(averages[len(averages) - depth]))
    critical = signed_rank_depth(n, confidence, cap) - 1
    if critical < 0:
        return None
    steps = np.unique(averages)
    return _first_kept(array, steps, critical, cap), -_first_kept(-array, -steps[::-1], critical, cap)


def signed_rank_depth(n: int, confidence: float = 0.95, cap: int | None = None) -> int:
    """Return the largest d with P(T+ <= d - 1) <= (1 - confidence) / 2; 0 = no interval of this confidence exists.

    T+ is the sum of weights on one side under the null distribution. For Wilcoxon's test, d is how many Walsh
    averages to count in from each end.

    >>> [signed_rank_depth(n) for n in (5, 6, 10, 20)], signed_rank_depth(10, cap=5)
    ([0, 1, 9, 53], 7)
    """
    tail = (1 - confidence) / 2
    if n > EXACT_UP_TO:
        mean, sd = _moments(n, cap or n)
        return max(0, math.floor(mean + NormalDist().inv_cdf(tail) * sd))
    # The tolerance keeps an exact tie (such as 0.03125 at 93.75%) on the right side of rounding.
    return int(np.searchsorted(_null_cdf(n, cap or n), tail * (1 + 1e-9), side="right"))


def signed_rank_tail(n: int, statistic: int, cap: int | None = None) -> float:
    """Return P(T+ <= statistic) under the null distribution.

    >>> signed_rank_tail(6, 0), signed_rank_tail(6, 21)
    (0.015625, 1.0)
    """
    if n > EXACT_UP_TO:
        mean, sd = _moments(n, cap or n)
        # With the added 1, test and interval agree: rejected exactly when statistic + 1 <= depth.
        return NormalDist().cdf((statistic + 1 - mean) / sd)
    return float(min(1.0, _null_cdf(n, cap or n)[statistic]))


def claim_p_values(
    values: Sequence[float] | Floats, band: float, *, cap: int | None = None
) -> tuple[float, float]:
    """Return the exact p-values of the two claims about a centre: "it lies outside +-band" and "it lies inside".

    Each is the smallest a for which the interval of confidence 1 - a supports the claim, so that p <= 0.05 and the
    95% interval never disagree. Outside: twice the smaller one-sided p-value. Inside: twice the larger (two one-sided
    tests, Schuirmann 1987, at the level of the 95% interval: stricter than the usual 90%).

    Args:
        values: at least one; log ratios, say.
        band: half-width, in the unit of the values.
        cap: as in :func:`signed_rank_interval`.

    >>> claim_p_values([1.0, 1.1, 0.9, 1.05, 0.95, 1.02], 0.5)
    (0.03125, 1.0)
    >>> claim_p_values([0.01, -0.01, 0.02, 0.0, -0.02, 0.015], 0.5)
    (1.0, 0.03125)
    """
    array = np.asarray(values, dtype=float)
    n = len(array)
    weight = cap or n
    # What speaks against "below -band" is the weight at or above it, and so on; a value on the edge is no evidence.
    below = signed_rank_tail(n, _weight_below(-array, band, weight, ties=True), cap)
    above = signed_rank_tail(n, _weight_below(array, band, weight, ties=True), cap)
    not_below = signed_rank_tail(n, _weight_below(array, -band, weight, ties=False), cap)
    not_above = signed_rank_tail(n, _weight_below(-array, -band, weight, ties=False), cap)
    return min(1.0, 2 * min(below, above)), min(1.0, 2 * max(not_below, not_above))


def min_values(confidence: float = 0.95) -> int:
    """Return the fewest values from which a signed-rank test can reach this confidence: 2 * 0.5**n <= 1 - confidence.

    >>> min_values(), min_values(0.99), min_values(1 - 0.05 / 6)
    (6, 8, 8)
    """
    return max(1, math.ceil(1 - math.log2((1 - confidence) * (1 + 1e-9))))


def _weight_below(array: Floats, centre: float, cap: int, *, ties: bool) -> int:
    """Return the sum of capped ranks of the values below ``centre``; ``ties``: whether a tie adds to it."""
    away = array - centre
    is_below = away <= 0 if ties else away < 0
    # Of equal distances the one that counts gets the higher rank if ties count, the lower one otherwise.
    order = np.lexsort((is_below if ties else ~is_below, np.abs(away)))
    return int(np.minimum(np.flatnonzero(is_below[order]) + 1, cap).sum())


def _first_kept(array: Floats, steps: Floats, critical: int, cap: int) -> float:
    """Return the interval's lower end: the smallest step (Walsh average) just above which the test no longer rejects.

    The weight below a centre grows with it and changes at Walsh averages only, so a binary search will do. It is
    taken half-way to the next step, where no two distances are equal.
    """
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        centre = (steps[middle] + steps[middle + 1]) / 2
        if _weight_below(array, float(centre), cap, ties=True) > critical:
            high = middle
        else:
            low = middle + 1
    return float(steps[low])


def _moments(n: int, cap: int) -> tuple[float, float]:
    weights = np.minimum(np.arange(1, n + 1), cap).astype(float)
    return float(weights.sum()) / 2, math.sqrt(float((weights**2).sum())) / 2


@lru_cache(maxsize=256)
def _null_cdf(n: int, cap: int) -> Floats:
    """Return P(T+ <= t): each weight joins the sum with probability one half."""
    mass = np.ones(1)
    for rank in range(1, n + 1):
        weight = min(rank, cap)
        longer = np.zeros(len(mass) + weight)
        longer[: len(mass)] += mass / 2
        longer[weight:] += mass / 2
        mass = longer
    return np.cumsum(mass)
