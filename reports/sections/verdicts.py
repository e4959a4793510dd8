"""Verdicts in words: why each is what it is, and a table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tunebench.reports.analysis.measured import ControlQuantity
from tunebench.reports.analysis.row import MethodResult, Verdict
from tunebench.reports.analysis.verdict_words import effect, span
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean

CAPTION = (
    "Verdicts against the baseline, paired by block, after Holm's correction over the methods of a task. "
    "Intervals are 95%, each on its own."
)
HEADINGS = ("board", "task", "method", "time", "energy", "memory", "accuracy")

Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def control_words(quantities: Mapping[str, ControlQuantity]) -> str:
    """Say how the A/A control came out in the quantities other than time; those not measured are left out."""
    known = [
        f"{name} {quantity.result}"
        for name, quantity in quantities.items()
        if isinstance(quantity.verdict, Verdict) and name != "time"
    ]
    return f"; {', '.join(known)}" if known else ""


def cell(verdict: Verdict | None) -> str:
    """Return verdict, size and interval for a table."""
    if verdict is None:
        return "–"
    return f"{verdict.verdict} {effect(verdict)} {span(verdict)}"


def verdict_rows(rows: Sequence[MethodResult]) -> list[list[str]]:
    """Return one row a method that has a verdict on anything."""
    return [
        [
            clean(row.board_id, 40),
            clean(row.task, 40),
            clean(row.label, 32),
            *(cell(row.judged(name)) for name in HEADINGS[3:]),
        ]
        for row in rows
        if any(judged.verdict for judged in row.verdicts.values())
    ]


def verdict_lines(rows: Sequence[MethodResult], grid: Grid) -> str | None:
    """Return lines of the text table; None if nothing was compared."""
    lines = verdict_rows(rows)
    return f"{CAPTION}\n{grid(HEADINGS, lines)}" if lines else None


def verdict_table(rows: Sequence[MethodResult]) -> DataTable | None:
    """Return the page's table; None if nothing was compared."""
    lines = verdict_rows(rows)
    return DataTable(CAPTION, HEADINGS, lines) if lines else None


def reasons(rows: Sequence[MethodResult]) -> list[tuple[str, str]]:
    """Return (which verdict, why) of every verdict that is not clear; equal reasons of several methods stand once."""
    labels_of: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        for name, judged in row.verdicts.items():
            why = judged.reason if judged.verdict in {"UNCLEAR", "NO VERDICT"} else None
            if why:
                where = f"{clean(row.board_id, 40)}, {clean(row.task, 40)}"
                labels_of.setdefault((where, name, why), []).append(clean(row.label, 32))
    return [
        (f"{', '.join(labels)}, {name} ({where})", why) for (where, name, why), labels in labels_of.items()
    ]
