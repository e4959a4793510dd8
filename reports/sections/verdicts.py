"""Verdicts in words: why each is what it is, and a table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.analysis.verdict_words import effect, span
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean

CAPTION = (
    "Verdicts against the baseline, paired by block, after Holm's correction over the methods of a task. "
    "Intervals are 95%, each on its own."
)
HEADINGS = ("board", "task", "method", "time", "energy", "memory", "accuracy")

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def control_words(quantities: Mapping[str, Mapping[str, Any]]) -> str:
    """How the A/A control came out in the quantities other than time; those not measured are left out."""
    known = [
        f"{name} {told['result']}" for name, told in quantities.items() if told["verdict"] and name != "time"
    ]
    return f"; {', '.join(known)}" if known else ""


def cell(told: Mapping[str, Any] | None) -> str:
    """Verdict, size and interval for a table."""
    if told is None or told["verdict"] is None:
        return "–"
    return f"{told['verdict']} {effect(told)} {span(told)}"


def verdict_rows(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row a method that has a verdict on anything."""
    return [
        [
            clean(row["board_id"], 40),
            clean(row["task"], 40),
            clean(row["label"], 32),
            *(cell(row["verdicts"].get(name)) for name in HEADINGS[3:]),
        ]
        for row in rows
        if any(one["verdict"] for one in row["verdicts"].values())
    ]


def verdict_lines(rows: Sequence[Mapping[str, Any]], grid: Grid) -> str | None:
    """For the text table; None if nothing was compared."""
    found = verdict_rows(rows)
    return f"{CAPTION}\n{grid(HEADINGS, found)}" if found else None


def verdict_table(rows: Sequence[Mapping[str, Any]]) -> DataTable | None:
    """For the page; None if nothing was compared."""
    found = verdict_rows(rows)
    return DataTable(CAPTION, HEADINGS, found) if found else None


def reasons(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(which verdict, why) of every verdict that is not clear; equal reasons of several methods stand once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for name, told in row["verdicts"].items():
            why = told["reason"] if told["verdict"] in ("UNCLEAR", "NO VERDICT") else None
            if why:
                where = f"{clean(row['board_id'], 40)}, {clean(row['task'], 40)}"
                found.setdefault((where, name, why), []).append(clean(row["label"], 32))
    return [(f"{', '.join(labels)}, {name} ({where})", why) for (where, name, why), labels in found.items()]
