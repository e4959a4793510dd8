"""The section on sustained load: how fast a method stays on a warm board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, seconds, signed_percent

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

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def lasting_lines(rows: Sequence[Mapping[str, Any]], grid: Grid) -> str | None:
    """For the text table; ``None`` if nothing was sustained."""
    cells = _cells(rows)
    return f"{CAPTION}\n{grid(HEADINGS, cells)}" if cells else None


def lasting_table(rows: Sequence[Mapping[str, Any]]) -> DataTable | None:
    """For the page; ``None`` if nothing was sustained."""
    cells = _cells(rows)
    return DataTable(CAPTION, HEADINGS, cells) if cells else None


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [_row(row, row["sustained"]) for row in rows if row.get("sustained")]


def _row(row: Mapping[str, Any], one: Mapping[str, Any]) -> list[str]:
    after_s, hottest_c = one["time_to_steady_s"], one["temp_end_max_c"]
    return [
        clean(row["board_id"], 40),
        clean(row["task"], 40),
        clean(row["label"], 32),
        str(one["n"]),
        seconds(one["first_s"]),
        seconds(one["steady_s"]),
        signed_percent(one["decline"]),
        seconds(after_s) if after_s is not None else "-",
        f"{one['n_settled']} of {one['n']}",
        f"{hottest_c:.0f} °C" if hottest_c is not None else "-",
    ]
