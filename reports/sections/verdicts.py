"""Verdicts as a matrix of symbols; why each is what it is unfolds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import MethodResult, Verdict
from tunebench.reports.analysis.verdict_words import beside, beside_span
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import bullets, grid, paragraph
from tunebench.reports.formatting.units import clean, percent
from tunebench.reports.sections.base.groups import Group
from tunebench.reports.sections.base.overall import overall_lines, overall_tables
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.sections.base.symbols import Mark, mark
from tunebench.reports.summary import Summary

CAPTION = (
    "Verdicts against the baseline, paired by block, after Holm's correction over the methods of a task. "
    "Factors are the baseline's value over the method's: above 1 is better. Intervals are 95%, each on its own."
)
QUANTITIES = ("time", "energy", "memory", "accuracy")
HEADINGS = ("board", "task", "method", *QUANTITIES)


@dataclass(frozen=True)
class _Cell:
    """One verdict of the matrix; ``missing`` says why there is none."""

    mark: Mark
    value: str
    words: str
    missing: bool


@dataclass(frozen=True)
class _Matrix:
    """The verdicts of one group: a line a method, a column a quantity that was compared at all."""

    group: Group
    columns: Sequence[str]
    lines: Sequence[tuple[str, bool, Sequence[_Cell]]]


@dataclass(frozen=True)
class _View:
    """The matrices; ``reasons`` of open verdicts stand below them only where the page holds too much to unfold each."""

    matrices: Sequence[_Matrix]
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
        """Return all verdicts with their reasons, and what goes beyond one comparison."""
        matrices = [matrix for group in page.groups if (matrix := _matrix(group)) is not None]
        why = reasons(page.summary.rows) if page.heavy else ()
        return _View(matrices, why, overall_tables(page.summary)) if matrices else None

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


def _matrix(group: Group) -> _Matrix | None:
    rows = [row for row in group.rows if any(judged.verdict for judged in row.verdicts.values())]
    columns = [name for name in QUANTITIES if any(row.judged(name) for row in rows)]
    if not columns:
        return None
    lines = [(clean(row.label, 40), row.aa_control, [_cell(row, name) for name in columns]) for row in rows]
    return _Matrix(group, columns, lines)


def _cell(row: MethodResult, name: str) -> _Cell:
    judged = row.verdicts.get(name)
    if not isinstance(judged, Verdict):
        why = judged.missing if judged is not None else "not compared"
        return _Cell(mark(None), "", clean(why, 200), missing=True)
    kind = "range" if judged.interval == "range" else percent(judged.confidence or 0.95, 0)
    span = "one block" if judged.n == 1 else f"{kind} {beside_span(judged)}, n\u00a0=\u00a0{judged.n}"
    shown = beside(judged).removesuffix(" points")
    return _Cell(mark(judged), shown, f"{judged.verdict}, {span}. {clean(judged.reason, 400)}", missing=False)


def cell(verdict: Verdict | None) -> str:
    """Return verdict, size and interval for a table."""
    if verdict is None:
        return "–"
    return f"{verdict.verdict} {beside(verdict)} {beside_span(verdict)}"


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
