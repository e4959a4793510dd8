"""The section on energy: joules of a fine-tuning, as a table and as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.energy import SCOPE_NAMES, SCOPES
from tunebench.reports.analysis.row import EnergyRatio, Median, MethodResult, ScopeEnergy
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import bullets, grid, paragraph
from tunebench.reports.formatting.units import clean, percent, significant
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Energy of one fine-tuning: a window of k whole fine-tunings from the same start weights, its energy over k; "
    "median and interval over repetitions. Gross is all that the scope draws, net is less the idle board."
)
#: More time than this between fine-tunings of a window is told.
MAX_RESTART_SHARE = 0.01


@dataclass(frozen=True)
class _View:
    table: DataTable
    notes: Sequence[str]


class EnergySection(Section):
    """The section on energy: joules of a fine-tuning; left out without energy repetitions."""

    ident = "energy"
    nav = "Energy"
    text_place = 30

    def template(self) -> str:
        """Return the section's partial."""
        return partial("energy")

    def view(self, page: Page) -> _View | None:
        """Return the table and what its figures leave out."""
        table = joules_table(page.summary.rows)
        return _View(table, notes(page.summary.rows)) if table else None

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the table and what its figures leave out."""
        table = joules_table(summary.rows)
        if table is None:
            return []
        laid_out = grid(table.columns, table.rows, keys=3)
        return [f"{paragraph(CAPTION)}\n{laid_out}\n{bullets(notes(summary.rows))}"]


def joules_table(rows: Sequence[MethodResult]) -> DataTable | None:
    """Return a table with a row for each method and two columns for each scope; ``None`` without energy repetitions."""
    rows = [row for row in rows if row.joules]
    if not rows:
        return None
    scopes = [
        scope for scope in SCOPES if any(energy.scope == scope for row in rows for energy in row.joules)
    ]
    columns = ["method", "board", "task", "k"]
    for scope in scopes:
        columns += [f"gross J ({SCOPE_NAMES[scope]})", f"net J ({SCOPE_NAMES[scope]})"]
    columns += ["against the baseline", "power", "source"]
    return DataTable(CAPTION, columns, [_row(row, scopes) for row in rows])


def _row(row: MethodResult, scopes: Sequence[str]) -> list[str]:
    cells = [clean(row.label, 32), clean(row.board_id, 40), clean(row.task, 40)]
    cells.append(str(row.joules[0].k))
    for scope in scopes:
        # Two sources of one scope (two meters): each is told, neither is pooled.
        energies = [energy for energy in row.joules if energy.scope == scope]
        cells.append(" / ".join(_words(energy.j) for energy in energies) or "-")
        cells.append(" / ".join(_words(energy.net_j) if energy.net_j else "-" for energy in energies) or "-")
    cells.append(_against_words(row.energy_ratio))
    cells.append(" / ".join(_watts(energy) for energy in row.joules))
    cells.append(" / ".join(clean(energy.source, 40) for energy in row.joules))
    return cells


def _words(spread: Median) -> str:
    middle = significant(spread.median)
    if spread.n == 1:
        return f"{middle}, one value"
    star = "*" if spread.interval == "range" else ""
    return f"{middle} [{significant(spread.low)}, {significant(spread.high)}]{star}, n {spread.n}"


def _against_words(ratio: EnergyRatio | None) -> str:
    if ratio is None:
        return "-"
    return f"{significant(ratio.ratio)} ({ratio.verdict.lower()}, {SCOPE_NAMES[ratio.scope]})"


def _watts(energy: ScopeEnergy) -> str:
    idle = f", idle {significant(energy.idle_w)} W" if energy.idle_w is not None else ""
    return f"{significant(energy.mean_w)} W{idle}"


def notes(rows: Sequence[MethodResult]) -> list[str]:
    """Say what the energies do not include, and why some are missing; each sentence once."""
    labels_of: dict[str, list[str]] = {}
    for row in rows:
        for energy in row.joules:
            scope = SCOPE_NAMES[energy.scope]
            labels_of.setdefault(f"Energy of the scope '{scope}' {energy.misses}", [])
            if energy.corrected:
                labels_of.setdefault(
                    f"Energy of the scope '{scope}' was corrected by a model: an estimate", []
                )
            if energy.net_missing:
                sentence = f"No net energy ({scope}): {clean(energy.net_missing, 300).rstrip('.')}"
                labels_of.setdefault(sentence, []).append(row.label)
            if energy.restart_share is not None and energy.restart_share > MAX_RESTART_SHARE:
                share = percent(energy.restart_share, 1)
                sentence = (
                    f"Going back to the start weights took {share} of the window and is part of its energy"
                )
                labels_of.setdefault(sentence, []).append(row.label)
    return [f"{sentence}{_labels(labels)}." for sentence, labels in labels_of.items()]


def _labels(names: Sequence[str]) -> str:
    shown = [clean(name, 32) for name in dict.fromkeys(names)]
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return f" ({', '.join(shown[:6])}{more})" if shown else ""


SECTION = EnergySection()
