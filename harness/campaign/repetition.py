"""Run one repetition: start, wait, harvest, judge, record. Nothing crosses SSH inside the measured window."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunebench.harness.board.link import Interrupted, Link
from tunebench.harness.board.shaped import TellStress
from tunebench.harness.campaign.board_state import BoardState
from tunebench.harness.campaign.over_links.partition import partition
from tunebench.harness.campaign.over_links.update_transfer import ship
from tunebench.harness.planning import attempts, limits
from tunebench.harness.planning.job import BoardContext, Job
from tunebench.harness.record.energy import meter as energy_meter
from tunebench.harness.record.harvest import Harvested, WorkloadResult, read_harvest, trace_bytes
from tunebench.harness.record.record import OfFarm, Shipped, in_window, make_record
from tunebench.reports.records import Repetition
from tunebench.targets.client.board import Harvest, StartReply
from tunebench.targets.errors import TornError
from tunebench.targets.transport.clock_offset import Offset

#: After the predicted end the host lets this much silence pass before it asks over a new channel.
SILENCE_S = 10.0


@dataclass(frozen=True)
class Finished:
    """A record and the files that go beside it."""

    record: Repetition
    trace: bytes | None
    log: bytes | None
    preds: bytes | None
    meter: bytes | None = None
    exit_record: bytes | None = None


def run_repetition(
    link: Link,
    job: Job,
    context: BoardContext,
    state: BoardState,
    *,
    predicted_s: float | None = None,
    of_farm: Callable[[], OfFarm] = OfFarm,
    on_host: TellStress = lambda: None,
) -> Finished:
    """Run one repetition on a connected board; re-attach if it is already there.

    The job's files stay on the board until :func:`tunebench.harness.board.link.clean_up`, which is called once the
    record is safe.

    Args:
        link: to the board.
        job: what is measured.
        context: the board's facts.
        state: the board's changing part: where it starts from is noted there.
        predicted_s: how long it probably takes; None if nothing is known.
        of_farm: asked once it has ended what the board's farm has to do with it.
        on_host: asked once it has ended what became of what the host put around it.

    Raises:
        BoardError: the board is gone for longer than we wait.
        ConditionError: it stayed hot, busy or leased for longer than we wait.
        Interrupted: the user asked to stop.
    """
    board = link.board
    started_s = time.monotonic()
    channels_before = board.ssh.channels_opened

    def start(waived: Sequence[str]) -> tuple[StartReply, float]:
        return board.start(dict(job.waiving(tuple(waived)))), time.monotonic()

    link.meter.start()
    try:
        reply, asked_s = link.when_ready(start, {"start-temp": limits.START_PATIENCE_S})
        state.note_start(reply.temp_c, reply.warnings)
        if _wait_for_end(link, job, predicted_s) == "unknown":
            # A power cut right after the start takes the job's folder with it: nothing ran that is worth recording.
            link.tell("the board knows nothing of it any more; it is started again")
            reply, asked_s = link.when_ready(start, {"start-temp": limits.START_PATIENCE_S})
            _wait_for_end(link, job, predicted_s)
        harvest, torn = _harvest(link, job.planned.rep_id, reply.offset)
        metered = link.meter.stop()
    finally:
        link.meter.cancel()
    exchanges = [(asked_s, reply.offset), (time.monotonic(), harvest.offset)]
    seen_by_farm = of_farm()
    harvested = read_harvest(harvest.files)
    by_meter = energy_meter.of_repetition(
        metered,
        harvested,
        (reply.offset, harvest.offset),
        repeats=in_window(job.planned, harvested.result or WorkloadResult()),
    )
    shipped = _shipped(link, job, context, harvested) if job.ships else None
    partitioned = partition(link, job, context, harvested) if job.planned.workload.partition else None
    record = make_record(
        job,
        context,
        harvested,
        shipped=shipped,
        partitioned=partitioned,
        exchanges=exchanges,
        check_failed=state.check_failed(job.planned.workload),
        lost_because=_why_lost(link, harvest, torn, seen_by_farm) if harvested.lost else None,
        of_farm=seen_by_farm,
        on_host=on_host(),
        by_meter=by_meter,
        host_s=time.monotonic() - started_s,
        # One more channel closes the repetition: the clean-up after the record is safe.
        ssh_channels=board.ssh.channels_opened - channels_before + 1,
    )
    return Finished(
        record,
        trace=trace_bytes(harvested),
        log=harvested.log or None,
        preds=harvested.preds or None,
        meter=energy_meter.meter_bytes(metered, by_meter, harvested) if metered and by_meter else None,
        exit_record=harvested.exit_kept,
    )


def _shipped(link: Link, job: Job, context: BoardContext, harvested: Harvested) -> Shipped:
    """Ship the updates of a repetition that ended well; what was measured is kept whatever becomes of them."""
    ended = harvested.exit_record is not None and harvested.exit_record.outcome == "ok"
    if not ended or harvested.result is None or harvested.result.outcome != "ok":
        return Shipped(missing="the fine-tuning did not end well: there is no update")
    try:
        return ship(link, job, context)
    except Interrupted:
        return Shipped(missing="the run was stopped while updates were shipped")


def _harvest(link: Link, rep_id: str, offset: Offset) -> tuple[Harvest, str | None]:
    """Fetch a repetition's files, and tell why they cannot be believed.

    Torn files are no fault that asking again would mend: what came is kept without the exit record that does not
    fit, so that the repetition counts as lost, and is measured once more.
    """
    try:
        return link.persist(lambda: link.board.harvest(rep_id)), None
    except TornError as error:
        files = {name: data for name, data in error.files.items() if name != "exit.json"}
        return Harvest(files, offset), f"the board's disk has not kept it whole: {error}"


def _why_lost(link: Link, harvest: Harvest, torn: str | None, seen: OfFarm) -> str | None:
    """Return why a repetition was lost, where the host knows better than the board."""
    reason = _rebooted(link, harvest.files) or torn
    return f"{reason}; {seen.power_cycled}" if reason and seen.power_cycled else reason


def _rebooted(link: Link, files: Mapping[str, bytes]) -> str | None:
    """Return why a repetition was lost if that was by a reboot: the board is in another boot than its journal."""
    started_in = attempts.boot_id_of(files)
    if started_in is None:
        return None
    now_in = link.persist(link.board.probe).boot_id
    return attempts.REBOOTED if isinstance(now_in, str) and now_in != started_in else None


def _wait_for_end(link: Link, job: Job, predicted_s: float | None) -> str:
    """Block without traffic until the job is over; ask again over a new channel after too long a silence.

    Returns:
        the last state: ``done``, ``lost``, ``unknown``, or ``running`` if the board outlived its own deadline.
    """
    end_s = time.monotonic() + job.longest_s
    wait_s = min(job.longest_s, SILENCE_S + predicted_s) if predicted_s else min(job.longest_s, 60.0)

    def ask() -> str:
        return link.board.wait(job.planned.rep_id, max(1.0, min(wait_s, end_s - time.monotonic())))

    state = "running"
    while state == "running" and time.monotonic() < end_s:
        state = link.persist(ask)
        wait_s = SILENCE_S
    return state
