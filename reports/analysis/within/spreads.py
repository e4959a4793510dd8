"""A median of repetitions, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunebench.reports.analysis.row import Spread
from tunebench.reports.stats.sample import iqr, median_abs_deviation, median_interval


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the spread of the values that are known; None without any."""
    known = [float(value) for value in values if value is not None]
    return known_spread(known) if known else None


def known_spread(known: Sequence[float]) -> Spread:
    """Return the spread of one or more values."""
    middle = median_interval(known)
    return Spread(
        n=middle.n,
        median=middle.median,
        low=middle.low,
        high=middle.high,
        interval=middle.kind,
        confidence=middle.confidence,
        iqr=iqr(known),
        mad=median_abs_deviation(known),
        min=min(known),
        max=max(known),
    )
