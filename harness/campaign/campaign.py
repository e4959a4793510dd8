"""One queue (thread) a board, boards in parallel; every record is on disk before the next repetition starts."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from tunebench.harness.artifacts.build_cache import keep
from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.artifacts.native import NativeError, NativeLibrary, library_for
from tunebench.harness.board.environment import board_env, no_power_source, owner, replaced, unable
from tunebench.harness.board.lease import BoardLease
from tunebench.harness.board.link import Interrupted, Link, connect
from tunebench.harness.board.meter import BoardMeter
from tunebench.harness.board.tuning import Tuner
from tunebench.harness.campaign import start_temperature
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Observer
from tunebench.harness.campaign.repetition import run_repetition
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Workload
from tunebench.harness.planning import attempts, energy_windows, limits
from tunebench.harness.planning.durations import Durations, Stopwatch, estimate
from tunebench.harness.planning.job import BoardContext
from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned, covers
from tunebench.harness.record.outcome import note_check
from tunebench.reports.records import Repetition, Skip
from tunebench.reports.results import RunReader, RunWriter
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import SyncReport
from tunebench.targets.errors import BoardError, ConditionError, TargetError
from tunebench.targets.payload import Blob

#: Called with every record once it is on disk (the pytest plugin replays them).
OnRecord = Callable[[Repetition], None]


class Campaign:
    """Runs a plan. One instance, one run."""

    def __init__(
        self,
        plan: Plan,
        cargo: Artifacts,
        writer: RunWriter,
        observer: Observer,
        *,
        history: Durations | None = None,
        on_record: OnRecord | None = None,
    ) -> None:
        self.plan = plan
        self.outcome = CampaignOutcome(skipped=list(plan.skipped))
        self._cargo = cargo
        self._writer = writer
        self._owner = owner(plan.run_id)
        self._observer = observer
        self._on_record = on_record
        self._stopwatch = Stopwatch(dict(history or {}))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        #: Held while connections are cut, so that none is cut that was made to tidy up.
        self._stopping = threading.Lock()
        self._boards: dict[str, Board] = {}
        self._skips: dict[str, dict[tuple[str, str], str]] = {}
        done = writer.done_rep_ids
        #: Boards on which something of this run was started, now or before it was resumed.
        self._begun = {one.board_id for one in plan.repetitions if one.rep_id in done}

    def run(self) -> CampaignOutcome:
        """Run all queues to their end.

        Ctrl-C stops after freeing the boards; the run stays resumable and ``outcome.interrupted`` is set.
        """
        pool = ThreadPoolExecutor(max_workers=max(1, len(self.plan.boards)), thread_name_prefix="board")
        futures = [pool.submit(self._run_board, board) for board in self.plan.boards]
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
        with self._lock:
            boards = list(self._boards.values())
        with self._stopping:
            self._stop.set()
            for board in boards:
                board.ssh.close()

    def skip_reason(self, board_id: str, cell: Workload) -> str | None:
        """Why a cell was not run on a board, once that is known."""
        with self._lock:
            if board_id in self.outcome.quarantined:
                return self.outcome.quarantined[board_id]
            return self._skips.get(board_id, {}).get(cell.key)

    def _run_board(self, entry: BoardEntry) -> None:
        todo = attempts.still_open(self.plan.of_board(entry.id), self._writer.stored)
        if not todo and entry.id not in self._begun:
            self._observer.ended(entry.id, "nothing left to do")
            return
        try:
            self._visit(entry, todo)
            self._observer.ended(entry.id, "done" if todo else "nothing left to do")
        except Interrupted:
            self._observer.ended(entry.id, "stopped")
        except (BoardError, ConditionError) as error:
            self._give_up(entry, todo, str(error))
        except TargetError as error:
            if self._stop.is_set():
                self._observer.ended(entry.id, "stopped")
            else:
                self._give_up(entry, todo, str(error))
        finally:
            with self._lock:
                self._boards.pop(entry.id, None)

    def _visit(self, entry: BoardEntry, todo: Sequence[Planned]) -> None:
        """Connect to a board and work off its queue; an empty one tidies up after a host that died with it done."""
        with contextlib.closing(Board(entry.spec())) as board:
            connect(board, self._stop, lambda told: self._observer.note(entry.id, told))
            with self._lock:
                self._boards[entry.id] = board
            with self._meter(entry) as meter:
                self._run_queue(entry, board, meter, todo)

    def _give_up(self, entry: BoardEntry, todo: Sequence[Planned], reason: str) -> None:
        """A board that has nothing left to do is not missed."""
        if todo:
            self._quarantine(entry, reason)
        else:
            self._observer.ended(entry.id, f"nothing left to do; it was not tidied up: {reason}")

    def _run_queue(self, entry: BoardEntry, board: Board, meter: BoardMeter, todo: Sequence[Planned]) -> None:
        blobs = {blob.name: blob for one in todo for blob in self._cargo.of_cell(one.cell).values()}
        if not todo:
            blobs = {self._cargo.payload.name: self._cargo.payload}
        payload = [blob for blob in blobs.values() if blob.role == "payload"]
        link = Link(
            board,
            self._stop,
            payload,
            lambda told: self._observer.note(entry.id, told),
            patience_s=entry.timeouts.comeback_s,
            condition_patience_s=entry.patience_s,
            meter=meter,
        )
        tenancy = BoardLease(link, self._owner, self._stopping, self._stop)
        try:
            # The agent alone first: whoever measures on the board now is not to be disturbed by the rest.
            agent = link.sync()
            tenancy.take()
            self._sync(link, entry, list(blobs.values()), agent)
            self._run_held(tenancy, entry, todo)
            tenancy.hand_back()
        except BaseException as error:
            tenancy.leave(error)
            raise

    def _run_held(self, tenancy: BoardLease, entry: BoardEntry, todo: Sequence[Planned]) -> None:
        """The queue of a board whose lease is ours, between the board's tuning and its undoing."""
        tuner = Tuner(
            tenancy.link,
            entry.tuning,
            self._owner,
            lambda told: self._observer.note(entry.id, told),
            self._stopping,
        )
        try:
            self._run_tuned(tenancy, entry, todo, tuner)
        finally:
            tuner.restore()

    def _run_tuned(
        self, tenancy: BoardLease, entry: BoardEntry, todo: Sequence[Planned], tuner: Tuner
    ) -> None:
        """The queue itself."""
        link, board = tenancy.link, tenancy.link.board
        bench = self._probe(tenancy, entry, todo, tuner)
        queue = [one for one in todo if not self._is_skipped(one)]
        self._observer.left_out(entry.id, len(todo) - len(queue))
        for position, planned in enumerate(queue):
            if self._stop.is_set():
                raise Interrupted
            left_s = estimate(queue[position:], self._stopwatch.durations()).total_s
            self._observer.started(planned, left_s)
            last = position == len(queue) - 1
            record = self._run_one(tenancy, planned, bench, last=last)
            if attempts.to_be_repeated(record):
                bench = self._recover(tenancy, entry, bench, tuner)
                again = attempts.next_attempt(planned)
                self._observer.started(again, left_s)
                self._run_one(tenancy, again, bench, last=last)
        # With the interpreters again: a torch that was upgraded meanwhile is a changed environment.
        probe = link.persist(lambda: board.probe([list(board.spec.interpreter)], self.plan.run_id))
        self._writer.write_env(board_env(entry.id, probe), "after")

    def _recover(
        self, tenancy: BoardLease, entry: BoardEntry, bench: BoardContext, tuner: Tuner
    ) -> BoardContext:
        """Before a lost repetition is measured again: a board that went down may have torn files, and is untuned."""
        link = tenancy.link
        self._observer.note(entry.id, "a repetition was lost and is measured once more")
        link.sync()
        tenancy.take()  # a reboot ends every lease
        tuner.prepare(link.persist(lambda: link.board.probe([], self.plan.run_id)))
        return replace(bench, tuning=tuner.settings, tuning_faults=tuple(tuner.faults))

    def _sync(self, link: Link, entry: BoardEntry, blobs: Sequence[Blob], agent: SyncReport) -> None:
        """Push what the board lacks; the second time that is nothing, and the log says so.

        Args:
            agent: what was pushed before.
        """
        report = link.sync(*blobs)
        uploaded = {*agent.uploaded_names, *report.uploaded_names}
        total = len({*report.uploaded_names, *report.present_names})
        self._observer.note(
            entry.id,
            f"uploaded {agent.uploaded_b + report.uploaded_b} bytes ({len(uploaded)} of {total} files;"
            f" {total - len(uploaded)} were there and verified)",
        )

    def _meter(self, entry: BoardEntry) -> BoardMeter:
        return BoardMeter(entry.meter, lambda told: self._observer.note(entry.id, told))

    def _probe(
        self, tenancy: BoardLease, entry: BoardEntry, todo: Sequence[Planned], tuner: Tuner
    ) -> BoardContext:
        """Ask the board what it is, record it, and skip the cells that it cannot run."""
        link = tenancy.link
        interpreter = link.board.spec.interpreter
        probe = link.persist(lambda: link.board.probe([list(interpreter)], self.plan.run_id))
        if todo and entry.id in self._begun:
            known = RunReader(self._writer.path).env(entry.id)
            if reason := replaced(known, board_env(entry.id, probe)):
                raise BoardError(f"{entry.id}: {reason}")
        probe = tuner.prepare(probe)
        env = board_env(entry.id, probe, tuner.report)
        self._writer.write_env(env, "before")
        found: Mapping[str, Any] = next(iter(probe.get("interpreters") or []), {})
        for cell in {one.cell.key: one.cell for one in todo if one.role != energy_windows.IDLE}.values():
            reason = unable(cell, found, interpreter)
            if reason:
                self._skip(entry.id, cell, reason)
        self._sweep(tenancy, entry.id, probe)
        libraries = self._native(link, entry, probe, todo)
        self._check_energy(entry, probe)
        hardware = env.fingerprint.get("hardware", {})
        return BoardContext(
            run_id=self.plan.run_id,
            lab=self.plan.lab,
            board_kind=entry.kind,
            interpreter=interpreter,
            cargo=self._cargo,
            owner=self._owner,
            gates_policy=entry.gates_policy,
            policy=self.plan.suite.header.policy,
            start_window_c=self.plan.suite.header.start_window_c,
            max_temp_c=entry.max_temp_c,
            begun=start_temperature.begun_at(self._writer.stored, entry.id),
            board_model=hardware.get("model"),
            emulated=entry.emulated,
            root=link.board.spec.root,
            power_mode=probe.get("power_mode"),
            tuning=tuner.settings,
            tuning_faults=tuple(tuner.faults),
            libraries=libraries,
            kernel=env.fingerprint.get("os", {}).get("kernel"),
            env_sha256=env.env_sha256,
            pulse_chip_s=link.meter.pulse_chip_s,
            ship_links=tuple(self.plan.suite.header.ship_links),
            ship_wait_s=self.plan.suite.header.ship_wait_s,
        )

    def _check_energy(self, entry: BoardEntry, probe: Mapping[str, Any]) -> None:
        """Leave energy repetitions and idle baselines out where nothing would tell their power."""
        wanted = [one for one in self.plan.of_board(entry.id) if one.role == energy_windows.ENERGY]
        if not wanted:
            return
        reason = no_power_source(entry, probe)
        if reason is None and all(self._is_skipped(one) for one in wanted):
            reason = "every method that would be repeated is skipped on this board"
        if reason is None:
            return
        with self._lock:
            skip = Skip(board_id=entry.id, role="energy", reason=f"no energy repetitions: {reason}")
            self.outcome.skipped.append(skip)
        self._observer.note(entry.id, skip.reason)

    def _is_skipped(self, planned: Planned) -> bool:
        with self._lock:
            return any(covers(skip, planned) for skip in self.outcome.skipped)

    def _native(
        self, link: Link, entry: BoardEntry, probe: Mapping[str, Any], todo: Sequence[Planned]
    ) -> dict[str | None, NativeLibrary]:
        """Build the kernels for the board's CPU and push them; cells that need them are skipped if that fails."""
        cells = {one.cell.key: one.cell for one in todo if one.cell.engine == "native"}
        libraries: dict[str | None, NativeLibrary] = {}
        for wanted in {cell.build for cell in cells.values()}:
            try:
                libraries[wanted] = library_for(probe, wanted)
            except NativeError as error:
                for cell in cells.values():
                    if cell.build == wanted:
                        self._skip(entry.id, cell, f"no native library for this board: {error}")
        if libraries:
            keep(library.blob for library in libraries.values())
            report = link.sync(*(library.blob for library in libraries.values()))
            names = ", ".join(sorted(library.variant for library in libraries.values()))
            self._observer.note(entry.id, f"native engine: {names}; uploaded {report.uploaded_b} bytes")
        return libraries

    def _sweep(self, tenancy: BoardLease, board_id: str, probe: Mapping[str, Any]) -> None:
        """Remove repetitions whose record is safe but which a dead host left on the board."""
        done = self._writer.done_rep_ids
        for job in probe.get("jobs") or []:
            rep_id = job.get("rep_id") if isinstance(job, dict) else None
            if rep_id in done:
                tenancy.clean(str(rep_id), limits.SETUP_S)
                self._observer.note(board_id, f"removed {rep_id}, left behind by an earlier run")

    def _run_one(
        self, tenancy: BoardLease, planned: Planned, bench: BoardContext, *, last: bool
    ) -> Repetition:
        self._begun.add(planned.board_id)
        predicted_s = self._stopwatch.durations().get(planned.duration_key) or planned.least_s or None
        try:
            record = self._measure(tenancy.link, planned, bench, predicted_s)
            # After the last one the board is looked at once more, and what was tuned is undone.
            tenancy.clean(planned.rep_id, limits.SETUP_S if last else limits.GAP_S)
        except Interrupted:
            # Wherever it was cut, also between the record and the clean-up: leave nothing behind.
            tenancy.free(planned.rep_id)
            raise
        return record

    def _measure(
        self, link: Link, planned: Planned, bench: BoardContext, predicted_s: float | None
    ) -> Repetition:
        done = run_repetition(link, planned, bench, predicted_s=predicted_s)
        note_check(done.record, planned, bench)
        record = self._writer.append(
            done.record,
            trace=done.trace,
            log=done.log,
            preds=done.preds,
            meter=done.meter,
            exit_record=done.exit_record,
        )
        if record.host_s is not None and record.outcome != "lost":
            self._stopwatch.learn(planned, record.host_s)
        with self._lock:
            self.outcome.counts[record.outcome] += 1
            self.outcome.counts[f"verdict:{record.verdict}"] += 1
        self._observer.finished(planned, record)
        if self._on_record is not None:
            self._on_record(record)
        return record

    def _skip(self, board_id: str, cell: Workload, reason: str) -> None:
        with self._lock:
            self._skips.setdefault(board_id, {})[cell.key] = reason
            self.outcome.skipped.append(
                Skip(board_id=board_id, label=cell.label, task=cell.task, reason=reason)
            )
        self._observer.note(board_id, f"skips {cell.task} {cell.label}: {reason}")

    def _quarantine(self, entry: BoardEntry, reason: str) -> None:
        """Skip the rest of a board's queue.

        A board that never began is skipped for good. One that was lost on the way may hold a finished repetition:
        its queue stays open, so that the run can be resumed and nothing is lost.
        """
        with self._lock:
            self.outcome.quarantined[entry.id] = reason
            if entry.id not in self._begun:
                self.outcome.skipped.append(Skip(board_id=entry.id, reason=reason))
        self._observer.ended(entry.id, f"quarantined: {reason}")


def _wait_interruptibly(futures: Sequence[Future[None]]) -> None:
    """Wait so that Ctrl-C is noticed at once: a signal ends the wait, but not on Windows, where one has to look."""
    pending = set(futures)
    while pending:
        _, pending = wait(pending, timeout=0.2 if sys.platform == "win32" else None)
