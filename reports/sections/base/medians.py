"""Write a median as a cell of a table: alone, or with its interval."""

from __future__ import annotations

from tunebench.reports.analysis.row import Median
from tunebench.reports.formatting.units import seconds

#: what stands where nothing was measured
NONE = "–"


def in_seconds(value: Median | None) -> str:
    """Return a median of seconds; a dash where there is none."""
    return seconds(value.median) if value is not None else NONE


def with_interval(value: Median) -> str:
    """Return a median of seconds with its interval; a range says that it is one."""
    words = "" if value.interval != "range" else " range"
    return f"{seconds(value.median)} ({seconds(value.low)} to {seconds(value.high)}{words})"
