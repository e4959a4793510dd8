"""Rows that may be compared with each other, as they stand together on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.reports.comparison import Row, comparison_row, notes
from tunebench.reports.text import engines, grouped
from tunebench.reports.units import clean

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Group:
    """Rows that may be compared with each other: one board, one task, one set of conditions."""

    ident: str
    board_id: str
    task: str
    conditions: str
    baseline: str | None
    rows: Rows
    table: Sequence[Row]
    notes: Sequence[tuple[str, str]]

    @property
    def board(self) -> str:
        """The board as the page's filter names it."""
        return clean(self.board_id, 60)

    @property
    def heading(self) -> str:
        """Board and task; the conditions stand in the table's caption and rows."""
        return f"{clean(self.board_id, 60)} · {clean(self.task, 60)}"


def groups_of(rows: Rows) -> list[Group]:
    """The groups of a run, in its order."""
    return [
        Group(
            ident=f"g{index}",
            board_id=board_id,
            task=task,
            conditions=f"{engines(members)} on {conditions}",
            baseline=members[0]["baseline"],
            rows=members,
            table=[comparison_row(row) for row in members],
            notes=notes(members),
        )
        for index, ((board_id, task, conditions), members) in enumerate(grouped(rows).items())
    ]
