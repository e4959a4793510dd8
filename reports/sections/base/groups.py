"""Rows that may be compared with each other, as they stand together on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.answers.families import conditions, engines, grouped
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.rows import Table, comparison_table, notes

__all__ = ["Group", "against", "conditions", "counted", "engines", "grouped", "groups_of"]

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
            conditions=f"{engines(members)} on {shared}",
            baseline=members[0].baseline,
            rows=members,
            table=comparison_table(members),
            notes=notes(members),
        )
        for index, ((board_id, task, shared), members) in enumerate(grouped(rows).items())
    ]


_CLASSES = ("valid", "degraded", "invalid", "failed", "skipped")


def against(rows: Sequence[MethodResult]) -> str:
    """Name the baseline of a table's rows, or say that there is none."""
    name = rows[0].baseline
    return f"baseline {clean(name, 40)}" if name is not None else "no baseline"


def counted(counts: Mapping[str, int]) -> str:
    """Return repetitions by class, in words; classes without any are left out.

    >>> counted({"valid": 3, "degraded": 0, "invalid": 1, "failed": 0, "skipped": 0})
    '3 valid, 1 invalid'
    """
    return ", ".join(f"{counts[name]} {name}" for name in _CLASSES if counts[name]) or "none"
