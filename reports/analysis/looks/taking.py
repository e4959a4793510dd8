"""Take one look at a board's tasks: which comparisons of times are decided by the blocks so far."""

from __future__ import annotations

from collections.abc import Iterable

from tunebench.reports.analysis.cells import Cell, cells
from tunebench.reports.analysis.looks.judging import at_look, is_clear
from tunebench.reports.analysis.verdicts import Verdicts, verdicts
from tunebench.reports.records import LookTaken
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.sequential import Look


def look_at(reader: RunReader, board_id: str, tasks: Iterable[str], look: Look) -> list[LookTaken]:
    """Judge tasks on a board by the blocks before a look, at its level; nothing is stored.

    Args:
        reader: the run, complete or not.
        board_id: the board.
        tasks: those to look at.
        look: after how many blocks, and what it may spend.
    """
    groups = [cell for cell in cells(reader.repetitions) if cell.first.board_id == board_id]
    plan = reader.plan_view
    judged = verdicts(
        reader,
        groups,
        {name: task.baseline for name, task in plan.tasks.items()},
        lambda task: {**plan.suite.delta, **plan.tasks[task].delta},
        judging=at_look(reader, look.blocks, look.alpha),
        quantities=("time",),
    )
    return [_taken(board_id, task, look, _of_task(reader, groups, task), judged) for task in tasks]


def _of_task(reader: RunReader, groups: Iterable[Cell], task: str) -> list[Cell]:
    """Return the cells that are compared with the task's baseline."""
    baseline = reader.plan_view.tasks[task].baseline
    of_task = (cell for cell in groups if cell.first.task == task and not cell.first.aa_control)
    return [cell for cell in of_task if cell.first.label != baseline]


def _taken(board_id: str, task: str, look: Look, compared: Iterable[Cell], judged: Verdicts) -> LookTaken:
    decided: dict[str, str] = {}
    undecided: list[str] = []
    not_compared: list[str] = []
    for cell in compared:
        label, time = cell.first.label, judged.get(id(cell), {}).get("time")
        if time is None or time.verdict is None:
            not_compared.append(label)
        elif is_clear(time):
            decided[label] = time.verdict
        else:
            undecided.append(label)
    return LookTaken(
        board_id=board_id,
        task=task,
        blocks=look.blocks,
        alpha=look.alpha,
        decided=dict(sorted(decided.items())),
        undecided=sorted(undecided),
        not_compared=sorted(not_compared),
        stops=not undecided,
    )
