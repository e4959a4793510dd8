"""The section that says what each method of the run does: a small diagram and two lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures.methods.diagram import LEGEND, method_diagram
from tunebench.reports.figures.methods.known import KNOWN
from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.method_words import trained_by, what_it_costs, what_trains
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class MethodCard:
    """One method: its name as in tables, what trains, what it costs; no diagram of a method that is not ours."""

    name: str
    first: str
    second: str
    diagram: Markup | None


@dataclass(frozen=True)
class _View:
    cards: Sequence[MethodCard]
    legend: Sequence[tuple[str, str]]
    ranks: str
    trainings: str


class MethodsSection(Section):
    """The section on what each method does; left out of a run without any."""

    ident = "each-method"
    nav = "Methods"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("methods")

    def view(self, page: Page) -> _View | None:
        """Return a card for each method, in the order of the run."""
        rows = page.summary.rows
        cards = method_cards(rows)
        if not cards:
            return None
        # Of what no diagram holds, the legend need not speak.
        drawn = "".join(card.diagram or "" for card in cards)
        legend = [(css, words) for css, words in LEGEND if f'class="{css}"' in drawn]
        return _View(cards, legend, _ranks(rows), trained_by(rows))


def method_cards(rows: Sequence[MethodResult]) -> list[MethodCard]:
    """Return one card for each method; rows that are the same method under other names share it."""
    cards: dict[tuple[str, bool], MethodCard] = {}
    for row in rows:
        key = (row.label if row.own else row.method, row.own)
        if key not in cards:
            cards[key] = _card(f"method-{len(cards)}", row)
    return list(cards.values())


def _card(ident: str, row: MethodResult) -> MethodCard:
    name, known = clean(row.method, 60), None if row.own else KNOWN.get(row.method)
    if known is None:
        whose = "A method of your own" if row.own else "A method that this version does not know"
        shown = clean(row.label, 60) if row.own else name
        return MethodCard(shown, f"{whose}.", "What it trains is not told here.", None)
    first, second = what_trains(known), what_it_costs(known)
    return MethodCard(name, first, second, method_diagram(ident, name, known, f"{first} {second}"))


def _ranks(rows: Sequence[MethodResult]) -> str:
    """Return the rank of the run's adapters, in words; empty if no record tells one."""
    adapted = [
        row for row in rows if not row.own and (known := KNOWN.get(row.method)) and known.adapters != "none"
    ]
    ranks = sorted({rank for row in adapted if isinstance(rank := row.params.get("rank"), int)})
    if not ranks:
        return ""
    return f"Adapters of this run have rank {', '.join(str(rank) for rank in ranks[:6])}."


SECTION = MethodsSection()
