"""Check the looks of a run that stopped when it was decided: each was planned, and comes out again."""

from __future__ import annotations

from collections.abc import Iterator

from tunebench.harness.verify.discrepancy import Discrepancy
from tunebench.reports.results.layout import LOOKS
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.sequential import Look


def looks(reader: RunReader) -> Iterator[Discrepancy]:
    """Compare each look with the plan, and with what the records make of it today."""
    planned = reader.plan_view.suite.looks
    if not planned and not reader.looks:
        return
    from tunebench.reports.analysis.looks.taking import look_at

    for number, taken in enumerate(reader.looks, start=1):
        if (taken.blocks, taken.alpha) not in planned:
            message = f"a look after {taken.blocks} blocks at {taken.alpha:g} was not planned"
            yield Discrepancy("look", LOOKS, number, message)
            continue
        if taken.task not in reader.plan_view.tasks:
            yield Discrepancy("look", LOOKS, number, f"task {taken.task!r} was not planned")
            continue
        (again,) = look_at(reader, taken.board_id, [taken.task], Look(taken.blocks, taken.alpha))
        if again != taken:
            yield Discrepancy(
                "look",
                LOOKS,
                number,
                f"the records make {again.decided or 'nothing'} decided of it and {again.undecided or 'nothing'} open;"
                f" it says {taken.decided or 'nothing'} and {taken.undecided or 'nothing'}",
            )
    yield from _order(reader)


def _order(reader: RunReader) -> Iterator[Discrepancy]:
    """Check that no look at a task was left out or taken after one that had stopped it."""
    numbers = [blocks for blocks, _ in reader.plan_view.suite.looks]
    last: dict[tuple[str, str], int] = {}
    stopped: set[tuple[str, str]] = set()
    for number, taken in enumerate(reader.looks, start=1):
        key = (taken.board_id, taken.task)
        place = last.get(key, -1) + 1
        if key in stopped or place >= len(numbers) or numbers[place] != taken.blocks:
            message = (
                f"a look after {taken.blocks} blocks at {taken.task!r} on {taken.board_id!r} is out of order"
            )
            yield Discrepancy("look", LOOKS, number, message)
        last[key] = place
        if taken.stops:
            stopped.add(key)
