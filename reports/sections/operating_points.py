"""The section on operating points: seconds and joules of each method in each power mode, or at each clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import Median, MethodResult, UnderStress
from tunebench.reports.figures import Figure
from tunebench.reports.figures.operating_points import OperatingPoint, operating_points_figure
from tunebench.reports.formatting.noted_table import NotedTable, left_out, noted_table
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, joules, seconds, significant
from tunebench.reports.records import OPERATING_POINTS
from tunebench.reports.sections.base.section import NotedSection, Page, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Joules against seconds of one fine-tuning at each operating point (power mode or clock), measured in turn within "
    "the same blocks and read back from the board; medians with their intervals (* fewer than six values: smallest and "
    "largest). Joules are gross: idle baselines are measured at the board's own setting."
)
HEADINGS = ("board", "task", "method", "operating point", "n", "time", "gross J", "mean power")
_SKIPPED = "operating point "


@dataclass(frozen=True)
class OperatingPointsView:
    """What the page shows: a figure a board and task whose joules are known, the table of all, notes."""

    figures: Sequence[Figure]
    table: DataTable | None
    notes: Sequence[str]


class OperatingPointsSection(NotedSection):
    """The section on operating points; left out where a suite names none."""

    ident = "operating-points"
    nav = "Operating points"
    text_place = 31
    caption = CAPTION

    def template(self) -> str:
        """Return the section's partial."""
        return partial("operating_points")

    def view(self, page: Page) -> object | None:
        """Return the table and its notes, with a figure where joules are known."""
        noted = self.noted(page.summary)
        if noted is None:
            return None
        return OperatingPointsView(page.lighter(_figures(page)), noted.table, noted.notes)

    def noted(self, summary: Summary) -> NotedTable | None:
        """Return a row a method and operating point, and why others, or joules, are missing."""
        return _noted(summary)


def _rows(summary: Summary) -> list[tuple[MethodResult, UnderStress]]:
    """Return the rows at operating points, each with which one."""
    return [
        (row, under)
        for row in summary.rows
        if (under := row.under_stress) is not None and under.kind in OPERATING_POINTS and not row.aa_control
    ]


def _figures(page: Page) -> list[Figure]:
    """Draw each board and task that has a joule and a second above zero."""
    groups: dict[tuple[str, str, str], list[OperatingPoint]] = {}
    for row, under in _rows(page.summary):
        energy, wall_s = row.energy, row.wall_s
        if energy is None or wall_s is None or min(energy.gross_j.low, wall_s.low) <= 0:
            continue
        groups.setdefault((row.board_id, under.quiet_task, energy.scope), []).append(
            OperatingPoint(
                row.label,
                under.id,
                wall_s.median,
                (wall_s.low, wall_s.high),
                energy.gross_j.median,
                (energy.gross_j.low, energy.gross_j.high),
            )
        )
    return [
        operating_points_figure(
            f"operating-points-{number}", points, page.styles, heading=f"{task} on {board_id}", scope=scope
        )
        for number, ((board_id, task, scope), points) in enumerate(groups.items(), 1)
    ]


def _noted(summary: Summary) -> NotedTable | None:
    rows = _rows(summary)
    notes = [
        f"No joules of {clean(row.label, 32)} on {clean(row.board_id, 40)}: {clean(row.energy_missing, 300)}."
        for row, _ in rows
        if row.energy is None and row.energy_missing
    ]
    notes += left_out(summary.skipped, _SKIPPED)
    return noted_table(CAPTION, HEADINGS, [_row(row, under) for row, under in rows], notes)


def _row(row: MethodResult, under: UnderStress) -> list[str]:
    return [
        clean(row.board_id, 40),
        clean(under.quiet_task, 40),
        clean(row.label, 32),
        clean(under.id, 40),
        str(row.n),
        _interval(row.wall_s, seconds) if row.wall_s is not None else "-",
        _interval(row.energy.gross_j, joules) if row.energy is not None else "-",
        f"{significant(row.energy.mean_w)} W" if row.energy is not None else "-",
    ]


def _interval(spread: Median, words: Callable[[float], str]) -> str:
    star = "*" if spread.interval == "range" else ""
    return f"{words(spread.median)} [{words(spread.low)}, {words(spread.high)}]{star}"


SECTION = OperatingPointsSection()
