"""One repetition: start -> wait -> harvest -> judge -> record -> clean. Nothing crosses SSH inside the window."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from tunebench.harness import conditions, losses, metering
from tunebench.harness.harvested import Harvested, WorkloadResult, read_harvest, trace_bytes
from tunebench.harness.job import LEASE_MARGIN_S, Bench, make_job, pulses_s, ships
from tunebench.harness.metering import BoardMeter
from tunebench.harness.plan import Planned
from tunebench.harness.recording import in_window, make_record
from tunebench.harness.shipping import Shipped, ship
from tunebench.reports.records import Repetition
from tunebench.targets.client.board import Board, Harvest, StartReply
from tunebench.targets.client.connection import SyncReport
from tunebench.targets.errors import (
    BlobError,
    ConditionError,
    LinkError,
    NoAnswerError,
    TornError,
    UnreachableError,
)
from tunebench.targets.payload import Blob
from tunebench.targets.transport.clock_offset import Offset

Value = TypeVar("Value")

#: After the predicted end the host lets this much silence pass before it asks over a new channel.
SILENCE_S = 10.0
#: How long a vanished board may take to come back before the rest of its queue is skipped.
LINK_PATIENCE_S = 180.0
#: How long a board that cannot be reached may take when a campaign begins: a server that restarts, a link that flaps.
CONNECT_PATIENCE_S = 6.0
#: How long a board may stay hot, busy or leased before the repetition is given up (the inventory's ``patience_s``).
CONDITION_PATIENCE_S = 600.0
#: A command that a board's kernel killed (memory ran out) is asked once more, and again; then it is the board's fault.
MAX_UNANSWERED = 2
#: How often somebody who waits for a board says so.
LEASE_LOOK_S = 60.0


class Interrupted(Exception):
    """The user asked to stop; what is on the board stays resumable."""


@dataclass(frozen=True)
class Finished:
    """A record and the files that go beside it."""

    record: Repetition
    trace: bytes | None
    log: bytes | None
    preds: bytes | None
    meter: bytes | None = None
    exit_record: bytes | None = None


def connect(board: Board, stop: threading.Event, note: Callable[[str], None]) -> None:
    """Connect for the first time; a moment's patience, since who is not reached is left out.

    Raises:
        TargetError: it cannot be reached, or not be used.
        Interrupted: the user asked to stop.
    """
    give_up_s = time.monotonic() + CONNECT_PATIENCE_S
    while True:
        try:
            return board.connect()
        except (LinkError, UnreachableError) as error:
            if time.monotonic() + 1.0 > give_up_s:
                raise
            note(f"connecting again: {error}")
        if stop.wait(1.0):
            raise Interrupted


class Link:
    """Idempotent actions on a board, carried over broken links until patience ends or the user stops."""

    def __init__(
        self,
        board: Board,
        stop: threading.Event,
        blobs: Sequence[Blob] = (),
        note: Callable[[str], None] = lambda _: None,
        *,
        patience_s: float = LINK_PATIENCE_S,
        condition_patience_s: float = CONDITION_PATIENCE_S,
        meter: BoardMeter | None = None,
    ) -> None:
        self.meter = meter or BoardMeter(None)
        self._note = note
        self.board = board
        self._blobs = list(blobs)
        self._stop = stop
        self._patience_s = patience_s
        self._condition_patience_s = condition_patience_s

    def persist(self, action: Callable[[], Value]) -> Value:
        """Do ``action``, over a new connection if the link breaks.

        Raises:
            UnreachableError: the board did not come back in time.
            NoAnswerError: its commands end without an answer, one after the other.
            Interrupted: the user asked to stop.
        """
        give_up_s = time.monotonic() + self._patience_s
        pause_s = 0.2
        unanswered = 0
        lacking = False
        while True:
            if self._stop.is_set():
                raise Interrupted
            try:
                if not self.board.ssh.alive:
                    self.board.reconnect()
                    if self._stop.is_set():
                        raise Interrupted
                if lacking:
                    # Someone has tidied the board: push what it lacks, then ask again.
                    self.board.sync(self._blobs)
                    lacking = False
                return action()
            except (LinkError, UnreachableError, NoAnswerError) as error:
                unanswered += isinstance(error, NoAnswerError)
                if unanswered > MAX_UNANSWERED:
                    raise
                if time.monotonic() + pause_s > give_up_s:
                    raise UnreachableError(
                        f"the link did not come back within {self._patience_s:g} s: {error}"
                    ) from error
                self._note(f"asking again: {error}")
                lacking = lacking or isinstance(error, BlobError)
                if not isinstance(error, (BlobError, NoAnswerError)):
                    self.board.ssh.close()
                self._pause(pause_s)
                pause_s = min(2 * pause_s, 10.0)

    def check_stop(self) -> None:
        """For work that is not :meth:`persist`'s.

        Raises:
            Interrupted: the user asked to stop.
        """
        if self._stop.is_set():
            raise Interrupted

    def tell(self, message: str) -> None:
        """Say something to the user."""
        self._note(message)

    def sync(self, *more: Blob) -> SyncReport:
        """Push the blobs that the board lacks; ``more`` are needed from now on."""
        self._blobs += more
        return self.persist(lambda: self.board.sync(self._blobs))

    def when_ready(
        self, action: Callable[[Sequence[str]], Value], waivable: Mapping[str, float] | None = None
    ) -> Value:
        """Repeat an action that the board refuses because it is hot, busy or leased.

        Args:
            action: is given the codes of the gates that it should only note from now on.
            waivable: code of a gate -> seconds after which it is waived.

        Raises:
            ConditionError: it refused for longer than we wait.
        """
        begun_s = time.monotonic()
        waived: list[str] = []
        pause_s = 1.0
        while True:
            try:
                return self.persist(functools.partial(action, tuple(waived)))
            except ConditionError as error:
                waited_s = time.monotonic() - begun_s
                bound_s = (waivable or {}).get(error.code or "")
                if bound_s is not None and error.code not in waived and waited_s + pause_s > bound_s:
                    self._note(f"waited {waited_s:.0f} s, goes on: {error}")
                    waived.append(str(error.code))
                    continue
                self._note(f"waiting: {error}")
                if waited_s + pause_s > self._condition_patience_s:
                    raise
                self._pause(pause_s)
                pause_s = min(2 * pause_s, 15.0)

    def occupy(self, owner: Mapping[str, Any], hold_s: float) -> dict[str, Any]:
        """Take the board's lease, or wait for it: on the board and without traffic, so that nobody is disturbed.

        Raises:
            ConditionError: another has it for longer than we wait; the message says who.
        """
        give_up_s = time.monotonic() + self._condition_patience_s
        wait_s = 0.0  # first a look, so that who waits is told for whom
        while True:
            asked_s = wait_s
            try:
                return self.persist(lambda: self.board.occupy(owner, hold_s, asked_s))  # noqa: B023 - called at once
            except ConditionError as error:
                left_s = give_up_s - time.monotonic()
                self._note(f"waiting: {error}")
                if left_s <= 0:
                    raise
                wait_s = min(LEASE_LOOK_S, max(0.1, left_s))

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise Interrupted


def run_repetition(
    link: Link,
    planned: Planned,
    bench: Bench,
    *,
    predicted_s: float | None = None,
) -> Finished:
    """Run one repetition on a connected board; re-attaches if it is already there.

    The job's files stay on the board until :func:`clean_up`, which is called once the record is safe.

    Raises:
        BoardError: the board is gone for longer than we wait.
        ConditionError: it stayed hot, busy or leased for longer than we wait.
        Interrupted: the user asked to stop.
    """
    board = link.board
    started_s = time.monotonic()
    channels_before = board.ssh.channels_opened
    job = make_job(planned, bench)

    def start(waived: Sequence[str]) -> tuple[StartReply, float]:
        reply = board.start({**job, "gates": {**job["gates"], "waived": list(waived)}})
        return reply, time.monotonic()

    link.meter.start()
    try:
        reply, asked_s = link.when_ready(start, {"start-temp": conditions.START_PATIENCE_S})
        conditions.settle(bench.begun, reply.conditions, reply.warnings)
        if _wait_for_end(link, planned, bench, predicted_s) == "unknown":
            # A power cut right after the start takes the job's folder with it: nothing ran that is worth recording.
            link.tell("the board knows nothing of it any more; it is started again")
            reply, asked_s = link.when_ready(start, {"start-temp": conditions.START_PATIENCE_S})
            _wait_for_end(link, planned, bench, predicted_s)
        harvest, torn = _harvest(link, planned.rep_id, reply.offset)
        metered = link.meter.stop()
    finally:
        link.meter.cancel()
    exchanges = [(asked_s, reply.offset), (time.monotonic(), harvest.offset)]
    got = read_harvest(harvest.files)
    by_meter = metering.of_repetition(
        metered,
        got,
        (reply.offset, harvest.offset),
        repeats=in_window(planned, got.result or WorkloadResult()),
    )
    shipped = _shipped(link, planned, bench, got) if ships(planned) else None
    record = make_record(
        planned,
        bench,
        got,
        shipped=shipped,
        exchanges=exchanges,
        lost_because=(_rebooted(link, harvest.files) or torn) if got.lost else None,
        by_meter=by_meter,
        host_s=time.monotonic() - started_s,
        # One more channel closes the repetition: the clean-up after the record is safe.
        ssh_channels=board.ssh.channels_opened - channels_before + 1,
    )
    seen = metering.meter_bytes(metered, by_meter, got) if metered and by_meter else None
    return Finished(record, trace_bytes(got), got.log or None, got.preds or None, seen, got.exit_kept)


def _shipped(link: Link, planned: Planned, bench: Bench, got: Harvested) -> Shipped:
    """The updates of a repetition that ended well; what was measured is kept whatever becomes of them."""
    ended = got.exit_record is not None and got.exit_record.outcome == "ok"
    if not ended or got.result is None or got.result.outcome != "ok":
        return Shipped(missing="the fine-tuning did not end well: there is no update")
    try:
        return ship(link, planned, bench)
    except Interrupted:
        return Shipped(missing="the run was stopped while updates were shipped")


def _harvest(link: Link, rep_id: str, offset: Offset) -> tuple[Harvest, str | None]:
    """A repetition's files, and why they cannot be believed.

    Torn files are no fault that asking again would mend: what came is kept without the exit record that does not
    fit, so that the repetition counts as lost, and is measured once more.
    """
    try:
        return link.persist(lambda: link.board.harvest(rep_id)), None
    except TornError as error:
        files = {name: data for name, data in error.files.items() if name != "exit.json"}
        return Harvest(files, offset), f"the board's disk has not kept it whole: {error}"


def _rebooted(link: Link, files: Mapping[str, bytes]) -> str | None:
    """Whether a repetition was lost by a reboot: the board is in another boot than its journal."""
    started_in = losses.boot_id_of(files)
    if started_in is None:
        return None
    now_in = link.persist(link.board.probe).get("boot_id")
    return losses.REBOOTED if isinstance(now_in, str) and now_in != started_in else None


def clean_up(link: Link, rep_id: str, hold_s: float = conditions.GAP_S) -> None:
    """Remove a repetition from the board once its record is safe on the host; the board is kept for the next."""
    link.persist(lambda: link.board.clean(rep_id, hold_s))


def _wait_for_end(link: Link, planned: Planned, bench: Bench, predicted_s: float | None) -> str:
    """Block without traffic until the job is over; ask again over a new channel after too long a silence.

    Returns:
        the last state: ``done``, ``lost``, ``unknown``, or ``running`` if the board outlived its own deadline.
    """
    limit_s = planned.deadline_s + pulses_s(planned, bench) + LEASE_MARGIN_S / 2
    end_s = time.monotonic() + limit_s
    wait_s = min(limit_s, SILENCE_S + predicted_s) if predicted_s else min(limit_s, 60.0)

    def ask() -> str:
        return link.board.wait(planned.rep_id, max(1.0, min(wait_s, end_s - time.monotonic())))

    state = "running"
    while state == "running" and time.monotonic() < end_s:
        state = link.persist(ask)
        wait_s = SILENCE_S
    return state
