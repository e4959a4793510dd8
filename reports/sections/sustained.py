"""The section on sustained load: how fast a method stays on a warm board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import MethodResult, Sustained
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import grid, paragraph
from tunebench.reports.formatting.units import clean, seconds, signed_percent
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Sustained: the same fine-tuning again and again on one board; times are of one fine-tuning, medians over "
    "repetitions. Steady is the last third, the decline is steady over first, less 1."
)
HEADINGS = (
    "board",
    "task",
    "method",
    "n",
    "first",
    "steady",
    "decline",
    "steady after",
    "settled",
    "hottest end",
)


@dataclass(frozen=True)
class _View:
    table: DataTable


class SustainedSection(Section):
    """The section on sustained load; left out if nothing was sustained."""

    ident = "sustained"
    text_place = 40

    def template(self) -> str:
        """Return the section's partial."""
        return partial("sustained")

    def view(self, page: Page) -> _View | None:
        """Return a row a method that was sustained."""
        cells = _cells(page.summary.rows)
        return _View(DataTable(CAPTION, HEADINGS, cells)) if cells else None

    def text(self, summary: Summary) -> Sequence[str]:
        """Return a row a method that was sustained."""
        cells = _cells(summary.rows)
        return [f"{paragraph(CAPTION)}\n{grid(HEADINGS, cells, keys=3)}"] if cells else []


def _cells(rows: Sequence[MethodResult]) -> list[list[str]]:
    return [_row(row, row.sustained) for row in rows if row.sustained]


def _row(row: MethodResult, load: Sustained) -> list[str]:
    after_s, hottest_c = load.time_to_steady_s, load.temp_end_max_c
    return [
        clean(row.board_id, 40),
        clean(row.task, 40),
        clean(row.label, 32),
        str(load.n),
        seconds(load.first_s),
        seconds(load.steady_s),
        signed_percent(load.decline),
        seconds(after_s) if after_s is not None else "-",
        f"{load.n_settled} of {load.n}",
        f"{hottest_c:.0f} °C" if hottest_c is not None else "-",
    ]


SECTION = SustainedSection()
