"""Run a plan: a thread a board, all of them stopped by one Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace

from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.board.drawing import Contested
from tunebench.harness.board.environment import owner
from tunebench.harness.board.link import Interrupted
from tunebench.harness.board.substitutes import Substitute, Substitutes
from tunebench.harness.campaign.board_run import BoardRun, OnRecord, Shared
from tunebench.harness.campaign.looks import leave_out_decided
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Observer
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Workload
from tunebench.harness.farm.turns import Turns
from tunebench.harness.planning import attempts
from tunebench.harness.planning.durations import Durations, Stopwatch
from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.results import RunWriter
from tunebench.targets.errors import BoardError, ConditionError, TargetError


class Campaign:
    """Run a plan. One instance, one run.

    Args:
        plan: what to run.
        artifacts: what the boards are given.
        writer: the run's results.
        observer: told how the campaign goes.
        history: durations of earlier runs, for the time left.
        on_record: called with every record once it is on disk.
        leave_out_missing: complete the run without boards that were never reached, instead of leaving it open for them.
        turns: at boards of farms, taken before the run was planned.
        substitutes: takes another board for a drawn one that somebody else has; None: nothing does.
    """

    def __init__(
        self,
        plan: Plan,
        artifacts: Artifacts,
        writer: RunWriter,
        observer: Observer,
        *,
        history: Durations | None = None,
        on_record: OnRecord | None = None,
        leave_out_missing: bool = False,
        turns: Turns | None = None,
        substitutes: Substitutes | None = None,
    ) -> None:
        self._substitutes = substitutes
        self.outcome = CampaignOutcome(plan.skipped, leave_out_missing=leave_out_missing)
        done_rep_ids = writer.done_rep_ids
        self._shared = Shared(
            plan=plan,
            artifacts=artifacts,
            writer=writer,
            observer=observer,
            outcome=self.outcome,
            owner=owner(plan.run_id),
            stopwatch=Stopwatch(dict(history or {})),
            on_record=on_record,
            turns=turns if turns is not None else Turns(),
            begun={planned.board_id for planned in plan.repetitions if planned.rep_id in done_rep_ids},
        )

    def run(self) -> CampaignOutcome:
        """Run all queues to their end.

        Ctrl-C stops after freeing the boards; the run stays resumable and ``outcome.interrupted`` is set.
        """
        boards = self._shared.plan.boards
        pool = ThreadPoolExecutor(max_workers=max(1, len(boards)), thread_name_prefix="board")
        futures = [pool.submit(self._run_board, entry) for entry in boards]
        try:
            _wait_interruptibly(futures)
        except KeyboardInterrupt:
            self.stop()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()
        return self.outcome

    def stop(self) -> None:
        """Ask every queue to end; blocked waits are cut by closing their connections."""
        self.outcome.interrupted = True
        self._shared.cut_all()

    def skip_reason(self, board_id: str, workload: Workload) -> str | None:
        """Return why a workload was not run on a board, once that is known."""
        return self.outcome.skip_reason(board_id, workload)

    def _run_board(self, entry: BoardEntry) -> None:
        """Work off a board's queue; if the board is lost, in this thread that of the one that takes its place."""
        shared = self._shared
        while (substitute := self._work_off(entry, shared)) is not None:
            # The plan has grown by this board's queue. The others' stand in it unchanged, so they keep the old one.
            entry, shared = substitute.board, replace(shared, plan=substitute.plan)

    def _work_off(self, entry: BoardEntry, shared: Shared) -> Substitute | None:
        """Work off one board's queue, and tell how it ended; a board that fails does not stop the others.

        Returns:
            What takes the board's place, if it is lost to somebody else.
        """
        queue = attempts.still_open(shared.plan.of_board(entry.id), shared.writer.stored)
        if shared.plan.suite.looks:
            leave_out_decided(shared.plan, entry.id, shared.writer, self.outcome)
            queue = [planned for planned in queue if not self.outcome.is_skipped(planned)]
        if (reason := self.outcome.left_out_reason(entry.id)) is not None:
            self._note_missing(entry.id, reason)
            shared.observer.ended(entry.id, f"left out: {reason}")
            return None
        if not queue and entry.id not in shared.begun:
            shared.observer.ended(entry.id, "nothing left to do")
            return None
        try:
            BoardRun(entry, queue, shared).run()
            shared.observer.ended(entry.id, "done" if queue else "nothing left to do")
        except Interrupted:
            shared.observer.ended(entry.id, "stopped")
        except Contested as error:
            substitute = self._substitute(entry, queue, str(error))
            if substitute is None:
                self._give_up(entry.id, str(error), missed=bool(queue))
            return substitute
        except (BoardError, ConditionError) as error:
            self._give_up(entry.id, str(error), missed=bool(queue))
        except TargetError as error:
            if shared.stop.is_set():
                shared.observer.ended(entry.id, "stopped")
            else:
                self._give_up(entry.id, str(error), missed=bool(queue))
        except Exception as error:
            shared.observer.ended(entry.id, "ended by an error of ours")
            error.add_note(f"board {entry.id}")
            raise
        return None

    def _substitute(self, lost: BoardEntry, queue: Sequence[Planned], reason: str) -> Substitute | None:
        """Take another board in place of one that somebody else has, and leave out what is left of its queue."""
        if self._substitutes is None or not queue:
            return None
        shared, observer = self._shared, self._shared.observer
        substitute = self._substitutes.instead_of(lost, reason, shared.stop)
        if substitute is None:
            return None
        # First: whoever waits for the lost board is let go by what follows, and may ask for this one then.
        observer.joined(substitute.board.id, substitute.plan.of_board(substitute.board.id))
        left = attempts.still_open(queue, shared.writer.stored)
        observer.left_out(lost.id, sum(not self.outcome.is_skipped(planned) for planned in left))
        self.outcome.leave_out(substitute.plan.skipped)
        self._note_missing(lost.id, reason)
        observer.ended(
            lost.id, f"what is left of its queue is left out; {substitute.board.id} is measured instead"
        )
        return substitute

    def _give_up(self, board_id: str, reason: str, *, missed: bool) -> None:
        """Leave the rest of a board's queue out; a board that has nothing left to do is not missed."""
        if not missed:
            self._shared.observer.ended(board_id, f"nothing left to do; it was not tidied up: {reason}")
            return
        if self.outcome.give_up(board_id, reason, begun=board_id in self._shared.begun):
            self._note_missing(board_id, reason)
        self._shared.observer.ended(board_id, f"quarantined: {reason}")

    def _note_missing(self, board_id: str, reason: str) -> None:
        """Tell whoever looks at the run from elsewhere, or at its report, why it is not whole."""
        with contextlib.suppress(OSError):
            self._shared.writer.note_missing(board_id, reason)


def _wait_interruptibly(futures: Sequence[Future[None]]) -> None:
    """Wait so that Ctrl-C is noticed at once: a signal ends the wait, but on Windows the wait must end by itself."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=0.2 if sys.platform == "win32" else None)
