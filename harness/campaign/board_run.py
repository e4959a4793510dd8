"""Work off one board's queue, from the connection to the lease given back.

Every record is on disk before the next repetition starts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from tunebench.harness.artifacts.build_cache import keep
from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.artifacts.native import NativeError, NativeLibrary, library_for
from tunebench.harness.board.drawing import Contested
from tunebench.harness.board.environment import board_env, no_power_source, replaced, unable
from tunebench.harness.board.kernels import dead_kernels, kernel_of
from tunebench.harness.board.lease import BoardLease
from tunebench.harness.board.link import Interrupted, Link, connect
from tunebench.harness.board.meter import BoardMeter
from tunebench.harness.board.revival import Reviver
from tunebench.harness.board.shaped import stressed_by_host
from tunebench.harness.board.tuning import Tuner
from tunebench.harness.campaign.board_state import BoardState
from tunebench.harness.campaign.looks import BoardLooks
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Observer
from tunebench.harness.campaign.repetition import run_repetition
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Workload
from tunebench.harness.farm.provider import FarmError, Patience, State
from tunebench.harness.farm.source import parse, provider
from tunebench.harness.farm.turns import Turn, Turns
from tunebench.harness.planning import attempts, energy_windows, limits
from tunebench.harness.planning.durations import Stopwatch, estimate
from tunebench.harness.planning.job import BoardContext, make_job
from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.record import OfFarm
from tunebench.reports.records import OPERATING_POINTS, Repetition, Skip
from tunebench.reports.results import RunReader, RunWriter
from tunebench.targets.boards import kind_of
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import SyncReport
from tunebench.targets.client.replies import Interpreter, Owner, Probe
from tunebench.targets.errors import BoardError, ConditionError, UnreachableError
from tunebench.targets.host_lock import HostLock, Wait
from tunebench.targets.payload import Blob

Value = TypeVar("Value")

#: Called with every record once it is on disk (the pytest plugin replays them).
OnRecord = Callable[[Repetition], None]


@dataclass(frozen=True)
class Shared:
    """What the boards' runs of one campaign share.

    Attributes:
        begun: boards on which something of this run was started, now or before it was resumed.
        turns: at boards of farms, taken before the run was planned.
        stop: set when the user asked to stop.
        stopping: held while connections are cut, so that none is cut that was made to tidy up.
    """

    plan: Plan
    artifacts: Artifacts
    writer: RunWriter
    observer: Observer
    outcome: CampaignOutcome
    owner: Owner
    stopwatch: Stopwatch
    turns: Turns
    on_record: OnRecord | None
    begun: set[str]
    stop: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Lock = field(default_factory=threading.Lock)
    _connected: list[Board] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def connected(self, board: Board) -> Iterator[None]:
        """Let Ctrl-C cut this board's connection as long as the context is open."""
        with self._lock:
            self._connected.append(board)
        try:
            yield
        finally:
            with self._lock:
                self._connected.remove(board)

    def cut_all(self) -> None:
        """Stop every board's run; blocked waits end because their connections are closed."""
        with self._lock:
            boards = list(self._connected)
        with self.stopping:
            self.stop.set()
            for board in boards:
                board.ssh.close()


class BoardRun:
    """Work off one board's queue. One instance, one visit.

    Args:
        entry: the board in the inventory.
        queue: its repetitions without a record; an empty queue tidies up after a host that died with it done.
        shared: the campaign's.
    """

    def __init__(self, entry: BoardEntry, queue: Sequence[Planned], shared: Shared) -> None:
        self._entry = entry
        self._queue = list(queue)
        self._shared = shared
        self._turn: Turn | None = None
        self._place_state: State = "held"
        self._contested: str | None = None
        self._reviver: Reviver
        self._state = BoardState.resumed(shared.writer.stored, entry.id)
        self._link: Link
        self._lease: BoardLease
        self._tuner: Tuner
        self._context: BoardContext

    def run(self) -> None:
        """Connect, take the lease, tune, measure, and undo all of it in the opposite order, whatever happens.

        Raises:
            TargetError: the board failed, or stayed hot, busy or leased for longer than we wait.
            Interrupted: the user asked to stop.
        """
        entry, shared = self._entry, self._shared
        with contextlib.ExitStack() as stack:
            self._take_place(stack)
            self._take_turn(stack)
            board = stack.enter_context(contextlib.closing(Board(entry.spec())))
            connect(board, shared.stop, self._note)
            stack.enter_context(shared.connected(board))
            meter = stack.enter_context(BoardMeter(entry.meter, self._note, self._patience()))
            blobs = self._blobs()
            self._link = Link(
                board,
                shared.stop,
                [blob for blob in blobs if blob.role == "payload"],
                self._note,
                patience_s=entry.timeouts.comeback_s,
                condition_patience_s=entry.patience_s,
                meter=meter,
            )
            self._lease = stack.enter_context(
                BoardLease(self._link, shared.owner, shared.stopping, shared.stop)
            )
            # The agent alone first: whoever measures on the board now is not to be disturbed by the rest.
            agent = self._link.sync()
            self._take_lease()
            self._reviver = Reviver(self._turn if entry.power == "place" else None, self._link, self._note)
            self._sync(blobs, agent)
            self._tuner = stack.enter_context(
                Tuner(self._link, entry.tuning, shared.owner, self._note, shared.stopping)
            )
            self._context = self._prepare()
            self._measure_queue()

    def _take_place(self, stack: contextlib.ExitStack) -> None:
        """Wait for a turn at a board of a farm; the place is given back at the end, after the board's lease.

        Raises:
            ConditionError: another has it for longer than we wait, or the farm cannot be reached.
            Interrupted: the user asked to stop.
        """
        entry, stop = self._entry, self._shared.stop
        if entry.farm is None:
            return
        turn = self._shared.turns.hand_over(entry.id)
        if turn is None:
            patience = Patience(entry.patience_s, self._note, stop)
            try:
                farm = provider(parse(entry.farm))
                turn = Turn(farm, farm.take(entry.place or entry.id, patience))
            except FarmError as error:
                if stop.is_set():
                    raise Interrupted from None
                raise ConditionError(f"{entry.id}: {error}", "lease") from None
            self._note(f"place {turn.ticket.board} of {entry.farm} is ours, as {turn.ticket.identity}")
        stack.callback(turn.give)
        self._turn = turn

    def _take_lease(self) -> None:
        """Take the board's lease.

        Raises:
            Contested: another has it for longer than we wait, on a board that was drawn: another board will do.
            ConditionError: as above, on a board that was asked for.
        """
        try:
            self._lease.take()
        except ConditionError as error:
            if self._entry.pool is None or error.kind != "lease":
                raise
            raise Contested(self._entry.id, str(error)) from None

    def _look_at_place(self) -> str | None:
        """Return who else has the board's place; a farm that does not answer stops nothing."""
        if self._turn is None or self._contested is not None:
            return self._contested
        state = self._turn.check()
        if state == "lost":
            place = f"place {self._turn.ticket.board} of {self._entry.farm}"
            self._contested = f"{place} is ours no more; it is held by {self._turn.owner()}"
        elif state != self._place_state:
            self._note(
                "the farm does not answer; measuring goes on"
                if state == "unknown"
                else "the farm answers again"
            )
        self._place_state = state
        return self._contested

    def _of_farm(self) -> OfFarm:
        """Return what the farm has to do with a repetition that has just ended."""
        return OfFarm(self._look_at_place(), self._reviver.take_note())

    def _revived(self, action: Callable[[], Value], busy_s: float) -> Value:
        """Return what an action returns; once more if the board hangs and its place has cycled its power.

        Args:
            action: may be done twice.
            busy_s: for how long a repetition that it starts may run; 0: it starts none.

        Raises:
            UnreachableError: the board hangs, and nothing brings it back.
        """
        try:
            return action()
        except UnreachableError as error:
            self._reviver.revive(error, self._link.patience_s, busy_s)
            self._put_right()
            return action()

    def _take_turn(self, stack: contextlib.ExitStack) -> None:
        """Wait for another command of this host that has the same loopback board; it is not looked at meanwhile.

        Raises:
            ConditionError: that command has it for longer than we wait.
            Interrupted: the user asked to stop.
        """
        spec = self._entry.spec()
        if not kind_of(spec.kind).host_itself:
            return  # a board's own lease serves all hosts that reach it
        lock = HostLock(f"board {os.path.realpath(Path.home() / Path(spec.own_workdir).expanduser())}")
        busy = lock.take("loopback board", self._patience())
        if self._shared.stop.is_set():
            lock.give()
            raise Interrupted
        if busy is not None:
            raise ConditionError(f"{self._entry.id}: {busy}", "lease")
        stack.callback(lock.give)

    def _patience(self) -> Wait:
        return Wait(self._entry.patience_s, self._note, self._shared.stop.wait)

    def _note(self, message: str) -> None:
        self._shared.observer.note(self._entry.id, message)

    def _blobs(self) -> list[Blob]:
        """Return what the queue needs on the board, each blob once."""
        artifacts = self._shared.artifacts
        if not self._queue:
            return [artifacts.payload]
        needed = [
            artifacts.of_workload(planned.workload, planned.base or 0).values() for planned in self._queue
        ]
        return list({blob.name: blob for blobs in needed for blob in blobs}.values())

    def _sync(self, blobs: Sequence[Blob], agent: SyncReport) -> None:
        """Push what the board lacks; the second time that is nothing, and the log says so.

        Args:
            blobs: all that the queue needs.
            agent: what was pushed before.
        """
        report = self._link.sync(*blobs)
        uploaded = {*agent.uploaded_names, *report.uploaded_names}
        total = len({*report.uploaded_names, *report.present_names})
        self._note(
            f"uploaded {agent.uploaded_b + report.uploaded_b} bytes ({len(uploaded)} of {total} files;"
            f" {total - len(uploaded)} were there and verified)"
        )

    def _prepare(self) -> BoardContext:
        """Ask the board what it is, tune it, record it, and skip the workloads that it cannot run."""
        entry, shared, link = self._entry, self._shared, self._link
        interpreter = link.board.spec.interpreter
        probe = link.persist(lambda: link.board.probe([list(interpreter)], shared.plan.run_id))
        if self._queue and entry.id in shared.begun:
            first_env = RunReader(shared.writer.path).env(entry.id)
            if reason := replaced(first_env, board_env(entry.id, probe)):
                raise BoardError(f"{entry.id}: {reason}")
        probe = self._tuner.prepare(probe)
        env = board_env(entry.id, probe, self._tuner.report)
        shared.writer.write_env(env, "before")
        answer = next(iter(probe.interpreters), Interpreter())
        timed = [planned.workload for planned in self._queue if planned.role != energy_windows.IDLE]
        dead = dead_kernels(link, answer, timed)
        for workload in {workload.key: workload for workload in timed}.values():
            reason = unable(workload, answer, interpreter, probe.noexec, probe)
            if reason is None and (kernel := kernel_of(workload)) is not None:
                reason = dead.get(kernel)
            if reason is not None:
                self._skip(workload, reason)
        self._check_stressors()
        self._sweep(probe)
        libraries = self._native(probe)
        self._check_energy(probe)
        header = shared.plan.suite.header
        return BoardContext(
            run_id=shared.plan.run_id,
            lab=shared.plan.lab,
            board_kind=entry.kind,
            interpreter=interpreter,
            artifacts=shared.artifacts,
            owner=shared.owner,
            gates_policy=entry.gates_policy,
            policy=header.policy,
            start_window_c=header.start_window_c,
            max_temp_c=entry.max_temp_c,
            board_model=env.text("hardware", "model"),
            emulated=entry.emulated,
            root=link.board.spec.root,
            power_mode=probe.power_mode,
            tuning=self._tuner.settings,
            tuning_faults=tuple(self._tuner.faults),
            libraries=libraries,
            kernel=env.text("os", "kernel"),
            env_sha256=env.env_sha256,
            pulse_chip_s=link.meter.pulse_chip_s,
            ship_links=tuple(header.ship_links),
            ship_wait_s=header.ship_wait_s,
            bases=header.bases,
        )

    def _sweep(self, probe: Probe) -> None:
        """Remove repetitions whose record is safe but which a dead host left on the board."""
        done_rep_ids = self._shared.writer.done_rep_ids
        for job in probe.jobs:
            if job.rep_id in done_rep_ids:
                self._lease.clean(str(job.rep_id), limits.SETUP_S)
                self._note(f"removed {job.rep_id}, left behind by an earlier run")

    def _native(self, probe: Probe) -> dict[str | None, NativeLibrary]:
        """Build the kernels for the board's CPU and push them; workloads that need them are skipped if that fails."""
        native = [planned.workload for planned in self._queue if planned.workload.needs_library]
        workloads = {workload.key: workload for workload in native}
        libraries: dict[str | None, NativeLibrary] = {}
        for build in {workload.build for workload in workloads.values()}:
            try:
                libraries[build] = library_for(probe, build)
            except NativeError as error:
                for workload in workloads.values():
                    if workload.build == build:
                        self._skip(workload, f"no native library for this board: {error}")
        if libraries:
            keep(library.blob for library in libraries.values())
            report = self._link.sync(*(library.blob for library in libraries.values()))
            names = ", ".join(sorted(library.variant for library in libraries.values()))
            self._note(f"native engine: {names}; uploaded {report.uploaded_b} bytes")
        return libraries

    def _check_stressors(self) -> None:
        """Leave rows out whose stressor this board cannot have: it is asked before anything is measured."""
        link = self._link
        stressed = {planned.workload.key: planned.workload for planned in self._queue}
        asked = {
            workload.stressor.ident: limits.stressor(
                workload.stressor, board_kind=self._entry.kind, root=link.board.spec.root
            )
            for workload in stressed.values()
            if workload.stressor is not None
        }
        jobs = [stressor for stressor in asked.values() if stressor is not None]
        if not jobs:
            return
        absent = link.persist(lambda: link.board.absent_stressors(jobs, self._shared.owner))
        for workload in stressed.values():
            if workload.stressor is not None and workload.stressor.ident in absent:
                what = "operating point" if workload.stressor.kind in OPERATING_POINTS else "stressor"
                self._skip(workload, f"{what} {workload.stressor.ident}: {absent[workload.stressor.ident]}")

    def _check_energy(self, probe: Probe) -> None:
        """Leave energy repetitions and idle baselines out where nothing would measure their power."""
        outcome = self._shared.outcome
        planned_here = self._shared.plan.of_board(self._entry.id)
        energy_repetitions = [planned for planned in planned_here if planned.role == energy_windows.ENERGY]
        if not energy_repetitions:
            return
        reason = no_power_source(self._entry, probe)
        if reason is None and all(outcome.is_skipped(planned) for planned in energy_repetitions):
            reason = "every method that would be repeated is skipped on this board"
        if reason is None:
            return
        skip = Skip(board_id=self._entry.id, role="energy", reason=f"no energy repetitions: {reason}")
        outcome.skip_role(skip)
        self._note(skip.reason)

    def _skip(self, workload: Workload, reason: str) -> None:
        """Leave a workload out on this board, and tell the user."""
        self._shared.outcome.skip(self._entry.id, workload, reason)
        self._note(f"skips {workload.task} {workload.label}: {reason}")

    def _measure_queue(self) -> None:
        """Measure the queue in order, a lost repetition once more; look at the board again at the end."""
        shared, link = self._shared, self._link
        self._look_at_place()  # it may have taken long to get ready
        # What earlier looks have decided is left out from the start.
        looks = BoardLooks(shared.plan, self._entry.id, shared.writer, shared.outcome, self._note)
        queue = self._left(self._queue)
        while queue:
            if shared.stop.is_set():
                raise Interrupted
            if shared.plan.suite.looks:
                looks.take_due(queue)
                queue = self._left(queue)
                if not queue:
                    break
            if self._contested is not None:
                raise Contested(self._entry.id, self._contested)
            planned, *rest = queue
            left_s = estimate(queue, shared.stopwatch.durations()).total_s
            shared.observer.started(planned, left_s)
            last = not rest
            record = self._measure(planned, last=last)
            if attempts.to_be_repeated(record) and self._contested is None:
                self._recover()
                second_attempt = attempts.next_attempt(planned)
                shared.observer.started(second_attempt, left_s)
                self._measure(second_attempt, last=last)
            queue = rest
        looks.take_due([])
        # With the interpreters again: a torch that was upgraded meanwhile is a changed environment.
        interpreter = list(link.board.spec.interpreter)
        probe = link.persist(lambda: link.board.probe([interpreter], shared.plan.run_id))
        shared.writer.write_env(board_env(self._entry.id, probe), "after")

    def _left(self, queue: Sequence[Planned]) -> list[Planned]:
        """Return what is left of a queue, and tell how much of it is left out."""
        left = [planned for planned in queue if not self._shared.outcome.is_skipped(planned)]
        if len(left) < len(queue):
            self._shared.observer.left_out(self._entry.id, len(queue) - len(left))
        return left

    def _recover(self) -> None:
        """Put a board right that lost a repetition: if it went down it may have torn files, and is untuned."""
        self._note("a repetition was lost and is measured once more")
        self._put_right()

    def _put_right(self) -> None:
        """Give a board that may have rebooted all that it needs: files, the lease, its tuning."""
        link, tuner = self._link, self._tuner
        link.sync()
        self._lease.take()  # a reboot ends every lease
        tuner.prepare(link.persist(lambda: link.board.probe([], self._shared.plan.run_id)))
        self._context = replace(self._context, tuning=tuner.settings, tuning_faults=tuple(tuner.faults))

    def _measure(self, planned: Planned, *, last: bool) -> Repetition:
        """Run one repetition, store its record, clean the board."""
        shared = self._shared
        shared.begun.add(planned.board_id)
        predicted_s = shared.stopwatch.durations().get(planned.duration_key) or planned.least_s or None
        try:
            record = self._run_and_store(planned, predicted_s)
            # After the last one the board is looked at once more, and what was tuned is undone.
            hold_s = limits.SETUP_S if last else limits.GAP_S
            self._revived(lambda: self._lease.clean(planned.rep_id, hold_s), 0.0)
        except Interrupted:
            # Wherever it was cut, also between the record and the clean-up: leave nothing behind.
            self._lease.free(planned.rep_id)
            raise
        return record

    def _run_and_store(self, planned: Planned, predicted_s: float | None) -> Repetition:
        """Make a repetition's job, run it, and store its record and files."""
        shared = self._shared
        job = make_job(planned, self._context, self._state.start_temp_c)
        with stressed_by_host(self._link, planned.workload.stressor, shared.connected) as on_host:
            finished = self._revived(
                lambda: run_repetition(
                    self._link,
                    job,
                    self._context,
                    self._state,
                    predicted_s=predicted_s,
                    of_farm=self._of_farm,
                    on_host=on_host,
                ),
                job.longest_s,
            )
        self._state.note_check(finished.record, planned)
        record = shared.writer.append(
            finished.record,
            trace=finished.trace,
            log=finished.log,
            preds=finished.preds,
            meter=finished.meter,
            exit_record=finished.exit_record,
        )
        if record.host_s is not None and record.outcome != "lost":
            shared.stopwatch.learn(planned, record.host_s)
        shared.outcome.count(record)
        shared.observer.finished(planned, record)
        if shared.on_record is not None:
            shared.on_record(record)
        return record
