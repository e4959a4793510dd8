"""Tables of what goes beyond one comparison: over boards, and to the baseline's quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent, significant

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]

ACROSS_CAPTION = (
    "Over boards: geometric mean of the boards' own ratios, method over baseline, below 1 is less. Boards are the "
    "unit: 95% bootstrap over boards from six on, below that the range of the boards."
)
ACROSS_HEADINGS = ("task", "method", "quantity", "ratio", "interval", "between boards", "boards", "left out")
REACH_CAPTION = (
    "To the baseline's quality: the first point of a marked repetition at or above the target. Runs that never got "
    "there count as slowest. Joules are the unmarked fine-tuning's, times the share of training it took."
)
REACH_HEADINGS = ("board", "task", "method", "target", "reached", "time", "energy", "against baseline")


def across_table(found: Sequence[Mapping[str, Any]]) -> DataTable | None:
    """One row a method and quantity; None if no two boards measured the same."""
    rows = [_across_row(one) for one in found]
    return DataTable(ACROSS_CAPTION, ACROSS_HEADINGS, rows) if rows else None


def reach_table(rows: Sequence[Mapping[str, Any]]) -> DataTable | None:
    """One row a method whose quality on the way is known; None if none is."""
    found = [_reach_row(row) for row in rows if row["to_quality"]["target"] is not None]
    return DataTable(REACH_CAPTION, REACH_HEADINGS, found) if found else None


def overall_tables(summary: Mapping[str, Any]) -> list[tuple[str, DataTable]]:
    """(heading, table) of those that there are."""
    tables = {
        "Over boards": across_table(summary["across"]),
        "To the baseline's quality": reach_table(summary["rows"]),
    }
    return [(heading, table) for heading, table in tables.items() if table is not None]


def overall_lines(summary: Mapping[str, Any], grid: Grid) -> list[str]:
    """Both for the text table."""
    return [f"{table.caption}\n{grid(table.columns, table.rows)}" for _, table in overall_tables(summary)]


def _across_row(one: Mapping[str, Any]) -> list[str]:
    kind = "95%" if one["interval"] == "bootstrap" else "range"
    left_out = (f"{clean(board, 40)} ({why})" for board, why in one["left_out"].items())
    return [
        clean(one["task"], 40),
        clean(one["label"], 32),
        one["quantity"] + (f" ({clean(one['kind'], 60)})" if one["kind"] else ""),
        significant(one["ratio"]),
        f"{kind} {significant(one['low'])} to {significant(one['high'])}",
        f"×/÷ {significant(one['spread'])}" if one["spread"] is not None else "",
        ", ".join(f"{clean(board['board_id'], 40)} {significant(board['ratio'])}" for board in one["boards"]),
        ", ".join(left_out) or "none",
    ]


def _reach_row(row: Mapping[str, Any]) -> list[str]:
    told = row["to_quality"]
    time_s, energy_j, against = told["time_s"], told["energy_j"], told["against_baseline"]
    return [
        clean(row["board_id"], 40),
        clean(row["task"], 40),
        clean(row["label"], 32),
        f"{percent(told['target'])}, {clean(told['target_source'], 60)}",
        f"{time_s['reached']} of {time_s['n']}",
        _middle(time_s, seconds),
        _middle(energy_j, lambda joules: f"{significant(joules)} J") if energy_j else "–",
        _against(against) if against else "–",
    ]


def _middle(told: Mapping[str, Any], words: Callable[[float], str]) -> str:
    if told["median"] is None:
        return "not by half of the runs" if told["reached"] else "never"
    return words(told["median"])


def _against(told: Mapping[str, Any]) -> str:
    size = signed_percent(told["ratio"] - 1) if told["ratio"] is not None else "only one of them got there"
    return f"{told['verdict']} {size}, n = {told['n']}"
