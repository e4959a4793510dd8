"""Make ``job.json``: what the board is told about one repetition, and what all repetitions on a board share.

A :class:`Job` is made once a repetition, before it starts. It is handed on to whoever waits for it, ships its updates
or writes its record, so that none of them computes again what the board was told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tunebench.harness.artifacts.gather import Artifacts
from tunebench.harness.artifacts.native import NativeLibrary
from tunebench.harness.canonical import canonical_json
from tunebench.harness.planning import energy_windows, limits
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import BENCH_VERSION
from tunebench.targets.agent import protocol
from tunebench.targets.agent.job import pulses
from tunebench.targets.client.replies import Owner
from tunebench.targets.payload import Blob

#: Between the end of a job's deadline and the end of its lease.
LEASE_MARGIN_S = 60.0
_SAMPLING_S = 0.2

#: JSON that goes to the board as it is; only the board looks into it.
Payload = Mapping[str, Any]


@dataclass(frozen=True)
class BoardContext:
    """What all repetitions on one board share: facts that do not change while its queue runs."""

    run_id: str
    lab: str
    board_kind: str
    interpreter: tuple[str, ...]
    artifacts: Artifacts
    owner: Owner
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
    #: How many pretraining bases the suite's blocks begin from.
    bases: int = 1


@dataclass(frozen=True)
class Job:
    """One repetition as it is measured: made once, then only read.

    Attributes:
        planned: the repetition of the plan.
        payload: ``job.json``, all that the board needs to know.
        blobs: role -> blob of what the repetition needs on the board.
        spec: what the workload is told: method, task, hyper-parameters, seed and mode.
        series_key: what makes two numbers the same series over time.
        pulses_s: how long the load pulses around the repetition take; 0: none.
        ships: whether its updates are shipped once it has ended.
        library: the native engine's library, for a workload of that engine.
    """

    planned: Planned
    payload: Payload
    blobs: Mapping[str, Blob]
    spec: Payload
    series_key: str
    pulses_s: float
    ships: bool
    library: NativeLibrary | None

    @property
    def longest_s(self) -> float:
        """Return for how long the host waits for its end: the board's own deadline, and something more."""
        return self.planned.deadline_s + self.pulses_s + self.stress_s + LEASE_MARGIN_S / 2

    @property
    def stress_s(self) -> float:
        """Return how long applying and removing its stressor may take; 0: it has none."""
        return _stress_s(self.planned)

    def waiving(self, codes: tuple[str, ...]) -> Payload:
        """Return the payload with gates that are only noted, not enforced."""
        return {**self.payload, "gates": {**self.payload["gates"], "waived": list(codes)}}


def make_job(planned: Planned, context: BoardContext, start_temp_c: float | None = None) -> Job:
    """Make the job of a repetition.

    Args:
        planned: the repetition.
        context: of the board it runs on.
        start_temp_c: where the board's first repetition began; the gates wait for it.
    """
    workload = planned.workload
    blobs = _blobs_of(planned, context)
    pulses_s = _pulses_s(planned, context)
    spec = workload_spec(planned)
    payload = _payload(planned, context, blobs, spec=spec, pulses_s=pulses_s, start_temp_c=start_temp_c)
    library = context.libraries.get(workload.build) if workload.needs_library else None
    return Job(
        planned, payload, blobs, spec, _series_key(planned, context), pulses_s, ships(planned), library
    )


def _blobs_of(planned: Planned, context: BoardContext) -> dict[str, Blob]:
    workload = planned.workload
    blobs = context.artifacts.of_workload(workload, planned.base or 0)
    if workload.needs_library and workload.build in context.libraries and "native" not in blobs:
        blobs["native"] = context.libraries[workload.build].blob
    return blobs


def _pulses_s(planned: Planned, context: BoardContext) -> float:
    """Return how long the load pulses take; only repetitions whose energy is asked for have them."""
    measured = planned.role in energy_windows.ROLES or (
        planned.role == "timed" and energy_windows.not_repeated(planned.workload) is not None
    )
    if context.pulse_chip_s is None or not measured:
        return 0.0
    return 2 * pulses.length_s(context.pulse_chip_s)


def _payload(
    planned: Planned,
    context: BoardContext,
    blobs: Mapping[str, Blob],
    *,
    spec: Payload,
    pulses_s: float,
    start_temp_c: float | None,
) -> dict[str, Any]:
    workload = planned.workload
    threads = str(workload.threads)
    stressor = limits.stressor(workload.stressor, board_kind=context.board_kind, root=context.root)
    return {
        "schema": protocol.JOB_SCHEMA,
        "rep_id": planned.rep_id,
        "root": context.root,
        "run_id": context.run_id,
        "owner": context.owner.stored(),
        "argv": _argv(planned, context.interpreter),
        "interpreter_words": _interpreter_words(planned, context.interpreter),
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
        # A module's folder is entered once Python has started: it would take files there for its own (random.py).
        "cwd": "src" if "own" in blobs and planned.workload.command is not None else "out",
        "deadline_s": planned.deadline_s,
        "lease_s": planned.deadline_s + LEASE_MARGIN_S + pulses_s + _stress_s(planned),
        **({"pulses": {"chip_s": context.pulse_chip_s}} if pulses_s else {}),
        "sampling": {"period_s": _period_s(planned)},
        "hold_s": limits.GAP_S,
        "gates": limits.gates(
            policy=context.gates_policy,
            board_kind=context.board_kind,
            root=context.root,
            threads=workload.threads,
            start_temp_c=start_temp_c,
            start_window_c=context.start_window_c,
        ),
        "watchdog": limits.watchdog(
            board_kind=context.board_kind, root=context.root, max_temp_c=context.max_temp_c
        ),
        **({"stressor": stressor} if stressor is not None else {}),
        "workload": spec,
    }


def _stress_s(planned: Planned) -> float:
    return limits.STRESS_S if planned.workload.stressor is not None else 0.0


def _period_s(planned: Planned) -> float:
    """Return the sampling period: each sample costs the workload something, and only energy is worth ten a second."""
    return energy_windows.SAMPLING_S if planned.role in energy_windows.ROLES else _SAMPLING_S


def _argv(planned: Planned, interpreter: tuple[str, ...]) -> list[str]:
    workload = planned.workload
    if planned.role == energy_windows.IDLE:
        return [*interpreter, "-m", "tunebench.workloads.run.idle"]
    if workload.command is None:
        return [*interpreter, "-m", "tunebench.workloads.run"]
    # `python3` in a user's command means the board's interpreter, which the inventory may have put elsewhere.
    program, *arguments = workload.command
    return [*(interpreter if program in ("python", "python3") else (program,)), *arguments]


def _interpreter_words(planned: Planned, interpreter: tuple[str, ...]) -> int:
    """Count the words of the command line that start Python: a whole command (docker exec ...) passes nothing on."""
    command = planned.workload.command
    own = (
        planned.role != energy_windows.IDLE
        and command is not None
        and command[0] not in ("python", "python3")
    )
    return 1 if own else len(interpreter)


def workload_spec(planned: Planned) -> dict[str, Any]:
    """Return what the workload is told: method, task, hyper-parameters, seed and mode."""
    workload = planned.workload
    return {
        "schema": "tunebench.workload/1",
        "mode": planned.role,
        "method": workload.method,
        "label": workload.label,
        "model": workload.model,
        "dataset": workload.dataset,
        "engine": "torch" if workload.engine == "own" else workload.engine,
        "device": workload.device,
        "threads": workload.threads,
        "dtype": workload.dtype,
        **workload.params,
        "seed": planned.seed,
        "module": workload.module,
        "params": dict(workload.own_params),
        **({"ship": list(workload.ship)} if ships(planned) else {}),
        **_window_spec(planned),
    }


def ships(planned: Planned) -> bool:
    """Tell whether updates are shipped after a repetition: after timed ones, where the suite asks for it."""
    return planned.role == "timed" and bool(planned.workload.ship)


def crosses(planned: Planned) -> bool:
    """Tell whether a cut network is called over links after a repetition: after timed ones, the A/A control left out."""
    workload = planned.workload
    return planned.role == "timed" and workload.partition is not None and not workload.aa_control


def _window_spec(planned: Planned) -> dict[str, Any]:
    """Return what is said to repetitions that repeat their fine-tuning in one window, or idle.

    Policy ``sustained``: timed repetitions fine-tune again and again, each time from the same start.
    """
    if planned.role == energy_windows.ENERGY:
        lead_s, tail_s = energy_windows.LEAD_S, energy_windows.TAIL_S
        return {"repeat": {"min_s": planned.window_s, "lead_s": lead_s, "tail_s": tail_s}}
    if planned.role == energy_windows.IDLE:
        return {"idle": {"settle_s": energy_windows.SETTLE_S, "idle_s": planned.window_s}}
    sustained_s = planned.workload.sustained_s
    if planned.role == "timed" and sustained_s is not None:
        return {"repeat": {"min_s": sustained_s}}
    return {}


def _series_key(planned: Planned, context: BoardContext) -> str:
    """Return the series key; software versions are no part of it, because their effect is what one watches."""
    workload = planned.workload
    blobs = context.artifacts.of_workload(workload)
    parts = {
        "lab": context.lab,
        "board": planned.board_id,
        "power_mode": context.power_mode,
        "role": planned.role,
        "task": workload.task,
        "label": workload.label,
        "engine": workload.engine,
        "device": workload.device,
        "threads": workload.threads,
        "dtype": workload.dtype,
        "params": {**workload.params, **workload.own_params},
        "data": blobs["data"].sha256 if "data" in blobs else None,
        **({"policy": context.policy} if context.policy != "cold" else {}),
        "bench_version": BENCH_VERSION,
        **({"stressor": workload.stressor.as_dict()} if workload.stressor is not None else {}),
        # Only where something is set: series of boards that nobody tunes keep their keys.
        **({"tuning": dict(context.tuning)} if context.tuning else {}),
        # The accuracy of a series over several bases is another one's.
        **({"bases": context.bases} if planned.base is not None else {}),
    }
    return hashlib.sha256(canonical_json(parts).encode()).hexdigest()[:40]
