"""One campaign inside a pytest session: starts with it, hands records to tests, ends with it."""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunebench.harness import hints
from tunebench.harness.board.drawing import at_most
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import describe
from tunebench.harness.campaign.session import Request, Session, open_session
from tunebench.harness.config.inventory import Inventory
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.errors import ending_of
from tunebench.harness.farm.turns import Turns
from tunebench.harness.hil.progress import Progress
from tunebench.harness.hil.timer import Mailbox, Result
from tunebench.harness.planning.feasibility import feasibility, feasibility_lines
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.render import files

Log = Callable[[str], None]
_RESUME = "--tunebench-resume"


class HilRun:
    """A campaign over the selected tests' boards and workloads; of boards of a pool it draws so many as a run takes.

    Args:
        inventory: the lab's boards.
        suite: the campaign's.
        wanted: (board id, workload key) of every selected test.
        out: root of the results.
        resume: continue the newest unfinished run of the suite, if there is one.
        command: the command line, as it is stored with the run.
        data_dir: local copies of data sets.
        log: shows what happens, a line an event.
        tell: shows, seldom, how far it is.
        idle: called again and again by who waits for a record.

    Raises:
        UsageError: the results directory cannot be written or a resumed run differs.
        FarmError: not so many boards of a farm can be had.
    """

    def __init__(
        self,
        inventory: Inventory,
        suite: Suite,
        wanted: set[tuple[str, tuple[str, str]]],
        *,
        out: Path,
        resume: bool,
        command: Sequence[str],
        data_dir: Path | None,
        log: Log,
        tell: Log = lambda _: None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        board_ids = {board_id for board_id, _ in wanted}
        keys = {key for _, key in wanted}
        chosen = replace(
            suite, workloads=tuple(workload for workload in suite.workloads if workload.key in keys)
        )

        def say(line: str) -> None:
            log(line)
            tell(line)

        request = Request(
            suite=chosen,
            boards=at_most([board for board in inventory.boards if board.id in board_ids]),
            lab=inventory.lab.name,
            out=out,
            resume=resume,
            or_begin=True,
            command=command,
            data_dir=data_dir,
        )
        with contextlib.ExitStack() as stack:
            turns = stack.enter_context(Turns())
            self._session: Session = open_session(request, turns=turns, tell=say)
            #: Ends the turns that no queue has taken over.
            self._turns = stack.pop_all()
        self._log, self._idle = log, idle
        if resume and not self._session.writer.stored:
            tell(f"there was no run of suite {suite.name!r} to resume: a new one begins")
        n_done = sum(
            planned.rep_id in self._session.writer.done_rep_ids for planned in self._session.plan.repetitions
        )
        self._progress = Progress(tell, len(self._session.plan.repetitions), n_done)
        self._mailbox = Mailbox(self._session.plan.repetitions)
        for record in self._session.writer.repetitions():
            self._mailbox.put(record)
        self._campaign = self._session.campaign(self, on_record=self._mailbox.put)
        self._outcome: CampaignOutcome = self._campaign.outcome
        self._failure: BaseException | None = None
        self._pid = os.getpid()
        self._complete = False
        self._thread = threading.Thread(target=self._work, name="campaign", daemon=True)

    @property
    def pid(self) -> int:
        """Return the process whose threads measure: a forked one would wait for ever."""
        return self._pid

    @property
    def path(self) -> Path:
        """Return the run's results directory."""
        return self._session.writer.path

    @property
    def board_ids(self) -> frozenset[str]:
        """Return the boards that are measured: those that were drawn, and those that have taken a lost one's place."""
        return frozenset(board.id for board in self._session.plan.boards)

    def _resume_command(self) -> str:
        """Return the command of this session with the option that continues its run."""
        words = list(self._session.request.command)
        return shlex.join([*words, *([] if _RESUME in words else [_RESUME])])

    def start(self) -> None:
        """Start all boards' queues; say before where no verdict is possible."""
        for line in feasibility_lines(feasibility(self._session.plan, self._session.history)):
            self._log(line)
        self._thread.start()

    def _work(self) -> None:
        try:
            self._campaign.run()
        except BaseException as error:  # noqa: BLE001 - handed to the session's thread, where it is raised
            self._failure = error
        finally:
            for board in self._session.plan.boards:
                self._mailbox.close(board.id)

    def wait(self, board_id: str, workload: Workload) -> Result:
        """Block until a workload's repetitions are there or will not come."""

        def skipped() -> str | None:
            self._progress.tick()
            self._idle()
            return self._campaign.skip_reason(board_id, workload)

        result = self._mailbox.wait(board_id, workload.task, workload.label, skipped)
        if self._failure is not None:
            raise self._failure
        return result

    def skip_reason(self, board_id: str, workload: Workload) -> str | None:
        """Return why a workload was not measured on a board; None if it was."""
        for skip in self._session.plan.skipped:
            if skip.role is None and (skip.board_id, skip.task, skip.label) == (board_id, *workload.key):
                return skip.reason
        return self._campaign.skip_reason(board_id, workload)

    def extra_info(self, result: Result) -> dict[str, Any]:
        """Return pointers from a benchmark to its records; JSON types only."""
        usable = result.usable
        return {
            "run_id": self._session.plan.run_id,
            "results": str(self.path),
            "rep_ids": [record.rep_id for record in usable],
            "verdicts": [record.verdict for record in usable],
            "accuracy_before": result.quality_before,
            "accuracy_after": result.quality_after,
            "peak_rss_b": result.peak_rss_b,
        }

    def summary(self) -> dict[str, Any]:
        """Return the ``tunebench`` block of the benchmark JSON."""
        return {
            "schema": "tunebench.pytest/1",
            "run_id": self._session.plan.run_id,
            "results": str(self.path),
            "plan_sha256": self._session.plan.sha256,
            "boards": [board.id for board in self._session.plan.boards],
        }

    def finish(self, *, interrupted: bool) -> None:
        """Let the queues end, or stop them if the session was interrupted; then complete the run.

        Raises:
            Exception: what ended the campaign before its end. The run stays resumable.
        """
        if interrupted:
            self._campaign.stop()
        with self._turns:
            while self._thread.is_alive():
                self._thread.join(timeout=0.5)
                self._idle()
        self._idle()
        if self._failure is not None:
            raise self._failure
        self._complete = self._session.close(self._outcome)

    def closing_lines(self, report: str | None) -> list[str]:
        """Return the lines of the terminal summary; write the report if a file for it is named."""
        counts = ", ".join(f"{n} {name}" for name, n in sorted(self._outcome.counts.items()))
        lines = [f"results: {self.path} ({counts or 'nothing recorded'})"]
        lines += [f"{board}: quarantined: {reason}" for board, reason in self._outcome.given_up.items()]
        if not self._complete:
            lines.append(f"the run is not complete; `{self._resume_command()}` continues it")
        if report and self._session.writer.stored:
            try:
                html, _ = files.report(self.path, Path(report), None, None)
                lines.append(f"report: {html}")
            except Exception as error:  # noqa: BLE001 - the results are on disk; a page can be made of them later
                lines.append(f"report: not written: {ending_of(error).message}")
                lines.append(f"later: `{hints.command('report', self.path)}`")
        return lines

    # What the campaign tells (tunebench.harness.campaign.progress.Observer).

    def note(self, board_id: str, message: str) -> None:
        self._log(f"{board_id}: {message}")

    def left_out(self, board_id: str, count: int) -> None:
        """Count them out: the tests of what is left out skip and say why."""
        self._progress.left_out(count)

    def joined(self, board_id: str, queue: Sequence[Planned]) -> None:
        self._progress.joined(len(queue))
        self._mailbox.expect(queue)

    def started(self, planned: Planned, left_s: float | None) -> None:
        self._progress.started(planned, left_s)

    def finished(self, planned: Planned, record: Repetition) -> None:
        self._log(f"{planned.board_id}: {describe(record)}")
        self._progress.finished(record)

    def ended(self, board_id: str, message: str) -> None:
        self._progress.ended(board_id)
        self._log(f"{board_id}: {message}")
        self._mailbox.close(board_id)
