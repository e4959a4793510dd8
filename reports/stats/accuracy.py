"""Compare two methods' accuracies, paired by seed and by test item, from stored predictions.

Both methods predict the same items after training with the same seeds, so an item that both get right, or both wrong,
says nothing; what counts are the items on which they differ. Two things would differ another time: the seed and
the items. :func:`compare_accuracy` lets both vary (a bootstrap over seeds and items at once: Owen, Ann. Appl. Stat. 1
(2007) 386, who shows that it errs on the safe side); :func:`mcnemar` is the exact test for one seed.
Repeating a test set with many seeds gives more seeds, not more items: the items' share of the uncertainty stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunebench.reports.stats.attainable import RESAMPLES
from tunebench.reports.stats.distributions import (
    binomial_p,
    normal_quantile_above,
    normal_tail,
    t_quantile,
    t_tail,
)
from tunebench.reports.stats.paired import (
    MAX_BLOCKS_NEEDED,
    MIN_BLOCKS,
    check_delta,
    difference,
    further_blocks,
)
from tunebench.reports.stats.signed_rank import Floats, claim_p_values, half, min_values

AccuracyVerdict = Literal["HIGHER", "LOWER", "SAME", "UNCLEAR", "NO VERDICT"]
#: Above so many items the draws of items are not kept for the next comparison (40 MB).
_MANY_ITEMS = 5000


@dataclass(frozen=True)
class AccuracyComparison:
    """The candidate's accuracy less the baseline's, in percentage points.

    Attributes:
        points: mean difference over seeds and items.
        low: lower end of the interval.
        high: upper end.
        verdict: against the band of +-delta points.
        n: seeds (blocks).
        items: test items; 0: not known item by item (:func:`compare_accuracies`).
        discordant: share of (seed, item) on which exactly one of the two was right; None if not known.
        blocks_needed: estimated number of further blocks until the verdict can be clear; 0 = it is.
        limited_by: what the width of the interval mostly comes from: ``items``, ``blocks``, or None if it has none.
        delta: half-width of the band, points.
        confidence: of the interval; None for a range (below six blocks).
        p_outside: p-value of the claim that the difference exceeds the band.
        p_inside: p-value of the claim that it does not.
    """

    points: float
    low: float
    high: float
    verdict: AccuracyVerdict
    n: int
    items: int
    discordant: float | None
    blocks_needed: int
    limited_by: Literal["items", "blocks"] | None
    delta: float
    confidence: float | None
    p_outside: float
    p_inside: float


def mcnemar(baseline_right: Sequence[bool], candidate_right: Sequence[bool]) -> tuple[int, int, float]:
    """Return McNemar's exact test on one seed's predictions.

    Args:
        baseline_right: for each item whether the baseline was right.
        candidate_right: the candidate's, in the same order of items.

    Returns:
        (items only the baseline got right, items only the candidate did, two-sided exact p-value).

    Raises:
        ValueError: lengths differ or there is no item.

    >>> mcnemar([True] * 6 + [False] * 2, [False] * 6 + [False] * 2)
    (6, 0, 0.03125)
    >>> mcnemar([True, False], [True, False])
    (0, 0, 1.0)
    """
    base, other = np.asarray(baseline_right, dtype=bool), np.asarray(candidate_right, dtype=bool)
    if base.ndim != 1 or base.shape != other.shape or base.size == 0:
        raise ValueError(f"predictions must be paired by item: got {base.shape} and {other.shape}")
    lost, won = int((base & ~other).sum()), int((~base & other).sum())
    p = binomial_p(lost, lost + won) if lost + won else 1.0
    return lost, won, float(p)


def compare_accuracy(
    baseline_right: Sequence[Sequence[bool]] | NDArray[np.bool_],
    candidate_right: Sequence[Sequence[bool]] | NDArray[np.bool_],
    *,
    delta: float = 0.5,
    level: float = 0.05,
    seed: int = 0,
) -> AccuracyComparison:
    """Compare two methods' accuracy on predictions paired by block (seed) and item.

    Args:
        baseline_right: for each block and item whether the baseline was right, after training.
        candidate_right: the candidate's, same blocks, same items.
        delta: difference that does not matter, in percentage points.
        level: 1 - confidence of the interval.
        seed: of the resampling; equal seeds give equal intervals.

    Returns:
        The difference with its interval and a verdict; NO VERDICT and the range over seeds below six blocks.

    Raises:
        ValueError: shapes differ or are empty, or delta is not positive.

    Examples:
        >>> rng = np.random.default_rng(1)
        >>> base = rng.random((8, 400)) < 0.80
        >>> better = base | (rng.random((8, 400)) < 0.5)
        >>> result = compare_accuracy(base, better, delta=0.5)
        >>> result.verdict, round(result.points), result.n, result.items
        ('HIGHER', 10, 8, 400)
        >>> compare_accuracy(base, base).verdict
        'SAME'
        >>> compare_accuracy(base[:3], better[:3]).verdict
        'NO VERDICT'
    """
    base, other = np.asarray(baseline_right), np.asarray(candidate_right)
    if base.ndim != 2 or base.shape != other.shape or base.size == 0:
        raise ValueError(f"predictions must be paired by block and item: got {base.shape} and {other.shape}")
    check_delta(delta)
    gain = 100.0 * (other.astype(float) - base.astype(float))
    n, items = gain.shape
    per_block, points = gain.mean(axis=1), float(gain.mean())
    judged = n >= MIN_BLOCKS
    parts = _spreads(gain)
    if judged:
        draws, freedom = _resampled(gain, seed), _freedom(parts, n, items)
        low, high = _percentiles(draws, level, freedom)
        p_outside, p_inside = _claims(draws, delta, freedom)
    else:
        low, high, p_outside, p_inside = float(per_block.min()), float(per_block.max()), 1.0, 1.0
    verdict = accuracy_verdict(low, high, delta) if judged else "NO VERDICT"
    # What is neither a block's nor an item's own shrinks with either; a lab can add blocks.
    item_sd, block_sd = parts[0], math.hypot(parts[1], parts[2])
    return AccuracyComparison(
        points=points,
        low=low,
        high=high,
        verdict=verdict,
        n=n,
        items=items,
        discordant=float((base != other).mean()),
        blocks_needed=_blocks_needed(
            verdict, abs(abs(points) - delta) / _quantile(level), n, item_sd, block_sd
        ),
        limited_by=None if not (item_sd or block_sd) else "items" if item_sd >= block_sd else "blocks",
        delta=delta,
        confidence=1 - level if judged else None,
        p_outside=p_outside,
        p_inside=p_inside,
    )


def compare_accuracies(
    baseline: Sequence[float], candidate: Sequence[float], *, delta: float = 0.5, level: float = 0.05
) -> AccuracyComparison:
    """Compare accuracies paired by block, for runs without stored predictions: the test items are then taken as given.

    Args:
        baseline: shares (0 to 1), one a block.
        candidate: the candidate's, in the same order.
        delta: difference that does not matter, in percentage points.
        level: 1 - confidence of the exact signed-rank interval.

    Raises:
        ValueError: lengths differ, there is no block, a value is not finite, or delta is not positive.

    >>> result = compare_accuracies([0.90] * 8, [0.921, 0.919, 0.92, 0.92, 0.922, 0.918, 0.92, 0.92])
    >>> result.verdict, round(result.points, 2)
    ('HIGHER', 2.0)
    """
    check_delta(delta)
    base, other = (100 * np.asarray(shares, dtype=float) for shares in (baseline, candidate))
    paired = difference(base.tolist(), other.tolist(), confidence=1 - level)
    judged = paired.n >= MIN_BLOCKS
    outside, inside = claim_p_values(other - base, delta + 1e-9, cap=half(paired.n)) if judged else (1.0, 1.0)
    # Without an interval of this level (few blocks, many methods) there is none to judge by.
    verdict = accuracy_verdict(paired.low, paired.high, delta) if paired.confidence else "UNCLEAR"
    verdict = verdict if judged else "NO VERDICT"
    needed = max(MIN_BLOCKS, min_values(1 - level)) - paired.n
    if paired.confidence:
        needed = further_blocks(paired.shift, (paired.high - paired.low) / 2, delta, paired.n)
    return AccuracyComparison(
        points=paired.shift,
        low=paired.low,
        high=paired.high,
        verdict=verdict,
        n=paired.n,
        items=0,
        discordant=None,
        blocks_needed=needed if verdict in ("UNCLEAR", "NO VERDICT") else 0,
        limited_by=None,
        delta=delta,
        confidence=paired.confidence,
        p_outside=outside,
        p_inside=inside,
    )


def accuracy_verdict(low: float, high: float, delta: float) -> AccuracyVerdict:
    """Judge an interval of points against a band of +-delta.

    >>> accuracy_verdict(0.6, 2.0, 0.5), accuracy_verdict(-0.5, 0.5, 0.5), accuracy_verdict(-3.0, 0.1, 0.5)
    ('HIGHER', 'SAME', 'UNCLEAR')
    """
    # Accuracies are counts over items: the tolerance keeps a difference of exactly the band inside it.
    edge = delta + 1e-9
    if low > edge:
        return "HIGHER"
    if high < -edge:
        return "LOWER"
    return "SAME" if -edge <= low and high <= edge else "UNCLEAR"


def _resampled(gain: Floats, seed: int) -> Floats:
    """Return the means of resamples in which blocks and items are both drawn with replacement, sorted."""
    n, items = gain.shape
    telling = np.flatnonzero(gain.any(axis=0))
    if items <= _MANY_ITEMS:
        blocks, drawn = _draws(n, items, seed)
        drawn = drawn[:, telling]
    else:
        # Items on which nobody ever differs only take draws away from the others: one bin holds them all.
        rest = (items - len(telling)) / items
        shares = np.append(np.full(len(telling), (1 - rest) / max(1, len(telling))), rest)
        rng = np.random.default_rng(seed)
        blocks = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        drawn = rng.multinomial(items, shares, RESAMPLES)[:, :-1] / items
    means: Floats = np.sort(((blocks @ gain[:, telling]) * drawn).sum(axis=1))
    return means


@lru_cache(maxsize=2)
def _draws(n: int, items: int, seed: int) -> tuple[Floats, NDArray[np.float32]]:
    """Return the weights of blocks and of items in each resample; methods compared on equal items share them."""
    rng = np.random.default_rng(seed)
    blocks = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
    drawn = rng.multinomial(items, np.full(items, 1 / items), RESAMPLES)
    return blocks, (drawn / items).astype(np.float32)


def _percentiles(draws: Floats, level: float, freedom: float) -> tuple[float, float]:
    """Return percentiles further out than level / 2, because Student's t is wider than the normal distribution.

    The "expanded percentile" interval of Hesterberg, The American Statistician 69 (2015) 371.
    """
    quantile = _widening(freedom) * t_quantile(1 - level / 2, freedom)
    tail = normal_tail(quantile)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _claims(draws: Floats, delta: float, freedom: float) -> tuple[float, float]:
    """Return the p-values of "outside" and "inside": the level at which the interval just supports the claim."""
    edge = delta + 1e-9

    def p(tail: float) -> float:
        quantile = normal_quantile_above(min(0.5, tail)) / _widening(freedom)
        return min(1.0, 2 * t_tail(quantile, freedom))

    def share(hits: NDArray[np.bool_]) -> float:
        # One more in the count: a tail that no resample reached is small, not zero.
        return (float(hits.sum()) + (0.0 if draws[0] == draws[-1] else 1.0)) / (len(draws) + 1)

    outside = min(share(draws <= edge), share(draws >= -edge))
    inside = max(share(draws < -edge), share(draws > edge))
    return p(outside), p(inside)


def _quantile(level: float) -> float:
    return normal_quantile_above(level / 2)


def _widening(freedom: float) -> float:
    """Return the factor that corrects the resamples' spread, which shows n - 1 of n parts of the variance."""
    return math.sqrt((freedom + 1) / freedom)


def _freedom(parts: tuple[float, float, float], n: int, items: int) -> float:
    """Return the degrees of freedom (Satterthwaite): few if blocks cause most of the spread, many if items do."""
    item, block, rest = (part**2 for part in parts)
    total = item + block + rest
    if total == 0:
        return float(n - 1)
    split = item**2 / max(1, items - 1) + block**2 / (n - 1) + rest**2 / max(1, (n - 1) * (items - 1))
    return max(float(n - 1), total**2 / split)


def _spreads(gain: Floats) -> tuple[float, float, float]:
    """Return the standard errors of the mean from items, from blocks and from neither (analysis of variance)."""
    n, items = gain.shape
    mean = gain.mean()
    by_block, by_item = gain.mean(axis=1) - mean, gain.mean(axis=0) - mean
    rest = gain - mean - by_block[:, None] - by_item[None, :]
    noise = float((rest**2).sum()) / max(1, (n - 1) * (items - 1))
    item = max(0.0, n * float((by_item**2).sum()) / max(1, items - 1) - noise) / (n * items)
    block = max(0.0, items * float((by_block**2).sum()) / max(1, n - 1) - noise) / (n * items)
    return math.sqrt(item), math.sqrt(block), math.sqrt(noise / (n * items))


def _blocks_needed(verdict: AccuracyVerdict, error: float, n: int, item_sd: float, block_sd: float) -> int:
    """Estimate the blocks still needed for a clear verdict; the largest number if more blocks cannot give one."""
    if verdict == "NO VERDICT":
        return MIN_BLOCKS - n
    if verdict != "UNCLEAR":
        return 0
    # The variance that would do, less the items' part of it.
    room = error**2 - item_sd**2
    if room <= 0 or n * block_sd**2 / room > n + MAX_BLOCKS_NEEDED:
        return MAX_BLOCKS_NEEDED
    return max(1, math.ceil(n * block_sd**2 / room) - n)
