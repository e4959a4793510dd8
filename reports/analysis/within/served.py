"""Rows that run a network in a runtime, and the cells by which tables name them."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult, Served
from tunebench.reports.formatting.units import clean


def served_rows(rows: Sequence[MethodResult]) -> list[tuple[MethodResult, Served]]:
    """Return the rows that run a network, with what it took."""
    return [(row, row.inference) for row in rows if row.inference is not None]


def keys_of(row: MethodResult) -> list[str]:
    """Return the cells that name a row: board, task, label."""
    return [clean(row.board_id, 40), clean(row.task, 60), clean(row.label, 40)]
