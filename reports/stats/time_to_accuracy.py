"""Summarise and compare time and energy to a quality, with runs that never reach it counted as such.

A run's curve holds its quality at a few points on the way. The time to quality is that of the first point at or
above the target: no value between two points is guessed. A run that never gets there has no time: it counts as slower
than every run that did (as in MLPerf Training, whose olympic mean drops the best and the worst run and allows one run
that does not converge).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunebench.reports.stats.paired import ComparisonVerdict, check_delta, judge
from tunebench.reports.stats.sample import Interval, median_interval


@dataclass(frozen=True)
class ToQuality:
    """Summary of the seconds or joules that several runs took to reach a quality.

    Attributes:
        n: runs with a curve.
        reached: how many reached the target.
        median: over all runs, those that never did counted as slowest; None if the middle run never did.
        low: lower end of the interval of the median; None if there is no finite one.
        high: its upper end; None: not bounded, since too many runs never reached the target.
        kind: ``order-statistic`` (95%) or ``range`` (below six runs).
        olympic: mean without the best and the worst run; None below three runs or if more than one never got there.
    """

    n: int
    reached: int
    median: float | None
    low: float | None
    high: float | None
    kind: str
    olympic: float | None


@dataclass(frozen=True)
class ToQualityComparison:
    """A candidate's values to quality against the baseline's, paired by block.

    Attributes:
        ratio: candidate / baseline, median over blocks; None if it is not finite.
        low: lower end of the order-statistic interval; None if not bounded.
        high: its upper end; None if not bounded.
        verdict: as in :func:`tunebench.reports.stats.paired.compare`.
        n: blocks in which at least one of the two reached the target.
        neither: blocks in which neither did: they say nothing about which is faster.
    """

    ratio: float | None
    low: float | None
    high: float | None
    verdict: ComparisonVerdict
    n: int
    neither: int


def value_at_quality(values: Sequence[float], qualities: Sequence[float], target: float) -> float | None:
    """Return the value (seconds, joules) of the first point whose quality reaches the target; None if no point does.

    Raises:
        ValueError: lengths differ, or values do not rise.

    >>> value_at_quality([0.0, 1.5, 3.0, 4.5], [0.5, 0.8, 0.91, 0.93], 0.9)
    3.0
    >>> value_at_quality([0.0, 1.5], [0.5, 0.8], 0.9) is None
    True
    """
    if len(values) != len(qualities):
        raise ValueError(f"{len(values)} values for {len(qualities)} qualities")
    if any(later < earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError("values must not fall along a curve")
    return next((value for value, quality in zip(values, qualities, strict=True) if quality >= target), None)


def to_quality(values: Sequence[float | None]) -> ToQuality:
    """Summarise the seconds or joules of several runs; None stands for a run that never reached the target.

    Raises:
        ValueError: no run, or a value that is negative or not finite.

    >>> to_quality([3.0, 2.0, None, 4.0])
    ToQuality(n=4, reached=3, median=3.5, low=2.0, high=None, kind='range', olympic=3.5)
    >>> to_quality([None, None, 4.0]).median is None
    True
    """
    if not values:
        raise ValueError("to_quality needs at least one run")
    if any(value is not None and not (math.isfinite(value) and value >= 0) for value in values):
        raise ValueError("values must be finite and not negative; None stands for a run that never got there")
    ordered = sorted(math.inf if value is None else value for value in values)
    n, reached = len(ordered), sum(math.isfinite(value) for value in ordered)
    low, high, kind = _ranks(n)
    return ToQuality(
        n=n,
        reached=reached,
        median=_finite(_middle(ordered)),
        low=_finite(ordered[low]),
        high=_finite(ordered[high]),
        kind=kind,
        olympic=_finite(sum(ordered[1:-1]) / (n - 2)) if n >= 3 else None,
    )


def compare_to_quality(
    baseline: Sequence[float | None], candidate: Sequence[float | None], *, delta: float
) -> ToQualityComparison:
    """Compare the seconds or joules that two methods took in each block to reach the same target.

    A block in which only one of them got there counts fully for that one. The interval is that of the median of the
    block ratios by order statistics, which needs no more than an order.

    Raises:
        ValueError: lengths differ, there is no block, a value is not positive, or delta is not.

    >>> base, fast = [10.0, 11.0, 10.5, None, 10.0, 10.2], [5.0, 5.5, 5.2, 5.0, 5.1, 5.0]
    >>> result = compare_to_quality(base, fast, delta=0.02)
    >>> result.verdict, round(result.ratio, 2), result.low, round(result.high, 2)
    ('FASTER', 0.5, None, 0.51)
    >>> compare_to_quality(fast, [None] * 6, delta=0.02).verdict
    'SLOWER'
    """
    if len(baseline) != len(candidate) or not baseline:
        raise ValueError(f"values must be paired by block: got {len(baseline)} and {len(candidate)}")
    check_delta(delta)
    if any(v is not None and not (math.isfinite(v) and v > 0) for v in [*baseline, *candidate]):
        raise ValueError("values must be positive and finite; None stands for a run that never got there")
    logs = sorted(
        _log_ratio(base, other)
        for base, other in zip(baseline, candidate, strict=True)
        if base is not None or other is not None
    )
    neither = len(baseline) - len(logs)
    if not logs:
        return ToQualityComparison(None, None, None, "NO VERDICT", 0, neither)
    low, high, kind = _ranks(len(logs))
    verdict: ComparisonVerdict = "NO VERDICT"
    if kind != "range":
        verdict = judge(logs[low], logs[high], math.log1p(delta))
    return ToQualityComparison(
        ratio=_ratio(_middle(logs)),
        low=_ratio(logs[low]),
        high=_ratio(logs[high]),
        verdict=verdict,
        n=len(logs),
        neither=neither,
    )


def _ranks(n: int) -> tuple[int, int, str]:
    """Return the positions of the ends of :func:`median_interval` in n ordered values, and its kind."""
    places: Interval = median_interval(np.arange(n, dtype=float).tolist())
    return round(places.low), round(places.high), places.kind


def _middle(ordered: Sequence[float]) -> float:
    """Return the median; infinite if one of its two middle values is infinite, NaN if they are opposite infinities."""
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def _log_ratio(base: float | None, other: float | None) -> float:
    if base is None:
        return -math.inf
    return math.inf if other is None else math.log(other / base)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _ratio(log: float) -> float | None:
    return math.exp(log) if math.isfinite(log) else None
