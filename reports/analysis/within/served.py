"""Rows that run a network in a runtime, and the cells by which tables name them and tell their medians."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import Median, MethodResult, Served
from tunebench.reports.formatting.units import clean, seconds

#: the cell of what was not measured
NONE = "–"


def served_rows(rows: Sequence[MethodResult]) -> list[tuple[MethodResult, Served]]:
    """Return the rows that run a network, with what it took."""
    return [(row, row.inference) for row in rows if row.inference is not None]


def keys_of(row: MethodResult) -> list[str]:
    """Return the cells that name a row: board, task, label."""
    return [clean(row.board_id, 40), clean(row.task, 60), clean(row.label, 40)]


def in_seconds(value: Median | None) -> str:
    """Return a median of seconds; a dash where there is none."""
    return seconds(value.median) if value is not None else NONE


def with_interval(value: Median) -> str:
    """Return a median of seconds with its interval; a range says that it is one."""
    words = "" if value.interval != "range" else " range"
    return f"{seconds(value.median)} ({seconds(value.low)} to {seconds(value.high)}{words})"
