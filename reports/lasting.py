"""What is left when the board is warm: steady state and decline of repetitions under the policy ``sustained``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable
from tunebench.reports.records import Repetition
from tunebench.reports.stats import median_interval
from tunebench.reports.units import clean, seconds, signed_percent

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


def lasting(used: Sequence[Repetition]) -> dict[str, Any] | None:
    """Medians over a cell's repetitions; ``None`` if none was sustained.

    ``time_to_steady_s`` is over those that settled, and null if none did.
    """
    found = [rep.sustained for rep in used if rep.sustained is not None]
    if not found:
        return None
    times = [one.time_to_steady_s for one in found if one.time_to_steady_s is not None]
    temps = [one.temp_end_c for one in found if one.temp_end_c is not None]
    return {
        "n": len(found),
        "first_s": median_interval([one.first_s for one in found]).median,
        "steady_s": median_interval([one.steady_s for one in found]).median,
        "decline": median_interval([one.decline for one in found]).median,
        "n_settled": sum(one.settled for one in found),
        "time_to_steady_s": median_interval(times).median if times else None,
        "duration_s": median_interval([one.duration_s for one in found]).median,
        "temp_end_max_c": max(temps, default=None),
    }


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
