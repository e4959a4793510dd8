"""Rows that may be compared with each other, as they stand together on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.rows import Table, comparison_table, notes

Rows = Sequence[MethodResult]


@dataclass(frozen=True)
class Group:
    """Rows that may be compared with each other: one board, one task, one set of conditions."""

    ident: str
    board_id: str
    task: str
    conditions: str
    baseline: str | None
    rows: Rows
    table: Table
    notes: Sequence[tuple[str, str]]

    @property
    def board(self) -> str:
        """Return the board as the page's filter names it."""
        return clean(self.board_id, 60)

    @property
    def heading(self) -> str:
        """Return board and task; the conditions stand in the table's caption and rows."""
        return f"{clean(self.board_id, 60)} · {clean(self.task, 60)}"


def groups_of(rows: Rows) -> list[Group]:
    """Return the groups of a run, in the order of its rows."""
    return [
        Group(
            ident=f"g{index}",
            board_id=board_id,
            task=task,
            conditions=f"{engines(members)} on {conditions}",
            baseline=members[0].baseline,
            rows=members,
            table=comparison_table(members),
            notes=notes(members),
        )
        for index, ((board_id, task, conditions), members) in enumerate(grouped(rows).items())
    ]


_CLASSES = ("valid", "degraded", "invalid", "failed", "skipped")


def grouped(rows: Sequence[MethodResult]) -> dict[tuple[str, str, str], list[MethodResult]]:
    """Group rows that may be compared with each other: by (board, task, conditions)."""
    groups: dict[tuple[str, str, str], list[MethodResult]] = {}
    for row in rows:
        groups.setdefault((row.board_id, row.task, conditions(row)), []).append(row)
    return groups


def engines(rows: Sequence[MethodResult]) -> str:
    """Return the engines of a table's rows, in their order."""
    return " and ".join(dict.fromkeys(clean(row.engine, 40) for row in rows))


def against(rows: Sequence[MethodResult]) -> str:
    """Name the baseline of a table's rows, or say that there is none."""
    name = rows[0].baseline
    return f"baseline {clean(name, 40)}" if name is not None else "no baseline"


def conditions(row: MethodResult) -> str:
    """Return a row's conditions (engine build, device, threads, dtype, power mode), which compared rows have equal."""
    threads = f"{row.threads} thread{'s' if row.threads != 1 else ''}"
    build = f"build {row.engine_build}" if row.engine_build else ""
    parts = [row.device, threads, row.dtype, build, row.power_mode or ""]
    return " ".join(part for part in parts if part)


def counted(counts: Mapping[str, int]) -> str:
    """Return repetitions by class, in words; classes without any are left out.

    >>> counted({"valid": 3, "degraded": 0, "invalid": 1, "failed": 0, "skipped": 0})
    '3 valid, 1 invalid'
    """
    return ", ".join(f"{counts[name]} {name}" for name in _CLASSES if counts[name]) or "none"
