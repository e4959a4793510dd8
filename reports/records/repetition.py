"""One repetition: a line of `reps.jsonl`, with its verdict and where it came from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunebench.reports.records.energy import Energy
from tunebench.reports.records.inference import Inference
from tunebench.reports.records.partition import Partition
from tunebench.reports.records.record import Record
from tunebench.reports.records.surroundings import ClockOffset, Conditions, Pmu, Sampler, Stressed
from tunebench.reports.records.training import Quality, Sustained
from tunebench.reports.records.updates import Update

#: What readers accept: this major version and any of its minors.
REP_SCHEMA = "tunebench.rep/1"
#: What is written; minor versions only add fields. 1.1: energy repetitions, idle baselines, energy of several sources.
#: 1.2: updates shipped after the fine-tuning; the board's exit record, and what the host alone saw.
#: 1.3: instructions, cycles and cache misses of the window. 1.4: stressors.
REP_SCHEMA_WRITTEN = "tunebench.rep/1.4"

#: Raised when a change of ours makes new numbers incomparable with old ones (opens a new segment).
BENCH_VERSION = 1

Role = Literal["timed", "instrumented", "check", "energy", "idle"]
Outcome = Literal["ok", "failed", "deadline", "oom", "killed", "diverged", "lost", "skipped"]
Verdict = Literal["valid", "degraded", "invalid"]


class Reason(Record):
    """Why a verdict is not ``valid``: a machine-readable code and a sentence."""

    code: str
    message: str
    level: Literal["degraded", "invalid"] | None = Field(
        default=None, description="what this reason alone makes of it"
    )
    values: dict[str, float | str | None] = Field(
        default_factory=dict, description="the figures behind the sentence"
    )


class Provenance(Record):
    """Hashes and versions: equal hashes mean equal bytes."""

    tunebench: str
    payload_sha256: str | None = None
    data_sha256: str | None = None
    weights_sha256: str | None = None
    own_sha256: str | None = None
    workload_sha256: str
    engine_version: str | None = Field(default=None, description="e.g. torch 2.13.0+cpu")
    engine_build: dict[str, object] | None = Field(
        default=None,
        description="native engine: variant, triple, compiler, flags and source hash of its library",
    )
    python: str | None = None
    kernel: str | None = None
    env_sha256: str | None = None
    tuning: dict[str, str] = Field(
        default_factory=dict, description="what was set for this run and read back: governor, power_mode, ..."
    )
    lease_taken_over_from: dict[str, object] | None = Field(
        default=None, description="whose expired lease the board was taken over from"
    )


class Seen(Record):
    """What the host alone saw of a repetition: with the exit record and the trace, all that its verdict was made from."""

    window_s: float | None = Field(default=None, description="the measured window that was judged")
    window_missing: str | None = None
    exchanges: list[tuple[float, ClockOffset]] = Field(
        default_factory=list, description="host's monotonic seconds and clock offset, before and after"
    )
    simulated: bool = Field(default=False, description="the board's sensors were a simulated tree")
    check_failed: str | None = Field(default=None, description="the method's correctness check on this board")
    tuning_faults: list[str] = Field(default_factory=list)
    contested: str | None = Field(default=None, description="who else had the board's place in its farm")
    power_cycled: str | None = Field(
        default=None, description="why the board's power was cycled after it, or before it, by its farm"
    )


class Repetition(Record):
    """One complete fine-tuning of one workload on one board with one seed."""

    schema_: str = Field(default=REP_SCHEMA_WRITTEN, alias="schema")
    rep_id: str
    run_id: str
    block: int
    slot: int
    attempt: int = 1
    role: Role
    lab: str
    board_id: str
    board_kind: str
    board_model: str | None = None
    emulated: bool = False
    power_mode: str | None = None

    task: str = Field(description="what is compared with what: data set and model, e.g. 'digits/mlp'")
    dataset: str
    model: str
    method: str
    label: str = Field(description="the method's name in tables; the A/A control has one of its own")
    aa_control: bool = False
    own: bool = Field(default=False, description="a method brought by the user")
    engine: str
    engine_build: str | None = Field(
        default=None, description="which build of the native engine ran, e.g. x86-64, v3, cortex_a53"
    )
    device: str
    threads: int
    dtype: str
    params: dict[str, object] = Field(
        default_factory=dict,
        description="epochs, batch, lr, rank, ...; keys of training (optimizer, schedule, clip, weight_decay, alpha, "
        "batchnorm, head, lora_plus, accumulate) only where they are not the defaults, see docs/training.md",
    )
    seed: int
    base: int | None = Field(
        default=None,
        description="pretraining base that it began from; null where the suite has one base, and in older records",
    )
    series_key: str
    bench_version: int = BENCH_VERSION

    policy: Literal["cold", "sustained"] = Field(
        default="cold", description="cold: throttling is a fault; sustained: it is data"
    )
    sustained: Sustained | None = None
    t_start_utc: str | None = None
    clock: str = "CLOCK_MONOTONIC"
    wall_s: float | None = Field(
        default=None,
        description="the fine-tuning window; of a timed row with ``inference`` the median of its calls",
    )
    phases_s: dict[str, float] = Field(default_factory=dict, description="whole process, by phase")
    window_phases_s: dict[str, float] = Field(default_factory=dict, description="inside the window")
    process_s: float | None = Field(default=None, description="life of the workload process")
    host_s: float | None = Field(default=None, description="wall time of the repetition as the host saw it")
    ssh_channels: int | None = None
    steps: int | None = None

    peak_rss_b: int | None = None
    energy: Energy | None = Field(
        default=None, description="of the primary source: the meter if there is one"
    )
    energy_other: list[Energy] = Field(
        default_factory=list, description="of further sources, e.g. the board's own sensor beside a meter"
    )
    pmu: Pmu | None = None
    repeats: int | None = Field(
        default=None, description="complete fine-tunings in the window, where it repeats them; else null"
    )
    repeats_s: list[float] = Field(default_factory=list, description="seconds of each of them")
    params_total: int | None = None
    params_trainable: int | None = None
    update_b: int | None = None
    optimizer_state_b: int | None = Field(
        default=None, description="what the optimizer really kept from step to step; 0 with plain SGD"
    )
    cache_b: int | None = None
    cache_hit_ratio: float | None = None
    madds: dict[str, int] | None = Field(
        default=None,
        description="multiply-adds of one fine-tuning by forward, backward, update, ...; computed, not measured",
    )
    metrics: dict[str, float] = Field(
        default_factory=dict, description="further numbers of the workload: cache fill seconds, a user's own"
    )
    inference: Inference | None = Field(
        default=None, description="of a row that runs a network in a runtime (suite key ``runtime``)"
    )
    partition: Partition | None = Field(
        default=None, description="of a network that is cut between board and host (suite key ``partition``)"
    )
    updates: list[Update] = Field(
        default_factory=list,
        description="shipped after the fine-tuning, outside the window (suite key ``ship``)",
    )
    quality: Quality = Field(default_factory=Quality)
    conditions: Conditions = Field(default_factory=Conditions)
    stressor: Stressed | None = Field(default=None, description="null: measured quietly")
    clock_offset: ClockOffset | None = None
    sampler: Sampler | None = None
    check: dict[str, object] | None = Field(default=None, description="figures of a correctness check")
    missing: dict[str, str] = Field(default_factory=dict, description="field -> why it is null")

    outcome: Outcome
    outcome_reason: str | None = None
    verdict: Verdict
    reasons: list[Reason] = Field(default_factory=list)
    prov: Provenance
    trace: str | None = Field(default=None, description="path inside the run's directory")
    log: str | None = None
    preds: str | None = None
    meter: str | None = Field(default=None, description="the external meter's trace")
    exit: str | None = Field(default=None, description="the board's exit record, as it came")
    seen: Seen | None = Field(default=None, description="null in older records")
