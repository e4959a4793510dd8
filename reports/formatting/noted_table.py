"""A table with notes below it, and what a plan has left out: the view of sections that show no more than that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tunebench.reports.formatting.table import DataTable, bullets, grid, paragraph
from tunebench.reports.formatting.units import clean


@dataclass(frozen=True)
class NotedTable:
    """A section's table, ``None`` where it has no row, and its notes."""

    table: DataTable | None
    notes: Sequence[str]

    def text(self, title: str, caption: str) -> list[str]:
        """Return its blocks of plain text; board, task, method and a fourth column name a row."""
        laid_out = f"\n{grid(self.table.columns, self.table.rows, keys=4)}" if self.table else ""
        blocks = [f"{title}\n{paragraph(caption)}{laid_out}"]
        return [*blocks, bullets(self.notes)] if self.notes else blocks


def noted_table(
    caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> NotedTable | None:
    """Return the view of a section, each note once; ``None`` where there is nothing to show."""
    if not rows and not notes:
        return None
    table = DataTable(caption, headings, rows) if rows else None
    return NotedTable(table, list(dict.fromkeys(notes)))


def left_out(skipped: Sequence[Mapping[str, object]], begins: str) -> list[str]:
    """Return a note on each skip of a summary whose reason begins so."""
    return [
        f"Left out on {clean(str(skip.get('board_id')), 40)}: {clean(str(skip['reason']), 300)}."
        for skip in skipped
        if str(skip.get("reason")).startswith(begins)
    ]
