"""Compare two independent samples: Hodges-Lehmann shift of logarithms with the exact Mann-Whitney interval.

For two runs of one series. They are two occasions, not pairs: the interval tells what the repetitions of these very
runs allow, and nothing about how far two runs of the same build lie apart (``tunebench calibrate`` tells that).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebench.reports.stats.paired import ComparisonVerdict, check_delta, judge

#: With fewer values on either side no 95% interval exists that is worth a word.
MIN_VALUES = 5
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Shift:
    """The ratio of the second sample to the first; above 1 the second is larger.

    Attributes:
        low: of the interval at ``confidence``, or of the range of all ratios where there are too few values.
        interval: ``mann-whitney`` or ``range``.
        verdict: as in :func:`tunebench.reports.stats.paired.compare`: SLOWER says that the second is larger.
    """

    ratio: float
    low: float
    high: float
    interval: str
    confidence: float | None
    verdict: ComparisonVerdict
    n: tuple[int, int]


def shift(first: Sequence[float], second: Sequence[float], *, delta: float) -> Shift:
    """Estimate the ratio of the second sample to the first (Hodges & Lehmann 1963; Mann & Whitney 1947).

    Args:
        first: positive values.
        second: positive values, not paired with the first.
        delta: relative difference that does not matter.

    Raises:
        ValueError: an empty sample, or a value that is not positive.

    >>> result = shift([1.0, 1.01, 0.99, 1.0, 1.02, 0.98], [1.1, 1.11, 1.09, 1.1, 1.12, 1.08], delta=0.02)
    >>> round(result.ratio, 2), result.verdict
    (1.1, 'SLOWER')
    >>> shift([1.0], [1.1], delta=0.02).verdict
    'NO VERDICT'
    """
    check_delta(delta)
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not a.size or not b.size or not (np.all(a > 0) and np.all(b > 0)):
        raise ValueError("shift needs two samples of positive values")
    ratios = np.sort((np.log(b)[:, None] - np.log(a)[None, :]).ravel())
    n, m = len(a), len(b)
    middle = math.exp(float(np.median(ratios)))
    if min(n, m) < MIN_VALUES:
        low, high = float(ratios[0]), float(ratios[-1])
        return Shift(middle, math.exp(low), math.exp(high), "range", None, "NO VERDICT", (n, m))
    depth, confidence = _depth(n, m)
    low, high = float(ratios[depth - 1]), float(ratios[-depth])
    verdict = judge(low, high, math.log1p(delta))
    return Shift(middle, math.exp(low), math.exp(high), "mann-whitney", confidence, verdict, (n, m))


def _depth(n: int, m: int) -> tuple[int, float]:
    """Return the rank of the ordered difference that bounds the shift at 95%, and its exact confidence.

    >>> depth, confidence = _depth(5, 5)
    >>> depth, round(confidence, 3)
    (3, 0.968)
    """
    counts = _rank_sums(n, m)
    below = np.cumsum(counts) / counts.sum()
    depth = max(1, int(np.searchsorted(below, (1 - _CONFIDENCE) / 2, side="right")))
    return depth, float(1 - 2 * below[depth - 1])


def _rank_sums(n: int, m: int) -> np.ndarray:
    """Return how many arrangements give each value of Mann and Whitney's U, 0 ... n m (as floats: shares matter)."""
    counts = np.zeros(n * m + 1)
    counts[0] = 1.0
    for i in range(1, n + 1):
        # Times (1 - q^(m+i)), divided by (1 - q^i): the Gaussian binomial, factor by factor.
        if m + i <= n * m:
            counts[m + i :] -= counts[: n * m + 1 - m - i].copy()
        for u in range(i, n * m + 1):
            counts[u] += counts[u - i]
    return counts
