"""Rows that may be compared with each other: one board, one task, one set of conditions."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.units import clean


def grouped(rows: Sequence[MethodResult]) -> dict[tuple[str, str, str], list[MethodResult]]:
    """Group rows that may be compared with each other: by (board, task, conditions)."""
    groups: dict[tuple[str, str, str], list[MethodResult]] = {}
    for row in rows:
        groups.setdefault((row.board_id, row.task, conditions(row)), []).append(row)
    return groups


def engines(rows: Sequence[MethodResult]) -> str:
    """Return the engines of a table's rows, in their order."""
    return " and ".join(dict.fromkeys(clean(row.engine, 40) for row in rows))


def conditions(row: MethodResult) -> str:
    """Return a row's conditions (engine build, device, threads, dtype, power mode), which compared rows have equal."""
    threads = f"{row.threads} thread{'s' if row.threads != 1 else ''}"
    build = f"build {row.engine_build}" if row.engine_build else ""
    parts = [row.device, threads, row.dtype, build, row.power_mode or ""]
    return " ".join(part for part in parts if part)
