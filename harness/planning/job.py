"""``job.json``: what one repetition is told, and what all repetitions on a board share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.artifacts.native import NativeLibrary
from tunebench.harness.config.suite import Workload, canonical_json
from tunebench.harness.planning import energy_windows, limits
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import BENCH_VERSION
from tunebench.targets.agent import protocol
from tunebench.targets.agent.job import pulses
from tunebench.targets.payload import Blob

#: Between the end of a job's deadline and the end of its lease.
LEASE_MARGIN_S = 60.0
_SAMPLING_S = 0.2


@dataclass(frozen=True)
class BoardContext:
    """What all repetitions on one board share."""

    run_id: str
    lab: str
    board_kind: str
    interpreter: tuple[str, ...]
    cargo: Artifacts
    owner: Mapping[str, Any]
    gates_policy: str = "enforce"
    #: The suite's: ``cold`` or ``sustained``.
    policy: Literal["cold", "sustained"] = "cold"
    start_window_c: float | None = None
    #: The inventory's limit of the thermal watchdog.
    max_temp_c: float | None = None
    board_model: str | None = None
    emulated: bool = False
    root: str = "/"
    power_mode: str | None = None
    #: What [board.tuning] has set and read back, and what of it (or of an earlier run's) went wrong.
    tuning: Mapping[str, str] = field(default_factory=dict)
    tuning_faults: tuple[str, ...] = ()
    kernel: str | None = None
    env_sha256: str | None = None
    #: The native engine's libraries by the build that a suite asks for (None: the board's best).
    libraries: Mapping[str | None, NativeLibrary] = field(default_factory=dict)
    #: Length of a load pulse's chip, where an external meter is aligned by pulses; None: no pulses.
    pulse_chip_s: float | None = None
    #: Names of :data:`tunebench.targets.transport.traffic_shaping.PROFILES`, and how long a transfer over one may take.
    ship_links: tuple[str, ...] = ()
    ship_wait_s: float = 0.0
    failed_checks: dict[tuple[str, str], str] = field(default_factory=dict)
    #: Where the first repetition began (:func:`tunebench.harness.campaign.start_temperature.settle`).
    begun: dict[str, float] = field(default_factory=dict)


def blobs_of(cell: Workload, bench: BoardContext) -> dict[str, Blob]:
    """Role -> blob of what one cell needs on this board."""
    blobs = bench.cargo.of_cell(cell)
    if cell.engine == "native" and cell.build in bench.libraries and "native" not in blobs:
        blobs["native"] = bench.libraries[cell.build].blob
    return blobs


def pulses_s(planned: Planned, bench: BoardContext) -> float:
    """How long the load pulses around a repetition take: only around those whose energy is asked for."""
    measured = planned.role in energy_windows.ROLES or (
        planned.role == "timed" and energy_windows.not_repeated(planned.cell) is not None
    )
    if bench.pulse_chip_s is None or not measured:
        return 0.0
    return 2 * pulses.length_s(bench.pulse_chip_s)


def make_job(planned: Planned, bench: BoardContext) -> dict[str, Any]:
    """``job.json``: everything the board needs to know."""
    cell = planned.cell
    blobs = blobs_of(cell, bench)
    threads = str(cell.threads)
    return {
        "schema": protocol.JOB_SCHEMA,
        "rep_id": planned.rep_id,
        "root": bench.root,
        "run_id": bench.run_id,
        "owner": dict(bench.owner),
        "argv": _argv(planned, bench.interpreter),
        "interpreter_words": _interpreter_words(planned, bench.interpreter),
        "env": {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            # Arenas a thread make peak memory depend on timing.
            "MALLOC_ARENA_MAX": "2",
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
        },
        "blobs": {role: blob.name for role, blob in blobs.items()},
        "unpack": {"own": "src"} if "own" in blobs else {},
        "cwd": "src" if "own" in blobs else "out",
        "deadline_s": planned.deadline_s,
        "lease_s": planned.deadline_s + LEASE_MARGIN_S + pulses_s(planned, bench),
        **({"pulses": {"chip_s": bench.pulse_chip_s}} if pulses_s(planned, bench) else {}),
        "sampling": {"period_s": _period_s(planned)},
        "hold_s": limits.GAP_S,
        "gates": limits.gates(
            policy=bench.gates_policy,
            board_kind=bench.board_kind,
            root=bench.root,
            threads=cell.threads,
            start_temp_c=bench.begun.get(limits.START_TEMP_C),
            start_window_c=bench.start_window_c,
        ),
        "watchdog": limits.watchdog(
            board_kind=bench.board_kind, root=bench.root, max_temp_c=bench.max_temp_c
        ),
        "workload": workload_spec(planned),
    }


def _period_s(planned: Planned) -> float:
    """Every sample costs the workload something: only energy is worth ten a second."""
    return energy_windows.SAMPLING_S if planned.role in energy_windows.ROLES else _SAMPLING_S


def _argv(planned: Planned, interpreter: tuple[str, ...]) -> list[str]:
    cell = planned.cell
    if planned.role == energy_windows.IDLE:
        return [*interpreter, "-m", "tunebench.workloads.run.idle"]
    if cell.command is None:
        return [*interpreter, "-m", "tunebench.workloads.run"]
    # `python3` in a user's command means the board's interpreter, which the inventory may have put elsewhere.
    first, *rest = cell.command
    return [*(interpreter if first in ("python", "python3") else (first,)), *rest]


def _interpreter_words(planned: Planned, interpreter: tuple[str, ...]) -> int:
    """How many words of the command line start Python: a whole command (docker exec ...) passes nothing on."""
    command = planned.cell.command
    own = (
        planned.role != energy_windows.IDLE
        and command is not None
        and command[0] not in ("python", "python3")
    )
    return 1 if own else len(interpreter)


def workload_spec(planned: Planned) -> dict[str, Any]:
    """What the workload is told: method, task, hyper-parameters, seed and mode."""
    cell = planned.cell
    return {
        "schema": "tunebench.workload/1",
        "mode": planned.role,
        "method": cell.method,
        "label": cell.label,
        "model": cell.model,
        "dataset": cell.dataset,
        "engine": "torch" if cell.engine == "own" else cell.engine,
        "device": cell.device,
        "threads": cell.threads,
        "dtype": cell.dtype,
        **cell.params,
        "seed": planned.seed,
        "module": cell.module,
        "params": dict(cell.own_params),
        **({"ship": list(cell.ship)} if ships(planned) else {}),
        **_window_spec(planned),
    }


def ships(planned: Planned) -> bool:
    """Whether updates are shipped after a repetition: after timed ones, where the suite asks for it."""
    return planned.role == "timed" and bool(planned.cell.ship)


def _window_spec(planned: Planned) -> dict[str, Any]:
    """What repetitions are told that repeat their fine-tuning in one window, or idle.

    Policy ``sustained``: timed repetitions fine-tune again and again, each time from the same start.
    """
    if planned.role == energy_windows.ENERGY:
        lead_s, tail_s = energy_windows.LEAD_S, energy_windows.TAIL_S
        return {"repeat": {"min_s": planned.window_s, "lead_s": lead_s, "tail_s": tail_s}}
    if planned.role == energy_windows.IDLE:
        return {"idle": {"settle_s": energy_windows.SETTLE_S, "idle_s": planned.window_s}}
    sustained_s = planned.cell.sustained_s
    if planned.role == "timed" and sustained_s is not None:
        return {"repeat": {"min_s": sustained_s}}
    return {}


def series_key(planned: Planned, bench: BoardContext) -> str:
    """What makes two numbers the same series over time; software versions are what is being tested."""
    cell = planned.cell
    blobs = bench.cargo.of_cell(cell)
    parts = {
        "lab": bench.lab,
        "board": planned.board_id,
        "power_mode": bench.power_mode,
        "role": planned.role,
        "task": cell.task,
        "label": cell.label,
        "engine": cell.engine,
        "device": cell.device,
        "threads": cell.threads,
        "dtype": cell.dtype,
        "params": {**cell.params, **cell.own_params},
        "data": blobs["data"].sha256 if "data" in blobs else None,
        **({"policy": bench.policy} if bench.policy != "cold" else {}),
        "bench_version": BENCH_VERSION,
        # Only where something is set: series of boards that nobody tunes keep their keys.
        **({"tuning": dict(bench.tuning)} if bench.tuning else {}),
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:40]
