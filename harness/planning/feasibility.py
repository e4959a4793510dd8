"""Say before anything is measured whether verdicts are possible: too few blocks for so many methods give none. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tunebench.harness.config.suite import Workload
from tunebench.harness.planning.durations import Durations, estimate
from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.stats.attainable import ALPHA, fewest_blocks, verdict_possible


@dataclass(frozen=True)
class Feasibility:
    """Whether verdicts are possible in one task on one board.

    Attributes:
        blocks: planned ones; of a run that stops when it is decided the most.
        methods: labels with the baseline, without the A/A control.
        claims: methods that are compared with the baseline; 0 if it is not measured here.
        possible: whether a verdict on time, energy or memory is possible at all, with whatever data.
        accuracy_possible: whether one on accuracy is, by stored predictions.
        fewest_blocks: from how many blocks on one on time, energy and memory is; None if nothing is compared.
        more_s: predicted seconds of the blocks that are missing; None without history, or if none are.
        by_choice: the suite gives this task fewer blocks than others.
    """

    board_id: str
    task: str
    blocks: int
    methods: int
    claims: int
    possible: bool
    accuracy_possible: bool
    fewest_blocks: int | None
    more_s: float | None = None
    by_choice: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return what ``plan --json`` says of it."""
        return asdict(self)


def feasibility(plan: Plan, durations: Durations | None = None) -> list[Feasibility]:
    """Return for each board and task of a plan whether verdicts are possible; tasks of one method compare nothing.

    Args:
        plan: what is to be measured.
        durations: what is known of how long repetitions take, for ``more_s``.
    """
    known = []
    queues: dict[str, list[Planned]] = {board.id: [] for board in plan.boards}
    for planned in plan.repetitions:
        queues[planned.board_id].append(planned)
    for board_id, queue in queues.items():
        timed_of: dict[str, list[Planned]] = {}
        for planned in queue:
            if planned.role == "timed":
                timed_of.setdefault(planned.workload.task, []).append(planned)
        for task in plan.suite.tasks:
            timed = timed_of.get(task, [])
            own = {planned.workload.label: planned.workload for planned in timed}
            labels = [label for label, workload in own.items() if not workload.aa_control]
            if len(labels) < 2:
                continue
            claims = _claims(own, plan.suite.baselines[task])
            blocks = len({planned.block for planned in timed})
            fewest = _fewest(plan, claims) if claims else None
            more = 0 if fewest is None else max(0, fewest - blocks)
            known.append(
                Feasibility(
                    board_id=board_id,
                    task=task,
                    blocks=blocks,
                    methods=len(labels),
                    claims=claims,
                    possible=_possible(plan, blocks, claims),
                    accuracy_possible=verdict_possible(blocks, claims, "accuracy"),
                    fewest_blocks=fewest,
                    more_s=_blocks_s(queue, more, durations or {}) if more else None,
                    by_choice=any(workload.blocks is not None for workload in own.values()),
                )
            )
    return known


def _claims(own: dict[str, Workload], baseline: str) -> int:
    """Return how many methods are compared with the baseline: those of the same conditions."""
    if baseline not in own:
        return 0
    wanted = _conditions(own[baseline])
    others = (w for label, w in own.items() if label != baseline and not w.aa_control)
    return sum(_conditions(workload) == wanted for workload in others)


def _conditions(workload: Workload) -> tuple[object, ...]:
    """Return what must be equal before two methods are compared, as far as it is known beforehand."""
    build = (workload.engine, workload.build) if workload.needs_library else None
    return workload.device, workload.threads, workload.dtype, build


def _possible(plan: Plan, blocks: int, claims: int) -> bool:
    looks = [(look.blocks, look.alpha) for look in plan.suite.looks] or [(blocks, ALPHA)]
    return any(verdict_possible(count, claims, alpha=alpha) for count, alpha in looks)


def _fewest(plan: Plan, claims: int) -> int:
    """Return from how many blocks on a verdict is possible; in a run that stops when decided: after which look."""
    for look in plan.suite.looks:
        if verdict_possible(look.blocks, claims, alpha=look.alpha):
            return look.blocks
    return fewest_blocks(claims)


def _blocks_s(queue: Sequence[Planned], blocks: int, durations: Durations) -> float | None:
    """Predict the seconds of so many more blocks on a board; None if nothing is known of any of their repetitions."""
    of_a_block = [
        planned for planned in queue if planned.block == 0 and planned.role in ("timed", "energy", "idle")
    ]
    seconds = estimate(of_a_block, durations).total_s
    return None if seconds is None else seconds * blocks


def feasibility_lines(tasks: Iterable[Feasibility]) -> list[str]:
    """Say where no verdict is possible, and what would allow one; nothing where each comparison can have one.

    >>> task = Feasibility("pi5-01", "digits/mlp", 3, 4, 3, False, False, 7, 360.0)
    >>> feasibility_lines([task])
    ['3 blocks, 4 methods: no verdict is possible; 7 blocks would allow one (about 6 more minutes): --blocks 7']
    >>> feasibility_lines([Feasibility("pi5-01", "digits/mlp", 8, 4, 3, True, True, 7)])
    []
    """
    known = list(tasks)
    lines = [
        f"{task.task} on {task.board_id}: its baseline is not measured there, so nothing is compared"
        for task in known
        if not task.claims
    ]
    short = [task for task in known if not task.possible and task.fewest_blocks is not None]
    kinds: dict[tuple[object, ...], list[Feasibility]] = {}
    for task in short:
        kinds.setdefault((task.blocks, task.methods, task.fewest_blocks, task.by_choice), []).append(task)
    for of_kind in kinds.values():
        names = ", ".join(dict.fromkeys(task.task for task in of_kind))
        where = "" if len(kinds) == 1 and len(short) == len(known) else f"{names}: "
        lines.append(f"{where}{_words(of_kind[0])}")
    missed = [task for task in short if not task.by_choice]
    if missed:
        # The option counts for all tasks: none is to have fewer blocks than it has now.
        option = f"--blocks {max(max(task.fewest_blocks or 0, task.blocks) for task in known)}"
        times = [task.more_s for task in missed if task.more_s is not None]
        more = f" (about {_more_words(max(times))})" if len(times) == len(missed) else ""
        if len(kinds) == 1:
            lines[-1] += f"{more}: {option}"
        else:
            lines.append(f"{option} would allow them all{more}")
    return lines


def _words(task: Feasibility) -> str:
    blocks = f"{task.blocks} block{'s' if task.blocks != 1 else ''}"
    what = "no verdict on time, energy or memory" if task.accuracy_possible else "no verdict"
    choice = " (the suite gives this task fewer blocks)" if task.by_choice else ""
    return f"{blocks}, {task.methods} methods: {what} is possible{choice}; {task.fewest_blocks} blocks would allow one"


def _more_words(seconds: float) -> str:
    """Return a duration as a person would say it.

    >>> _more_words(20), _more_words(360), _more_words(60), _more_words(9000)
    ('20 more seconds', '6 more minutes', '1 more minute', '2.5 more hours')
    """
    if seconds < 55:
        return f"{max(10, round(seconds, -1)):.0f} more seconds"
    if seconds < 5400:
        minutes = round(seconds / 60)
        return f"{minutes} more minute{'s' if minutes != 1 else ''}"
    return f"{seconds / 3600:.2g} more hours"
