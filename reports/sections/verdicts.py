"""Verdicts in words: why each is what it is, and a table of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import MethodResult, Verdict
from tunebench.reports.analysis.verdict_words import effect, span
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import bullets, grid, paragraph
from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.overall import overall_lines, overall_tables
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Verdicts against the baseline, paired by block, after Holm's correction over the methods of a task. "
    "Intervals are 95%, each on its own."
)
HEADINGS = ("board", "task", "method", "time", "energy", "memory", "accuracy")


@dataclass(frozen=True)
class _View:
    table: DataTable
    reasons: Sequence[tuple[str, str]]
    overall: Sequence[tuple[str, DataTable]]


class VerdictsSection(Section):
    """The section on verdicts; left out if nothing was compared."""

    ident = "verdicts"
    nav = "Verdicts"
    text_place = 20

    def template(self) -> str:
        """Return the section's partial."""
        return partial("verdicts")

    def view(self, page: Page) -> _View | None:
        """Return all verdicts, why some are open, and what goes beyond one comparison."""
        rows = page.summary.rows
        lines = verdict_rows(rows)
        if not lines:
            return None
        return _View(DataTable(CAPTION, HEADINGS, lines), reasons(rows), overall_tables(page.summary))

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the table of verdicts, the reasons of open verdicts and the overall tables, as plain text."""
        blocks = []
        lines = verdict_rows(summary.rows)
        if lines:
            blocks.append(f"{paragraph(CAPTION)}\n{grid(HEADINGS, lines, keys=3)}")
            why = [f"{which}: {sentence}" for which, sentence in reasons(summary.rows)]
            if why:
                blocks.append("Why verdicts are open\n" + bullets(why))
        return [*blocks, *overall_lines(summary, grid)]


def cell(verdict: Verdict | None) -> str:
    """Return verdict, size and interval for a table."""
    if verdict is None:
        return "–"
    return f"{verdict.verdict} {effect(verdict)} {span(verdict)}"


def verdict_rows(rows: Sequence[MethodResult]) -> list[list[str]]:
    """Return one row for each method that has a verdict in any quantity."""
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


def reasons(rows: Sequence[MethodResult]) -> list[tuple[str, str]]:
    """Return (which verdict, why) of every verdict that is not clear; methods with equal reasons share a line."""
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


SECTION = VerdictsSection()
