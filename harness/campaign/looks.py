"""Take the looks of a run that stops when it is decided: judge a board's tasks after fixed numbers of blocks.

A task whose comparisons of times are all decided is left out of the blocks that follow; another one goes on to its next
look. What was looked at is on disk before anything follows from it, so a resumed run takes no look twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.planning import energy_windows
from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import LookTaken, Skip
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.stats.sequential import Look


class BoardLooks:
    """The looks at one board's tasks. One instance, one visit.

    Args:
        plan: of the run.
        board_id: the board.
        writer: the run's results.
        outcome: told what is left out.
        note: shows a message.
    """

    def __init__(
        self,
        plan: Plan,
        board_id: str,
        writer: RunWriter,
        outcome: CampaignOutcome,
        note: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._board_id = board_id
        self._writer = writer
        self._outcome = outcome
        self._note = note
        self._last: dict[str, LookTaken] = {}
        if plan.suite.looks:
            for look in RunReader(writer.path, check=False).looks:
                if look.board_id == board_id:
                    self._keep(look)

    def take_due(self, rest: Sequence[Planned]) -> None:
        """Take every look that is due before the rest of the queue begins; what is decided is left out of it."""
        while (due := self._due(rest)) is not None:
            look, tasks = due
            from tunebench.reports.analysis.looks.taking import look_at

            reader = RunReader(self._writer.path, check=False)
            for taken in look_at(reader, self._board_id, tasks, look):
                self._writer.append_look(taken)
                self._keep(taken)
                self._note(look_text(taken, self._plan.suite.header.blocks))

    def _due(self, rest: Sequence[Planned]) -> tuple[Look, list[str]] | None:
        """Return the look whose blocks are all measured, and the tasks that are to be looked at; None: not yet."""
        open_tasks = self._open_tasks()
        ahead = [planned.block for planned in rest if planned.role == "timed" and not self._left_out(planned)]
        for look in self._plan.suite.looks:
            if ahead and min(ahead) < look.blocks:
                return None
            tasks = [task for task in open_tasks if self._blocks_of(task) < look.blocks]
            if tasks:
                return look, tasks
        return None

    def _open_tasks(self) -> list[str]:
        """Return the tasks that are measured here and not decided yet."""
        stopped = {task for task, look in self._last.items() if look.stops}
        timed = [planned for planned in self._plan.of_board(self._board_id) if planned.role == "timed"]
        measured = {planned.workload.task for planned in timed if not self._left_out(planned)}
        return [task for task in self._plan.suite.tasks if task in measured - stopped]

    def _left_out(self, planned: Planned) -> bool:
        return self._outcome.is_skipped(planned)

    def _blocks_of(self, task: str) -> int:
        """Return after how many blocks a task was looked at last; 0: never."""
        look = self._last.get(task)
        return look.blocks if look is not None else 0

    def _keep(self, look: LookTaken) -> None:
        """Note a look, and leave out what it has decided."""
        self._last[look.task] = look
        if not look.stops:
            return
        most = self._plan.suite.header.blocks
        if look.blocks >= most:
            return
        reason = f"decided after {look.blocks} of at most {most} blocks"
        labels = [workload.label for workload in self._plan.suite.workloads if workload.task == look.task]
        skips = [_skip(self._board_id, look.task, label, reason, look.blocks) for label in labels]
        self._outcome.leave_out(skips)
        if self._plan.suite.header.energy and not self._open_tasks():
            longest = max(taken.blocks for taken in self._last.values())
            idle = energy_windows.IDLE_WORKLOAD
            # The baseline behind the last block is needed by that block.
            self._outcome.leave_out([_skip(self._board_id, idle.task, idle.label, reason, longest + 1)])


def leave_out_decided(plan: Plan, board_id: str, writer: RunWriter, outcome: CampaignOutcome) -> None:
    """Leave out what earlier looks at a board have decided: a resumed run has less to do, or nothing."""
    BoardLooks(plan, board_id, writer, outcome, lambda message: None)


def look_text(look: LookTaken, most: int) -> str:
    """Return a look in one line."""
    parts = [f"{label} {verdict}" for label, verdict in look.decided.items()]
    parts += [f"{label} open" for label in look.undecided]
    parts += [f"{label} not compared" for label in look.not_compared]
    if look.stops:
        end = "decided" if look.blocks < most else "decided at the last look"
    else:
        end = "goes on" if look.blocks < most else "not decided, and no more blocks are planned"
    return f"look after {look.blocks} blocks: {look.task}: {', '.join(parts) or 'nothing to compare'}: {end}"


def _skip(board_id: str, task: str, label: str, reason: str, from_block: int) -> Skip:
    return Skip(board_id=board_id, task=task, label=label, reason=reason, from_block=from_block)
