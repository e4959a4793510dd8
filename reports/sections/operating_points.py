"""The section on operating points: seconds and joules of each method in each power mode, or at each clock."""

from __future__ import annotations

from collections.abc import Callable

from tunebench.reports.analysis.row import Median, MethodResult, UnderStress
from tunebench.reports.formatting.noted_table import NotedTable, left_out, noted_table
from tunebench.reports.formatting.units import clean, joules, seconds, significant
from tunebench.reports.records import OPERATING_POINTS
from tunebench.reports.sections.base.section import NotedSection, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Joules against seconds of one fine-tuning at each operating point (power mode or clock), measured in turn within "
    "the same blocks and read back from the board; medians with their intervals (* fewer than six values: smallest and "
    "largest). Joules are gross: idle baselines are measured at the board's own setting."
)
HEADINGS = ("board", "task", "method", "operating point", "n", "time", "gross J", "mean power")
_SKIPPED = "operating point "


class OperatingPointsSection(NotedSection):
    """The section on operating points; left out where a suite names none."""

    ident = "operating-points"
    nav = "Operating points"
    text_place = 31
    caption = CAPTION

    def template(self) -> str:
        """Return the section's partial."""
        return partial("operating_points")

    def noted(self, summary: Summary) -> NotedTable | None:
        """Return a row a method and operating point, and why others, or joules, are missing."""
        return _noted(summary)


def _noted(summary: Summary) -> NotedTable | None:
    measured = [
        (row, under)
        for row in summary.rows
        if (under := row.under_stress) is not None and under.kind in OPERATING_POINTS and not row.aa_control
    ]
    notes = [
        f"No joules of {clean(row.label, 32)} on {clean(row.board_id, 40)}: {clean(row.energy_missing, 300)}."
        for row, _ in measured
        if row.energy is None and row.energy_missing
    ]
    notes += left_out(summary.skipped, _SKIPPED)
    return noted_table(CAPTION, HEADINGS, [_row(row, under) for row, under in measured], notes)


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
