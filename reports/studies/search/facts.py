"""What a run that measured a search's choice tells of the search: its front, and whether the choice holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunebench.reports.analysis.row import CellNumbers
from tunebench.reports.studies.search.front import front, within
from tunebench.reports.studies.search.measured import PointValues, values_of
from tunebench.reports.studies.search.model import Search, SearchFacts


def search_facts(stored: Mapping[str, object], rows: Sequence[CellNumbers]) -> SearchFacts | None:
    """Return the facts of the search that a plan names; None where it names none.

    Args:
        stored: as it stands in the plan.
        rows: of the run, on all boards.
    """
    search = Search.of(stored)
    return None if search is None else facts_of(search, rows)


def facts_of(search: Search, rows: Sequence[CellNumbers] = ()) -> SearchFacts:
    """Return the facts of a search, with what its choice came to when it was measured again."""
    of_choice = [row for row in rows if (row.board_id, row.task) == (search.board_id, search.task)]
    again = values_of(of_choice) if of_choice else PointValues({})
    return SearchFacts(
        search=search,
        board_s=round(search.board_s, 3),
        front=front(search.trials, search.quantities),
        within=within(search),
        measured_again=again.values,
        missing_again=again.missing,
        holds=search.budget.excess(again.values) == 0 if again.values else None,
    )
