"""Describe one sample of values in a few numbers: the median with its interval, spread, mean.

The spreads are our own few lines of numpy. scipy's ``median_abs_deviation`` gives the same bits, but loading it takes
nearly a second, which ``tunebench gate`` does not spend otherwise; scipy's ``iqr`` differs in the last bits, and from
one scipy to the next, so stored reports would no longer come out equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunebench.reports.stats.signed_rank import Floats

#: Consistency factor of the median absolute deviation: with it, that of normal values is their standard deviation.
_MAD_SCALE = 1.4826


@dataclass(frozen=True)
class Interval:
    """A median and its interval.

    Attributes:
        median: of the values.
        low: lower end.
        high: upper end.
        kind: ``order-statistic`` (distribution-free interval of the median) or ``range`` (min and max).
        confidence: the coverage guaranteed; None for a range.
        n: number of values.
    """

    median: float
    low: float
    high: float
    kind: Literal["order-statistic", "range"]
    confidence: float | None
    n: int


def median_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Return the median with its order-statistic interval; below six values with the range, labelled as such.

    The interval from the k-th smallest to the k-th largest covers the median with probability
    1 - 2 P(Bin(n, 1/2) <= k - 1), whatever the distribution (David & Nagaraja: Order Statistics, 7.1).

    Raises:
        ValueError: no value, or one that is not finite.

    Examples:
        >>> median_interval([3.0, 1.0, 2.0])
        Interval(median=2.0, low=1.0, high=3.0, kind='range', confidence=None, n=3)
        >>> nine = median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
        >>> nine.low, nine.high, nine.kind, round(nine.confidence, 3)
        (2.0, 8.0, 'order-statistic', 0.961)
    """
    array = np.sort(np.asarray(values, dtype=float))
    if array.ndim != 1 or array.size == 0:
        raise ValueError("median_interval needs at least one value")
    if not np.isfinite(array).all():
        raise ValueError("values must be finite")
    n = len(array)
    depth, coverage = _order_statistic_depth(n, confidence)
    return Interval(
        median=float(np.median(array)),
        low=float(array[max(depth, 1) - 1]),
        high=float(array[n - max(depth, 1)]),
        kind="order-statistic" if depth else "range",
        confidence=coverage if depth else None,
        n=n,
    )


def _order_statistic_depth(n: int, confidence: float) -> tuple[int, float]:
    """Return the largest k whose interval still covers with ``confidence``, and its coverage; (0, 0.0) if none."""
    below, depth, coverage = 0.0, 0, 0.0
    for k in range(1, n // 2 + 1):
        below += math.comb(n, k - 1) / 2**n
        if 1 - 2 * below < confidence:
            break
        depth, coverage = k, 1 - 2 * below
    return depth, coverage


def iqr(values: Sequence[float]) -> float:
    """Return the interquartile range (linear interpolation, numpy's default).

    >>> iqr([1.0, 2.0, 3.0, 4.0])
    1.5
    """
    low, high = np.percentile(np.asarray(values, dtype=float), [25, 75])
    return float(high - low)


def median_abs_deviation(values: Sequence[float] | Floats) -> float:
    """Return the median distance from the median, not scaled.

    >>> median_abs_deviation([1.0, 2.0, 4.0])
    1.0
    """
    array = np.asarray(values, dtype=float)
    return float(np.median(np.abs(array - np.median(array))))


def robust_sd(values: Sequence[float] | Floats) -> float:
    """Return a standard deviation that outliers do not widen: 1.4826 times the median absolute deviation.

    Rousseeuw & Croux, J. Amer. Statist. Assoc. 88 (1993) 1273.

    >>> robust_sd([1.0, 2.0, 4.0, 1000.0])
    2.2239
    """
    return _MAD_SCALE * median_abs_deviation(values)


def mean_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation; the latter is None for a single value.

    Raises:
        ValueError: no value.

    >>> mean_sd([1.0, 3.0]), mean_sd([1.0])
    ((2.0, 1.4142135623730951), (1.0, None))
    """
    array = np.asarray(values, dtype=float)
    if array.size == 0:
        raise ValueError("mean_sd needs at least one value")
    return float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else None
