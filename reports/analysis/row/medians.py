"""Medians with their intervals, and ratios of paired values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Median:
    """The median of some values with its interval.

    Attributes:
        n: how many values.
        interval: ``order-statistic`` (95%) or ``range`` (smallest and largest: too few values for an interval).
        confidence: what the interval guarantees, a share; None for a range.
    """

    n: int
    median: float
    low: float
    high: float
    interval: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Spread(Median):
    """A median, and how far the values lie apart: interquartile range, median absolute deviation, extremes."""

    iqr: float
    mad: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """Values over those of another cell in the same blocks: the ratio's estimate with its interval, alone."""

    ratio: float
    low: float
    high: float
    interval: str
    confidence: float | None
    n: int
