"""Tables of what goes beyond one comparison: over boards, and to the baseline's quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunebench.reports.analysis.measured import AcrossBoards, Measured
from tunebench.reports.analysis.row import MethodResult, Reached, ReachedAgainst, ToTarget
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import Grid, paragraph
from tunebench.reports.formatting.units import clean, joules, percent, seconds, signed_percent, significant

ACROSS_CAPTION = (
    "Over boards: geometric mean of the boards' own ratios, method over baseline, below 1 is less. Boards are the "
    "unit: 95% bootstrap over boards from six on, below that the range of the boards."
)
ACROSS_HEADINGS = ("task", "method", "quantity", "ratio", "interval", "between boards", "boards", "left out")
REACH_CAPTION = (
    "To the baseline's quality: the first point of a marked repetition at or above the target. Runs that never got "
    "there count as slowest. Joules are the unmarked fine-tuning's, times the share of training it took."
)
REACH_HEADINGS = (
    "board",
    "task",
    "method",
    "target",
    "reached",
    "steps",
    "time",
    "energy",
    "against baseline",
)


def across_table(means: Sequence[AcrossBoards]) -> DataTable | None:
    """Return a table with a row for each method and quantity; None if no two boards measured the same."""
    rows = [_across_row(mean) for mean in means]
    return DataTable(ACROSS_CAPTION, ACROSS_HEADINGS, rows) if rows else None


def reach_table(rows: Sequence[MethodResult]) -> DataTable | None:
    """Return a table with a row for each method whose quality during training is known; None if there is none."""
    lines = [_reach_row(row, row.to_quality) for row in rows if isinstance(row.to_quality, ToTarget)]
    return DataTable(REACH_CAPTION, REACH_HEADINGS, lines) if lines else None


def overall_tables(measured: Measured) -> list[tuple[str, DataTable]]:
    """Return (heading, table) of both tables, without those that would be empty."""
    tables = {
        "Over boards": across_table(measured.across),
        "To the baseline's quality": reach_table(measured.rows),
    }
    return [(heading, table) for heading, table in tables.items() if table is not None]


def overall_lines(measured: Measured, grid: Grid) -> list[str]:
    """Return both tables as plain text."""
    return [
        f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=3)}"
        for _, table in overall_tables(measured)
    ]


def _across_row(mean: AcrossBoards) -> list[str]:
    kind = "95%" if mean.interval == "bootstrap" else "range"
    left_out = (f"{clean(board, 40)} ({why})" for board, why in mean.left_out.items())
    return [
        clean(mean.task, 40),
        clean(mean.label, 32),
        mean.quantity + (f" ({clean(mean.kind, 60)})" if mean.kind else ""),
        significant(mean.ratio),
        f"{kind} {significant(mean.low)} to {significant(mean.high)}",
        f"×/÷ {significant(mean.spread)}" if mean.spread is not None else "",
        ", ".join(f"{clean(board.board_id, 40)} {significant(board.ratio)}" for board in mean.boards),
        ", ".join(left_out) or "none",
    ]


def _reach_row(row: MethodResult, reached: ToTarget) -> list[str]:
    time_s, energy_j, against = reached.time_s, reached.energy_j, reached.against_baseline
    return [
        clean(row.board_id, 40),
        clean(row.task, 40),
        clean(row.label, 32),
        f"{percent(reached.target)}, {clean(reached.target_source, 60)}",
        f"{time_s.reached} of {time_s.n}",
        _middle(reached.steps, lambda value: f"{value:,.0f}") if reached.steps else "–",
        _middle(time_s, seconds),
        _middle(energy_j, joules) if energy_j else "–",
        _against(against) if against else "–",
    ]


def _middle(values: Reached, words: Callable[[float], str]) -> str:
    if values.median is None:
        return "not by half of the runs" if values.reached else "never"
    return words(values.median)


def _against(pair: ReachedAgainst) -> str:
    size = signed_percent(pair.ratio - 1) if pair.ratio is not None else "only one of them got there"
    return f"{pair.verdict} {size}, n = {pair.n}"
