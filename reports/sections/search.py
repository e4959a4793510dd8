"""The section on a search under a budget: its trials, its front, its choice and what that came to when measured again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.quantities import Quantity
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.markdown import table as markdown_table
from tunebench.reports.formatting.table import DataTable, grid, paragraph
from tunebench.reports.formatting.units import clean, seconds
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.studies.search.budget import shown
from tunebench.reports.studies.search.front import nearest
from tunebench.reports.studies.search.model import SearchFacts, Trial
from tunebench.reports.summary import Summary

_TRIALS = (
    "Trials of the search, each measured once on the board. Accuracy is that on held-out halves of the fine-tuning data; "
    "the test set was not in what the board was given. Front: no other trial is as good in all of these quantities and "
    "better in one."
)
_CHOICE = (
    "The choice, measured again from other seeds and start weights, on all fine-tuning data; accuracy is that on the "
    "test set, which decided nothing."
)
#: Characters of the table in Markdown at most; the page has all trials.
_MOST_MARKDOWN = 8_000


@dataclass(frozen=True)
class _View:
    sentence: str
    tables: Sequence[DataTable]


class SearchSection(Section):
    """The section on a search; left out of runs that no search has made."""

    ident = "search"
    nav = "Search"
    text_place = 46

    def template(self) -> str:
        """Return the section's partial."""
        return partial("search")

    def view(self, page: Page) -> _View | None:
        """Return the sentence and the tables; None for other runs."""
        facts = page.summary.search
        return None if facts is None else _View(sentence(facts), _tables(facts))

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the sentence and the tables."""
        return [] if summary.search is None else search_lines(summary.search)

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the sentence and the trials, or the sentence alone where they are too many."""
        if summary.search is None:
            return ""
        trials = trials_table(summary.search)
        head = f"### Search\n\n{escaped(sentence(summary.search))}"
        text = f"{head}\n\n{markdown_table(trials.columns, trials.rows)}"
        if len(text) > min(limit, _MOST_MARKDOWN):
            text = f"{head}\n\nToo long for a comment: see the page."
        return text if len(text) <= limit else ""


def search_lines(facts: SearchFacts) -> list[str]:
    """Return a search as blocks of plain text."""
    blocks = [paragraph(f"Search: {sentence(facts)}")]
    return blocks + [
        f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=2)}" for table in _tables(facts)
    ]


def sentence(facts: SearchFacts) -> str:
    """Say what was sought, what it cost and what was found; if nothing was, what came nearest."""
    search = facts.search
    spent = (
        f"{len(search.trials)} of {search.points} points measured in {seconds(facts.board_s)} of the board's time "
        f"(limit {seconds(search.board_s_limit)})"
    )
    where = f"{clean(search.board_id, 40)}, {clean(search.task, 80)}"
    sought = f"{where}: best {search.aim} with {search.budget.words}. {spent}."
    chosen = next((trial for trial in search.trials if trial.number == search.chosen), None)
    if chosen is None:
        return f"{sought} {_nothing(facts)}"
    choice = f"{sought} Chosen: trial {chosen.number}, {clean(chosen.label, 64)} ({_values(facts, chosen)})."
    if facts.holds is None:
        return choice
    verdict = "it is within the budget" if facts.holds else "it MISSES the budget"
    return f"{choice} Measured again: {verdict}."


def _nothing(facts: SearchFacts) -> str:
    search = facts.search
    near = nearest(search.trials, search.budget, search.aim)
    if near is None:
        return "No trial has all values that the budget bounds."
    missed = [
        f"{bound.words}, it has {shown(bound.quantity, near.values.get(bound.quantity))}"
        for bound in search.budget.bounds
        if bound.excess(near.values) > 0
    ]
    return (
        f"No trial is within the budget. Nearest: trial {near.number}, {clean(near.label, 64)}; it misses: "
        f"{'; '.join(missed)}."
    )


def _values(facts: SearchFacts, trial: Trial) -> str:
    return ", ".join(
        f"{quantity} {shown(quantity, trial.values.get(quantity))}" for quantity in facts.search.quantities
    )


def _tables(facts: SearchFacts) -> list[DataTable]:
    tables = [trials_table(facts)]
    if facts.measured_again:
        tables.append(_choice_table(facts))
    return tables


def trials_table(facts: SearchFacts) -> DataTable:
    """Return a row for each trial, in the order of the search."""
    quantities = facts.search.quantities
    rows = [
        [
            str(trial.number),
            clean(trial.label, 64),
            *(_cell(trial, quantity) for quantity in quantities),
            "yes" if trial.number in facts.within else "no",
            "yes" if trial.number in facts.front else "no",
            "chosen" if trial.number == facts.search.chosen else "",
            seconds(trial.board_s),
            clean(trial.run_id or "–", 40),
        ]
        for trial in facts.search.trials
    ]
    columns = ("trial", "point", *quantities, "within the budget", "front", "choice", "board time", "run")
    return DataTable(_TRIALS, columns, rows)


def _cell(trial: Trial, quantity: Quantity) -> str:
    """Return a value, or why there is none."""
    if quantity in trial.values:
        return shown(quantity, trial.values[quantity])
    return f"– ({clean(trial.missing.get(quantity, 'not measured'), 60)})"


def _choice_table(facts: SearchFacts) -> DataTable:
    search = facts.search
    chosen = next(trial for trial in search.trials if trial.number == search.chosen)
    bounds = {bound.quantity: bound for bound in search.budget.bounds}
    rows = [
        [
            quantity,
            bounds[quantity].words if quantity in bounds else "–",
            _cell(chosen, quantity),
            shown(quantity, facts.measured_again.get(quantity)),
            ("yes" if bounds[quantity].excess(facts.measured_again) == 0 else "no")
            if quantity in bounds
            else "–",
        ]
        for quantity in search.quantities
    ]
    return DataTable(_CHOICE, ("quantity", "bound", "in the search", "measured again", "holds"), rows)


SECTION = SearchSection()
