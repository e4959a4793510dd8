"""What came back from a board -> a repetition's record with its verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

from tunebench.harness import __version__
from tunebench.harness.artifacts.native import NativeLibrary
from tunebench.harness.config.suite import Workload, canonical_json
from tunebench.harness.planning.job import BoardContext, blobs_of, series_key, workload_spec
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.energy.board import energy_of_window
from tunebench.harness.record.energy.meter import MeterEnergy
from tunebench.harness.record.harvest import MAX_EXIT_B, ExitRecord, Harvested, WorkloadResult
from tunebench.harness.record.outcome import _check_failed, _checked_key, _outcome
from tunebench.harness.record.sustained import sustained
from tunebench.harness.record.validity.judge import Evidence, judge
from tunebench.reports.records import (
    ClockOffset,
    Conditions,
    Energy,
    Provenance,
    Quality,
    Repetition,
    Role,
    Sampler,
    Seen,
    Sustained,
    Update,
)
from tunebench.targets.transport.clock_offset import Offset

#: So many of a window's fine-tunings stand in its record one by one.
MAX_REPEATS_KEPT = 1000


def make_record(
    planned: Planned,
    bench: BoardContext,
    got: Harvested,
    *,
    exchanges: Sequence[tuple[float, Offset]],
    lost_because: str | None = None,
    by_meter: MeterEnergy | None = None,
    shipped: Shipped | None = None,
    host_s: float | None,
    ssh_channels: int | None,
) -> Repetition:
    """Map what came back to a repetition's record, with its verdict.

    Args:
        exchanges: (host's monotonic seconds, host clock less board clock), before and after.
        lost_because: why it was lost, where the host knows better than the board.
        by_meter: the energy by the board's external meter; None on a board without one.
        shipped: the updates, where the suite asks for them.
    """
    known = [(at_s, ClockOffset(offset_s=one.offset_s, bound_s=one.bound_s)) for at_s, one in exchanges]
    offset = min((one for _, one in known), key=lambda one: one.bound_s, default=None)
    cell = planned.cell
    exit_record = got.exit_record
    result = got.result or WorkloadResult()
    outcome, reason = _outcome(got)
    if outcome == "lost":
        reason = lost_because or reason
    wall_s = (
        (got.marks.window_ns[1] - got.marks.window_ns[0]) / 1e9 if got.marks and outcome == "ok" else None
    )
    energy, missing = _energy(got, outcome, in_window(planned, result))
    window_s, lasting = wall_s, None
    if planned.role == "timed" and cell.sustained_s is not None and wall_s is not None:
        found = sustained(
            result.repeats_s, temp_end_c=exit_record.conditions.temp_end_c if exit_record else None
        )
        lasting = found if isinstance(found, Sustained) else None
        # What stands in comparisons is one fine-tuning on a warm board.
        wall_s = lasting.steady_s if lasting else None
        if isinstance(found, str):
            missing["wall_s"] = found
    missing.update(exit_record.missing if exit_record else {})
    energy, energy_other = _primary(energy, missing, by_meter)
    if result.peak_rss_b is None and (exit_record is None or exit_record.peak_rss_b is None):
        missing["peak_rss_b"] = "neither the workload nor the sampler reported VmHWM"
    if result.after is None and planned.role not in ("check", "idle"):
        missing["quality"] = result.reason or reason or "the workload reported no accuracy"
    if exit_record is not None and got.exit_kept is None:
        missing["exit"] = f"the exit record is larger than {MAX_EXIT_B} bytes"
    if shipped is not None and shipped.missing:
        missing["updates"] = shipped.missing
    seen = Seen(
        window_s=window_s if lasting or wall_s is not None else None,
        window_missing=missing.get("wall_s")
        or next((fault for fault in got.faults if fault.startswith("out/marks.json")), None),
        exchanges=known,
        simulated=bench.root != "/",
        check_failed=_check_failed(planned, result) or bench.failed_checks.get(_checked_key(cell)),
        tuning_faults=list(bench.tuning_faults),
    )
    verdict, reasons = judge(
        Evidence(
            board_kind=bench.board_kind,
            emulated=bench.emulated,
            outcome=outcome,
            outcome_reason=reason,
            wall_s=seen.window_s,
            threads=cell.threads,
            role=planned.role,
            policy=bench.policy,
            root=bench.root,
            exit_record=exit_record.model_dump() if exit_record else {},
            offset=offset,
            exchanges=seen.exchanges,
            settled=lasting.settled if lasting else None,
            freq_median_hz=median_in_window(got, "cpu_freq_hz"),
            check_failed=seen.check_failed,
            wall_missing=seen.window_missing,
            tuning_faults=seen.tuning_faults,
        )
    )
    blobs = blobs_of(cell, bench)
    spec = workload_spec(planned)
    del spec["seed"]
    return Repetition(
        rep_id=planned.rep_id,
        run_id=bench.run_id,
        block=planned.block,
        slot=planned.slot,
        attempt=planned.attempt,
        role=cast(Role, planned.role),
        lab=bench.lab,
        board_id=planned.board_id,
        board_kind=bench.board_kind,
        board_model=bench.board_model,
        emulated=bench.emulated,
        power_mode=bench.power_mode,
        task=cell.task,
        dataset=cell.dataset or _no_artefact(planned),
        model=cell.model or _no_artefact(planned),
        method=cell.method,
        label=cell.label,
        aa_control=cell.aa_control,
        own=cell.own,
        engine=cell.engine,
        engine_build=_build(cell, bench),
        device=cell.device,
        threads=cell.threads,
        dtype=cell.dtype,
        params={**cell.params, **({"own": dict(cell.own_params)} if cell.own_params else {})},
        seed=planned.seed,
        series_key=series_key(planned, bench),
        policy=bench.policy,
        sustained=lasting,
        t_start_utc=exit_record.utc_start if exit_record else None,
        wall_s=wall_s,
        phases_s=got.marks.phases_s() if got.marks else {},
        window_phases_s=got.marks.window_phases_s() if got.marks else {},
        process_s=exit_record.process_s if exit_record else None,
        host_s=host_s,
        ssh_channels=ssh_channels,
        steps=result.steps,
        peak_rss_b=result.peak_rss_b or (exit_record.peak_rss_b if exit_record else None),
        energy=energy,
        energy_other=energy_other,
        repeats=result.repeats,
        # Under policy `sustained` the series stands in `sustained`.
        repeats_s=thin(result.repeats_s) if planned.role == "energy" else [],
        params_total=result.params_total,
        params_trainable=result.params_trainable,
        update_b=result.update_b,
        cache_b=result.cache_b,
        cache_hit_ratio=result.cache_hit_ratio,
        madds=result.madds,
        metrics={name[:64]: float(value) for name, value in result.metrics.items() if _is_number(value)},
        updates=shipped.updates if shipped is not None else [],
        quality=_quality(result),
        conditions=exit_record.conditions if exit_record else Conditions(),
        clock_offset=offset,
        sampler=_sampler(exit_record),
        check=result.check,
        missing=missing,
        outcome=outcome,
        outcome_reason=reason,
        verdict=verdict,
        reasons=reasons,
        seen=seen,
        prov=Provenance(
            tunebench=__version__,
            payload_sha256=blobs["payload"].sha256,
            data_sha256=blobs["data"].sha256 if "data" in blobs else None,
            weights_sha256=blobs["weights"].sha256 if "weights" in blobs else None,
            own_sha256=blobs["own"].sha256 if "own" in blobs else None,
            workload_sha256=hashlib.sha256(canonical_json(spec).encode()).hexdigest(),
            engine_version=result.engine_version,
            engine_build=_library_record(cell, bench),
            python=result.python,
            kernel=bench.kernel,
            env_sha256=bench.env_sha256,
            tuning=dict(bench.tuning),
            lease_taken_over_from=_origin(exit_record),
        ),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _library(cell: Workload, bench: BoardContext) -> NativeLibrary | None:
    return bench.libraries.get(cell.build) if cell.engine == "native" else None


def _build(cell: Workload, bench: BoardContext) -> str | None:
    """The native engine's CPU variant; None for other engines."""
    library = _library(cell, bench)
    return library.variant if library else None


def _library_record(cell: Workload, bench: BoardContext) -> dict[str, Any] | None:
    """How the native library was built, its flags included."""
    library = _library(cell, bench)
    if library is None:
        return None
    # A cell may have brought another build of it than today's.
    return {**library.record, "sha256": blobs_of(cell, bench)["native"].sha256}


def _no_artefact(planned: Planned) -> str:
    return "none" if planned.role == "idle" else "own"


def in_window(planned: Planned, result: WorkloadResult) -> int:
    """Fine-tunings that the window holds; 0: an idle baseline."""
    if planned.role == "idle":
        return 0
    return result.repeats if result.repeats is not None else 1


def thin(values: Sequence[float]) -> list[float]:
    """At most :data:`MAX_REPEATS_KEPT` of them, evenly picked, in microseconds: a record is one line."""
    every = -(-len(values) // MAX_REPEATS_KEPT) or 1
    return [round(value, 6) for value in values[::every]]


def _energy(got: Harvested, outcome: str, repeats: int) -> tuple[Energy | None, dict[str, str]]:
    if outcome != "ok" or got.marks is None:
        return None, {"energy": "no measured window"}
    found = energy_of_window(got.channels, got.rows, got.marks.window_ns, repeats=repeats)
    if isinstance(found, Energy):
        return found, {}
    told = got.exit_record.missing.get("power") if got.exit_record else None
    return None, {"energy": told if told and found.startswith("no power sensor") else found}


def _primary(
    on_board: Energy | None, missing: dict[str, str], by_meter: MeterEnergy | None
) -> tuple[Energy | None, list[Energy]]:
    """The record's energy and the others: an external meter comes first, and its failure is not papered over."""
    if by_meter is None:
        return on_board, []
    if by_meter.energy is None:
        missing["energy"] = by_meter.reason or "the meter gave none"
    else:
        missing.pop("energy", None)
    return by_meter.energy, [] if on_board is None else [on_board]


def _quality(result: WorkloadResult) -> Quality:
    fields = {
        name: getattr(result, name) for name in Quality.model_fields if name in WorkloadResult.model_fields
    }
    return Quality(**fields)


def median_in_window(got: Harvested, channel_id: str) -> float | None:
    """Median of a channel's samples inside the measured window; ``None`` without any."""
    ids = [channel.get("id") for channel in got.channels]
    if got.marks is None or channel_id not in ids:
        return None
    column, (start_ns, end_ns) = 1 + ids.index(channel_id), got.marks.window_ns
    values = [row[column] for row in got.rows if row[0] is not None and start_ns <= row[0] <= end_ns]
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _origin(exit_record: ExitRecord | None) -> dict[str, Any] | None:
    """Whose expired lease was taken over; the token stays on the board."""
    origin = exit_record.lease_taken_over_from if exit_record else None
    if not origin:
        return None
    found: dict[str, Any] = {}
    for name in ("owner", "rep_id", "expired_s", "rebooted", "released_by"):
        value = origin.get(name)
        if isinstance(value, dict):
            value = {key: str(value.get(key))[:200] for key in ("user", "host", "pid")}
        if value is None or isinstance(value, bool | int | float | str | dict):
            found[name] = value[:200] if isinstance(value, str) else value
    return found


def _sampler(exit_record: ExitRecord | None) -> Sampler | None:
    """The sampler's account; channels that were read every time they were asked are left out."""
    told = exit_record.sampler if exit_record else None
    if told is None:
        return None
    lossy = {name[:64]: one for name, one in told.channels.items() if one.errors or one.refused}
    return told.model_copy(update={"channels": lossy})


@dataclass
class Shipped:
    """What was shipped, and why what is not here is missing."""

    updates: list[Update] = field(default_factory=list)
    missing: str | None = None
