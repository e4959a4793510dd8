"""Define the records of a repetition and of a run: what every room meets at.

One :class:`Repetition` is one line of ``reps.jsonl``. Units stand in the names, durations come from the
board's CLOCK_MONOTONIC, UTC only orders things. What was not measured is ``None`` and has its reason in
``missing``; it is never zero and never guessed. Readers ignore unknown fields, so that a newer minor
version can still be read.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: What readers accept: this major version and any of its minors.
REP_SCHEMA = "tunebench.rep/1"
#: What is written; minor versions only add fields. 1.1: energy repetitions, idle baselines, energy of several sources.
#: 1.2: updates shipped after the fine-tuning; the board's exit record, and what the host alone saw.
#: 1.3: instructions, cycles and cache misses of the window. 1.4: stressors.
REP_SCHEMA_WRITTEN = "tunebench.rep/1.4"
RUN_SCHEMA = "tunebench.run/1"
PLAN_SCHEMA = "tunebench.plan/1"
ENV_SCHEMA = "tunebench.env/1"

#: Raised when a change of ours makes new numbers incomparable with old ones (opens a new segment).
BENCH_VERSION = 1

Role = Literal["timed", "instrumented", "check", "energy", "idle"]
Outcome = Literal["ok", "failed", "deadline", "oom", "killed", "diverged", "lost", "skipped"]
Verdict = Literal["valid", "degraded", "invalid"]
#: Where a power sensor sits: from the wall socket down to one rail. Values of different scopes never meet.
Scope = Literal["wall_ac", "dc_input", "board_input", "module", "rails_sum", "soc_rail"]


#: Kinds of stressors that are a setting of the board itself: rows at them have no quiet row.
OPERATING_POINTS = ("power-mode", "pinned-clock")


class Record(BaseModel):
    """Frozen, finite numbers only, tolerant of fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)

    def to_line(self) -> str:
        """Return one JSON line, newline included; keys sorted so that equal records are equal bytes."""
        value = self.model_dump(mode="json", by_alias=True)
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")) + "\n"


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


class Sustained(Record):
    """One fine-tuning repeated without a pause under the policy ``sustained``: what is left when the board is warm."""

    duration_s: float = Field(description="of all fine-tunings together")
    n: int
    first_s: float = Field(description="the first fine-tuning, on a cool board")
    steady_s: float = Field(description="median of the last third")
    decline: float = Field(
        description="steady_s / first_s - 1: how much longer the same work takes in the end"
    )
    settled: bool = Field(description="the last third no longer changes")
    time_to_steady_s: float | None = Field(
        default=None,
        description="from the start until fine-tunings stay within 2% of steady_s; null: not settled",
    )
    slope_per_min: float | None = Field(default=None, description="of the last third, relative to steady_s")
    every: int = Field(default=1, description="``repeats_s`` holds every so many-th fine-tuning")
    repeats_s: list[float] = Field(default_factory=list)
    temp_end_c: float | None = None


class Quality(Record):
    """What fine-tuning did to the model, on held-out target data."""

    metric: str = "accuracy"
    before: float | None = None
    after: float | None = None
    n_items: int | None = None
    loss_first: float | None = None
    loss_final: float | None = None
    losses: list[float] = Field(default_factory=list, description="mean training loss of each epoch")
    curve: list[tuple[int, float, float]] = Field(
        default_factory=list, description="(epoch, seconds of training so far, metric); instrumented only"
    )


class Energy(Record):
    """Energy of the measured window; what it covers stands in ``scope`` and ``source``.

    ``net_j`` is gross less the idle power times the window. The baseline after a repetition is measured after its
    record is safe, so in ``reps.jsonl`` net is null with ``net_reason``;
    :class:`tunebench.reports.results.reader.RunReader` joins it.
    """

    gross_j: float
    net_j: float | None = None
    net_reason: str | None = Field(default=None, description="why net_j is null")
    scope: Scope
    source: str = Field(description="the sensor or meter, e.g. ina3221")
    rails: list[str] = Field(default_factory=list, description="what was added up, by the source's own names")
    method: Literal["trapezoid", "counter"] = "trapezoid"
    mean_w: float
    std_w: float | None = Field(default=None, description="of the power samples; null for a counter")
    window_s: float | None = None
    n_samples: int
    rate_hz: float = Field(description="as found in the window")
    max_gap_s: float
    coverage: float | None = Field(default=None, description="share of the window between usable samples")
    error_j: float | None = Field(
        default=None, description="what the time between samples, or a counter's step, leaves open of gross_j"
    )
    quantum_w: float | None = Field(default=None, description="the source's smallest step")
    corrected: bool = Field(default=False, description="a model was applied to what the sensor said")
    clock_bound_s: float | None = Field(
        default=None,
        description="an external meter's times lie within +-this of the board's; null: one clock",
    )
    repeats: int = Field(default=1, description="fine-tunings in the window (k); 0: an idle baseline")
    j_per_finetuning: float | None = Field(default=None, description="gross_j / k")
    net_j_per_finetuning: float | None = Field(default=None, description="net_j / k")
    idle_before_w: float | None = None
    idle_after_w: float | None = None
    idle_source: str | None = Field(
        default=None, description="rep_ids of the idle baselines, before and after"
    )


class Conditions(Record):
    """The state of the board around the window."""

    temp_start_c: float | None = None
    temp_end_c: float | None = None
    temp_max_c: float | None = None
    freq_min_hz: float | None = None
    freq_max_hz: float | None = None
    load_1m_start: float | None = None
    swap_delta_b: int | None = None
    mem_available_min_b: int | None = None
    background_cores: float | None = Field(
        default=None, description="CPU time that others used right before the start, in cores"
    )


class ClockOffset(Record):
    """Host clock minus board clock by minimum-RTT exchange; the true offset is within +-bound_s."""

    offset_s: float
    bound_s: float


class ChannelReads(Record):
    """How the reads of one channel ended: values, failures, and values refused since they contradicted others."""

    n: int
    errors: int = 0
    refused: int = 0
    reasons: dict[str, int] = Field(default_factory=dict, description="how often each reason came")


class Sampler(Record):
    """What the on-board sampler did and what it cost."""

    period_s: float
    n: int
    max_gap_s: float | None = None
    cpu_s: float | None = None
    rate_hz: float | None = None
    channels: dict[str, ChannelReads] = Field(
        default_factory=dict, description="those that were not read every time they were asked"
    )


class Transfer(Record):
    """One update over one link in one direction; see docs/results.md for what the seconds hold."""

    direction: Literal["board-host", "host-board"]
    link: str = Field(description="'own': the board's link as it is; else a profile's name")
    how: Literal["measured", "shaped", "computed"] = Field(
        description="shaped: through a rate-limiting, delaying proxy; computed: from bytes, nothing was sent"
    )
    size_b: int
    seconds: float | None = Field(default=None, description="null: it failed, see ``reason``")
    bit_s: float | None = Field(default=None, description="effective throughput: 8 size_b / seconds")
    link_bit_s: float | None = Field(default=None, description="a profile's rate in this direction")
    link_rtt_s: float | None = None
    apply_s: float | None = Field(
        default=None, description="host-board: checking and putting in force, on the board; not in seconds"
    )
    reason: str | None = None


class Update(Record):
    """What the fine-tuning changed, in one form, as a file that was shipped."""

    form: Literal["weights", "delta", "adapter"]
    dtype: Literal["float32", "float16", "int8"]
    packed: bool = Field(description="compressed with zlib")
    size_b: int = Field(description="of the file as it travels")
    safetensors_b: int = Field(description="header_b + tensor_b; size_b unless packed")
    header_b: int = Field(description="length, names, shapes and metadata")
    tensor_b: int = Field(description="the values, int8 scales included")
    n_tensors: int
    n_values: int
    max_error: float = Field(description="largest difference of a value from float32")
    rms_error: float
    sha256: str
    base_sha256: str = Field(description="of the weights artefact that it applies to")
    made_s: float = Field(description="converting, writing, compressing, on the board")
    transfers: list[Transfer] = Field(default_factory=list)


class Pmu(Record):
    """What the CPU's counters (its PMU) counted in the window: the workload in user space, with its threads and children.

    Heat, clock and neighbours move seconds and hardly move instructions. Events that were not counted are null, with the
    reason in the record's ``missing`` under their own names.
    """

    scope: Literal["user"] = "user"
    instructions: int | None = None
    cycles: int | None = None
    cache_misses: int | None = Field(default=None, description="usually of the last level of cache")
    running: float = Field(
        description="least share of the window's CPU time in which a counter was to be had; below 1 others took turns at"
        " the PMU, and counts are scaled up by it"
    )
    repeats: int = Field(default=1, description="fine-tunings in the window, restarts between them included")
    instructions_per_finetuning: float | None = Field(default=None, description="instructions / repeats")


class Inference(Record):
    """What a board's own runtime took to run a network: medians and quantiles of calls with one sample each.

    Float in, float out: what scales pixels and what makes a sample lie outside of the timer.
    """

    # Older releases of pydantic take names that begin with model_ for their own.
    model_config = ConfigDict(protected_namespaces=())

    runtime: str = Field(max_length=64)
    version: str = Field(max_length=200)
    chain: list[Annotated[str, Field(max_length=64)]] = Field(
        default_factory=list, max_length=64, description="what was done to the network, in order; on the host"
    )
    numbers: str | None = Field(
        default=None,
        max_length=64,
        description="in which the network is written: float32, float16, int8-static, ...",
    )
    claimed: str | None = Field(
        default=None, max_length=64, description="type in which it is to be computed; null: none but float32"
    )
    calls: int = Field(ge=1, description="in one round; a window of an energy repetition holds several")
    import_s: float = Field(ge=0)
    load_s: float = Field(ge=0, description="from the artefact in memory to a network that can be called")
    cold_s: float = Field(ge=0, description="the first call")
    p50_s: float = Field(ge=0)
    p90_s: float = Field(ge=0)
    p99_s: float = Field(ge=0)
    cpu_p50_s: float | None = Field(
        default=None,
        ge=0,
        description="CPU time of a call: of the calling thread, with several threads of the process",
    )
    threads: int = Field(ge=1, description="asked for")
    os_threads: int | None = Field(
        default=None, ge=0, description="threads of the process, counted after the calls"
    )
    installed_b: int | None = Field(
        default=None, ge=0, description="of the runtime and what it needs, on the board"
    )
    rss_start_b: int | None = Field(
        default=None, ge=0, description="resident memory before anything is imported"
    )
    rss_import_b: int | None = Field(default=None, ge=0)
    rss_load_b: int | None = Field(default=None, ge=0)
    rss_cold_b: int | None = Field(default=None, ge=0)
    rss_end_b: int | None = Field(default=None, ge=0)
    peak_rss_b: int | None = Field(default=None, ge=0, description="at the end of the timed calls")
    params: int | None = Field(default=None, ge=0)
    zeros: int | None = Field(default=None, ge=0, description="weights that are 0")
    madds: int | None = Field(
        default=None, ge=0, description="multiply-adds of a call; counted, not measured"
    )
    dense_params: int | None = Field(default=None, ge=0, description="of the network before the chain")
    dense_madds: int | None = Field(default=None, ge=0)
    model_b: int | None = Field(default=None, ge=0, description="the network as the runtime reads it")
    model_zlib_b: int | None = Field(default=None, ge=0, description="the same, packed with zlib")
    dense_b: int | None = Field(
        default=None, ge=0, description="the network before the chain, in the same form"
    )
    model_sha256: str | None = Field(default=None, max_length=64)
    n_items: int | None = Field(default=None, ge=0, description="test items that accuracy is of")
    parent_agreement: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of items with the class of its float parent, computed on the board",
    )
    parent_max_difference: float | None = Field(
        default=None, ge=0, description="largest difference of an output"
    )
    parent_items: int | None = Field(default=None, ge=0)
    claimed_time_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of the kernels' time by the runtime's own profile; null: it has none",
    )
    claimed_node_share: float | None = Field(default=None, ge=0, le=1)
    simulated: bool | None = Field(
        default=None,
        description="compressed in name only: raw bytes at least 0.9 of the uncompressed network's, or under half of the "
        "kernels' time in the claimed type; such a row stands in no claim of speed",
    )
    simulated_reason: str | None = Field(default=None, max_length=400)
    log: list[dict[str, object]] = Field(
        default_factory=list,
        max_length=64,
        description="each step of the chain: its keys, steps trained, the rate and its scores on held-out halves, counts",
    )


class Stressed(Record):
    """What the suite put around a fine-tuning on purpose (``stressors`` of a workload), and what held of it.

    Figures are read back: ``load_cores`` (CPU time that the load used, over time), ``held_b``, ``available_b``,
    ``max_freq_hz``, ``link_up_bit_s``, ``connections``, ``power_mode_id``.
    """

    id: str
    kind: str
    params: dict[str, int | str] = Field(default_factory=dict)
    quiet_task: str = Field(description="the task with the same methods without it")
    applied: dict[str, float] | None = Field(default=None, description="before the workload started")
    verified: dict[str, float] | None = Field(default=None, description="when it had ended, still applied")
    held: bool = Field(description="it was applied, held to the end and was removed")
    reason: str | None = Field(default=None, description="why it did not hold")


class PartitionCut(Record):
    """One place at which a network is cut: what crosses there, and what each part takes alone, without a link."""

    cut: str = Field(max_length=128, description="last node on the board; 'input': nothing is computed there")
    shape: list[int] = Field(max_length=8, description="of what crosses, of one sample")
    dtype: Literal["float32", "uint8"]
    size_b: int = Field(
        ge=0, description="what crosses for one sample; 0: all of the network is on the board"
    )
    device_s: float = Field(ge=0, description="median of calls of the board's part, in the repetition itself")
    device_calls: int = Field(ge=1)
    device_j: float | None = Field(
        default=None,
        description="of one call of the board's part, gross, in energy repetitions; waiting for the host is not in it",
    )
    device_j_scope: Scope | None = None
    device_j_source: str | None = None
    remote_s: float | None = Field(
        default=None, ge=0, description="median of calls of the host's part, nothing else at work for it"
    )
    max_difference: float | None = Field(
        default=None, ge=0, description="of an output, cut against whole, the whole computed on the board"
    )
    equal: bool | None = Field(
        default=None, description="within the tolerance; null: not compared. A cut that is not is no best"
    )


class PartitionCall(Record):
    """A cut network over one link: medians of calls, each from the sample on the board to the outputs there."""

    cut: str = Field(max_length=128)
    n: int = Field(ge=0, description="calls; 0: see ``reason``")
    device_s: float | None = Field(default=None, ge=0)
    transfer_s: float | None = Field(
        default=None, ge=0, description="total less device and remote: there and back, SSH included"
    )
    remote_s: float | None = Field(default=None, ge=0, description="by the host's clock")
    total_s: float | None = Field(default=None, ge=0, description="by the board's clock")
    total_min_s: float | None = Field(default=None, ge=0)
    total_max_s: float | None = Field(default=None, ge=0)
    predicted_s: float | None = Field(
        default=None, ge=0, description="device_s and remote_s of the cut, a round trip, bytes over the rates"
    )
    reason: str | None = Field(default=None, max_length=500, description="why it was not called")


class PartitionLink(Record):
    """All cuts of a network over one link."""

    link: str = Field(
        max_length=64, description="'own': the board's link as it is; else a shaped link's name"
    )
    how: Literal["measured", "shaped"] = Field(
        description="shaped: the same SSH to the same board, through a proxy on this host that limits rate and delays"
    )
    up_bit_s: float | None = Field(
        default=None, gt=0, description="board -> host; declared, of 'own' measured"
    )
    down_bit_s: float | None = Field(default=None, gt=0)
    rtt_s: float | None = Field(default=None, ge=0)
    predicted_best: str | None = Field(default=None, max_length=128)
    measured_best: str | None = Field(default=None, max_length=128)
    calls: list[PartitionCall] = Field(default_factory=list, max_length=512)
    reason: str | None = Field(default=None, max_length=500, description="why it was not measured")


class Partition(Record):
    """A network cut between board and host: the link is what is measured, after the repetition's window."""

    cut: str = Field(max_length=128, description="as the suite asks: a layer, or 'auto'")
    answer_b: int = Field(ge=0, description="outputs that go back to the board for one sample")
    tolerance: float = Field(gt=0, description="largest difference of an output, of the largest output and 1")
    host_runtime: str | None = Field(default=None, max_length=200)
    host_threads: int | None = Field(default=None, ge=1)
    cuts: list[PartitionCut] = Field(max_length=512)
    links: list[PartitionLink] = Field(
        default_factory=list, max_length=32, description="in timed repetitions; the A/A control has none"
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


class Skip(Record):
    """What the plan left out, and why."""

    board_id: str
    label: str | None = Field(default=None, description="None: the whole board")
    task: str | None = None
    from_block: int | None = Field(
        default=None, description="only this block and those behind it: what came before had decided the task"
    )
    role: Role | None = Field(
        default=None, description="None: everything; energy: energy repetitions and their idle baselines only"
    )
    reason: str

    @property
    def of_whole_board(self) -> bool:
        """Tell whether nothing of the board is left."""
        return self.label is None and self.role is None and self.from_block is None


class LookTaken(Record):
    """One look at a task on a board, in a run that stops when it is decided: a line of ``looks.jsonl``."""

    board_id: str
    task: str
    blocks: int = Field(description="only blocks before this one were looked at")
    alpha: float = Field(description="what the look may spend: probability of any false difference at it")
    decided: dict[str, str] = Field(default_factory=dict, description="label -> verdict on its time")
    undecided: list[str] = Field(default_factory=list, description="labels whose verdict is open")
    not_compared: list[str] = Field(default_factory=list, description="labels without any block to compare")
    stops: bool = Field(description="nothing is open: the task is left out of the blocks that follow")


class BoardEnv(Record):
    """What a probe found on a board: ``env/<board>.before.json`` and ``.after.json``."""

    schema_: str = Field(default=ENV_SCHEMA, alias="schema")
    board_id: str
    t_utc: str
    fingerprint: dict[str, dict[str, object]] = Field(
        default_factory=dict, description="tiers: hardware, firmware, os, python"
    )
    channels: list[dict[str, object]] = Field(default_factory=list)
    missing: dict[str, str] = Field(default_factory=dict)
    env_sha256: str | None = None
    tuning: list[dict[str, object]] = Field(
        default_factory=list,
        description="what was set on the board for this run: op, state, before, after, how, reason",
    )

    def text(self, tier: str, key: str) -> str | None:
        """Return a text value of the fingerprint; None if it was not probed or is not a text."""
        value = self.fingerprint.get(tier, {}).get(key)
        return value if isinstance(value, str) else None


class RunManifest(Record):
    """``run.json``, written last: its presence says that the run is complete."""

    schema_: str = Field(default=RUN_SCHEMA, alias="schema")
    run_id: str
    lab: str
    suite: str
    level: str | None = None
    command: list[str] = Field(default_factory=list)
    tunebench: str
    started_utc: str
    ended_utc: str
    boards: list[str]
    blocks: int
    baselines: dict[str, str] = Field(default_factory=dict, description="task -> label of its baseline")
    delta: dict[str, float] = Field(default_factory=dict)
    counts: dict[str, int] = Field(default_factory=dict)
    skipped: list[Skip] = Field(default_factory=list)
    plan_sha256: str
    files: dict[str, str] = Field(default_factory=dict, description="path -> SHA-256 of every other file")
