"""Turn what came back from a board into a repetition's record with its verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

from tunebench.harness import __version__
from tunebench.harness.canonical import canonical_json
from tunebench.harness.config.tables.stress import Stressor
from tunebench.harness.planning.job import BoardContext, Job
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.energy.board import energy_of_window
from tunebench.harness.record.energy.meter import MeterEnergy
from tunebench.harness.record.harvest import MAX_EXIT_B, ExitRecord, Harvested, StressorEntry, WorkloadResult
from tunebench.harness.record.outcome import disagreement, outcome_of
from tunebench.harness.record.pmu import counted
from tunebench.harness.record.sustained import sustained
from tunebench.harness.record.validity.evidence import evidence_of
from tunebench.harness.record.validity.judge import judge
from tunebench.reports.records import (
    ClockOffset,
    Conditions,
    Energy,
    Partition,
    Provenance,
    Quality,
    Repetition,
    Role,
    Sampler,
    Seen,
    Stressed,
    Sustained,
    Update,
)
from tunebench.targets.client.replies import Owner
from tunebench.targets.transport.clock_offset import Offset

#: So many of a window's fine-tunings stand in its record at most: a record is a line.
MAX_REPEATS_KEPT = 1000
#: Why a control that changes nothing has no time: what its window lasts is the measuring itself.
UNTIMED = "the method trains nothing and changes nothing: its window is empty and is not timed"


@dataclass(frozen=True)
class Shipped:
    """The updates that were shipped, and why others are missing."""

    updates: list[Update] = field(default_factory=list)
    missing: str | None = None


@dataclass(frozen=True)
class Partitioned:
    """A network that was cut between board and host, and why it was not."""

    partition: Partition | None = None
    missing: str | None = None


@dataclass(frozen=True)
class OfFarm:
    """What a board's farm has to do with a repetition.

    Attributes:
        contested: who else had the board's place by its end; None: nobody, as far as is known.
        power_cycled: why the board's power was cycled after it, or before it; None: it was not.
    """

    contested: str | None = None
    power_cycled: str | None = None


def make_record(
    job: Job,
    context: BoardContext,
    harvested: Harvested,
    *,
    exchanges: Sequence[tuple[float, Offset]],
    check_failed: str | None = None,
    lost_because: str | None = None,
    by_meter: MeterEnergy | None = None,
    shipped: Shipped | None = None,
    partitioned: Partitioned | None = None,
    of_farm: OfFarm = OfFarm(),
    on_host: StressorEntry | None = None,
    host_s: float | None,
    ssh_channels: int | None,
) -> Repetition:
    """Turn what came back into a repetition's record, and judge it.

    Args:
        job: what was measured.
        context: the board's facts.
        harvested: what the board sent, checked.
        exchanges: (host's monotonic seconds, host clock less board clock), before and after.
        check_failed: why no speed of this method is believed on this board: an earlier correctness check failed.
        lost_because: why it was lost, where the host knows better than the board.
        by_meter: the energy by the board's external meter; None on a board without one.
        shipped: the updates, where the suite asks for them.
        partitioned: its network over links, where the suite asks for it.
        of_farm: what the board's farm has to do with it.
        on_host: what became of a stressor that the host applied.
        host_s: seconds that the host spent on it.
        ssh_channels: SSH channels that it took.
    """
    unjudged, seen = _unjudged(
        job,
        context,
        harvested,
        exchanges=[
            (at_s, ClockOffset(offset_s=offset.offset_s, bound_s=offset.bound_s))
            for at_s, offset in exchanges
        ],
        check_failed=check_failed,
        lost_because=lost_because,
        by_meter=by_meter,
        shipped=shipped,
        partitioned=partitioned,
        of_farm=of_farm,
        on_host=on_host,
        host_s=host_s,
        ssh_channels=ssh_channels,
    )
    freq_hz, clock_hz = (median_in_window(harvested, name) for name in ("cpu_freq_hz", "cpu_clock_hz"))
    verdict, reasons = judge(evidence_of(unjudged, seen, harvested.exit_record, freq_hz, clock_hz))
    return unjudged.model_copy(update={"verdict": verdict, "reasons": reasons})


def _unjudged(
    job: Job,
    context: BoardContext,
    harvested: Harvested,
    *,
    exchanges: Sequence[tuple[float, ClockOffset]],
    check_failed: str | None,
    lost_because: str | None,
    by_meter: MeterEnergy | None,
    shipped: Shipped | None,
    partitioned: Partitioned | None,
    of_farm: OfFarm,
    on_host: StressorEntry | None,
    host_s: float | None,
    ssh_channels: int | None,
) -> tuple[Repetition, Seen]:
    """Make the record without its verdict, and what only the host saw; both are judged."""
    planned, workload = job.planned, job.planned.workload
    offset = min((exchange for _, exchange in exchanges), key=lambda exchange: exchange.bound_s, default=None)
    exit_record, marks = harvested.exit_record, harvested.marks
    result = harvested.result or WorkloadResult()
    outcome, reason = outcome_of(harvested)
    if outcome == "lost":
        reason = lost_because or reason
    wall_s = (marks.window_ns[1] - marks.window_ns[0]) / 1e9 if marks and outcome == "ok" else None
    energy, missing = _energy(harvested, outcome, in_window(planned, result))
    untimed = wall_s is not None and not workload.own and (result.steps, result.update_b) == (0, 0)
    if untimed:
        wall_s, missing["wall_s"] = None, UNTIMED
    window_s, sustained_load = wall_s, None
    if planned.role == "timed" and workload.sustained_s is not None and wall_s is not None:
        steady = sustained(
            result.repeats_s, temp_end_c=exit_record.conditions.temp_end_c if exit_record else None
        )
        sustained_load = steady if isinstance(steady, Sustained) else None
        # What stands in comparisons is one fine-tuning on a warm board.
        wall_s = sustained_load.steady_s if sustained_load else None
        if isinstance(steady, str):
            missing["wall_s"] = steady
    elif planned.role == "timed" and result.inference is not None and wall_s is not None:
        # What stands in comparisons is one call: the sum of many holds every moment in which others had the CPU.
        wall_s = result.inference.p50_s
    missing.update(exit_record.missing if exit_record else {})
    energy, energy_other = _primary(energy, missing, by_meter)
    pmu, uncounted = counted(result, outcome, in_window(planned, result))
    # Why the agent could open none is known better than that the workload read none.
    missing.update({name: reason for name, reason in uncounted.items() if name not in missing})
    if result.peak_rss_b is None and (exit_record is None or exit_record.peak_rss_b is None):
        missing["peak_rss_b"] = "neither the workload nor the sampler reported VmHWM"
    if result.after is None and planned.role not in ("check", "idle"):
        missing["quality"] = result.reason or reason or "the workload reported no accuracy"
    if exit_record is not None and harvested.exit_kept is None:
        missing["exit"] = f"the exit record is larger than {MAX_EXIT_B} bytes"
    missing.update(
        (name[:64], reason[:1000]) for name, reason in result.missing.items() if name not in missing
    )
    if shipped is not None and shipped.missing:
        missing["updates"] = shipped.missing
    if partitioned is not None and partitioned.missing:
        missing["partition"] = partitioned.missing
    seen = Seen(
        window_s=0.0 if untimed else window_s if sustained_load or wall_s is not None else None,
        window_missing=missing.get("wall_s")
        or next((fault for fault in harvested.faults if fault.startswith("out/marks.json")), None),
        exchanges=list(exchanges),
        simulated=context.root != "/",
        check_failed=disagreement(planned, result) or check_failed,
        tuning_faults=list(context.tuning_faults),
        contested=of_farm.contested,
        power_cycled=of_farm.power_cycled,
    )
    record = Repetition(
        rep_id=planned.rep_id,
        run_id=context.run_id,
        block=planned.block,
        slot=planned.slot,
        attempt=planned.attempt,
        role=cast(Role, planned.role),
        lab=context.lab,
        board_id=planned.board_id,
        board_kind=context.board_kind,
        board_model=context.board_model,
        emulated=context.emulated,
        power_mode=_power_mode(workload.stressor, context),
        task=workload.task,
        dataset=workload.dataset or _no_artefact(planned),
        model=workload.model or _no_artefact(planned),
        method=workload.method,
        label=workload.label,
        aa_control=workload.aa_control,
        own=workload.own,
        engine=workload.engine,
        engine_build=job.library.variant if job.library else None,
        device=workload.device,
        threads=workload.threads,
        dtype=workload.dtype,
        params={**workload.params, **({"own": dict(workload.own_params)} if workload.own_params else {})},
        seed=planned.seed,
        base=planned.base,
        series_key=job.series_key,
        policy=context.policy,
        sustained=sustained_load,
        t_start_utc=exit_record.utc_start if exit_record else None,
        wall_s=wall_s,
        phases_s=marks.phases_s() if marks else {},
        window_phases_s=marks.window_phases_s() if marks else {},
        process_s=exit_record.process_s if exit_record else None,
        host_s=host_s,
        ssh_channels=ssh_channels,
        steps=result.steps,
        peak_rss_b=result.peak_rss_b or (exit_record.peak_rss_b if exit_record else None),
        energy=energy,
        energy_other=energy_other,
        pmu=pmu,
        repeats=result.repeats,
        # Under policy `sustained` the series stands in `sustained`.
        repeats_s=thin(result.repeats_s) if planned.role == "energy" else [],
        params_total=result.params_total,
        params_trainable=result.params_trainable,
        update_b=result.update_b,
        optimizer_state_b=result.optimizer_state_b,
        cache_b=result.cache_b,
        cache_hit_ratio=result.cache_hit_ratio,
        madds=result.madds,
        metrics={name[:64]: float(value) for name, value in result.metrics.items() if _is_number(value)},
        inference=result.inference,
        partition=partitioned.partition if partitioned is not None else None,
        updates=shipped.updates if shipped is not None else [],
        quality=_quality(result),
        conditions=exit_record.conditions if exit_record else Conditions(),
        stressor=_stressed(workload.stressor, exit_record, on_host),
        clock_offset=offset,
        sampler=_sampler(exit_record),
        check=result.check,
        missing=missing,
        outcome=outcome,
        outcome_reason=reason,
        verdict="valid",
        reasons=[],
        seen=seen,
        prov=_provenance(job, context, result, exit_record),
    )
    return record, seen


def _power_mode(asked: Stressor | None, context: BoardContext) -> str | None:
    """Return the power mode that was asked for (if it did not hold the record is invalid), else the board's."""
    return (
        str(asked.params["mode"]) if asked is not None and asked.kind == "power-mode" else context.power_mode
    )


def _stressed(
    asked: Stressor | None, exit_record: ExitRecord | None, on_host: StressorEntry | None
) -> Stressed | None:
    """Return what was put around a repetition and what held of it, as whoever applied it tells."""
    if asked is None:
        return None
    entry = on_host or (exit_record.stressor if exit_record else None) or StressorEntry()
    return Stressed(
        **asked.as_dict(),
        quiet_task=asked.quiet_task,
        **{name: getattr(entry, name) for name in StressorEntry.model_fields},
    )


def _provenance(
    job: Job, context: BoardContext, result: WorkloadResult, exit_record: ExitRecord | None
) -> Provenance:
    """Tell from which bytes and on which system a repetition was measured."""
    hashes = {role: blob.sha256 for role, blob in job.blobs.items()}
    spec = {key: value for key, value in job.spec.items() if key != "seed"}
    return Provenance(
        tunebench=__version__,
        payload_sha256=hashes["payload"],
        data_sha256=hashes.get("data"),
        weights_sha256=hashes.get("weights"),
        own_sha256=hashes.get("own"),
        workload_sha256=hashlib.sha256(canonical_json(spec).encode()).hexdigest(),
        engine_version=result.engine_version,
        # A workload may have brought another build of the library than today's.
        engine_build={**job.library.record, "sha256": hashes["native"]} if job.library else None,
        python=result.python,
        kernel=context.kernel,
        env_sha256=context.env_sha256,
        tuning=dict(context.tuning),
        lease_taken_over_from=_origin(exit_record),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_artefact(planned: Planned) -> str:
    return "none" if planned.role == "idle" else "own"


def in_window(planned: Planned, result: WorkloadResult) -> int:
    """Count the fine-tunings that the window holds, or the calls of a runtime's row; 0: an idle baseline."""
    if planned.role == "idle":
        return 0
    if result.inference is not None:
        return result.inference.calls * (result.repeats if result.repeats is not None else 1)
    return result.repeats if result.repeats is not None else 1


def thin(values: Sequence[float]) -> list[float]:
    """Return at most :data:`MAX_REPEATS_KEPT` of the seconds, evenly picked and to the microsecond."""
    every = -(-len(values) // MAX_REPEATS_KEPT) or 1
    return [round(value, 6) for value in values[::every]]


def _energy(harvested: Harvested, outcome: str, repeats: int) -> tuple[Energy | None, dict[str, str]]:
    """Return the energy by the board's own sensors; without any, why it is missing."""
    if outcome != "ok" or harvested.marks is None:
        return None, {"energy": "no measured window"}
    energy = energy_of_window(harvested.samples, harvested.marks.window_ns, repeats=repeats)
    if isinstance(energy, Energy):
        return energy, {}
    reason = energy
    on_board = harvested.exit_record.missing.get("power") if harvested.exit_record else None
    return None, {"energy": on_board if on_board and reason.startswith("no power sensor") else reason}


def _primary(
    on_board: Energy | None, missing: dict[str, str], by_meter: MeterEnergy | None
) -> tuple[Energy | None, list[Energy]]:
    """Choose the record's energy; the others stand beside it.

    An external meter comes first; where it failed the record has no primary energy.
    """
    if by_meter is None:
        return on_board, []
    if by_meter.energy is None:
        missing["energy"] = by_meter.reason or "the meter gave none"
    else:
        missing.pop("energy", None)
    return by_meter.energy, [] if on_board is None else [on_board]


def _quality(result: WorkloadResult) -> Quality:
    """Return how well the network did before and after, as the workload says."""
    fields = {
        name: getattr(result, name) for name in Quality.model_fields if name in WorkloadResult.model_fields
    }
    return Quality(**fields)


def median_in_window(harvested: Harvested, channel_id: str) -> float | None:
    """Return the median of a channel's samples inside the measured window; ``None`` without any."""
    ids = [channel.id for channel in harvested.samples.channels]
    if harvested.marks is None or channel_id not in ids:
        return None
    column, (start_ns, end_ns) = 1 + ids.index(channel_id), harvested.marks.window_ns
    values = [
        row[column] for row in harvested.samples.rows if row[0] is not None and start_ns <= row[0] <= end_ns
    ]
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _origin(exit_record: ExitRecord | None) -> dict[str, object] | None:
    """Return whose expired lease was taken over, as it is stored; the token stays on the board."""
    origin = exit_record.lease_taken_over_from if exit_record else None
    if origin is None or not origin.model_fields_set:
        return None
    return {
        "owner": _person(origin.owner) if "owner" in origin.model_fields_set else None,
        "rep_id": origin.rep_id[:200] if isinstance(origin.rep_id, str) else origin.rep_id,
        "expired_s": origin.expired_s,
        "rebooted": origin.rebooted,
        **({"dead": True} if origin.dead else {}),
        "released_by": _person(origin.released_by) if origin.released_by is not None else None,
    }


def _person(owner: Owner) -> dict[str, str]:
    return {name: str(getattr(owner, name))[:200] for name in ("user", "host", "pid")}


def _sampler(exit_record: ExitRecord | None) -> Sampler | None:
    """Return the sampler's account without the channels that were read every time they were asked."""
    sampler = exit_record.sampler if exit_record else None
    if sampler is None:
        return None
    lossy = {name[:64]: reads for name, reads in sampler.channels.items() if reads.errors or reads.refused}
    return sampler.model_copy(update={"channels": lossy})
