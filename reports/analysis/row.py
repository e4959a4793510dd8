"""The row of a report: everything known about one method on one board under one set of conditions, typed.

Fields stand in the order of the public JSON. Names end in their unit: ``_s`` seconds, ``_b`` bytes, ``_j`` joules,
``_w`` watts, ``_c`` degrees Celsius.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.formatting.json_value import INLINE, LEFT_OUT, OMIT_NONE


@dataclass(frozen=True, slots=True)
class Median:
    """The median of some values with its interval.

    Attributes:
        n: how many values.
        interval: ``order-statistic`` (95%) or ``range`` (smallest and largest: too few values for an interval).
        confidence: what the interval guarantees, a share; None for a range.
    """

    n: int
    median: float
    low: float
    high: float
    interval: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Spread(Median):
    """A median, and how far the values lie apart: interquartile range, median absolute deviation, extremes."""

    iqr: float
    mad: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of joules; other quantities have none.

    Attributes:
        repeated: from windows of many whole fine-tunings (role ``energy``), not from the timed ones.
    """

    scope: str | None
    source: str | None
    repeated: bool


@dataclass(frozen=True, slots=True)
class ItemPairs:
    """The test items behind a difference of accuracy: how many, and on how many the two methods disagree."""

    items: int | None
    discordant: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing a method with its baseline in one quantity.

    Attributes:
        unit: ``ratio`` (method / baseline) or ``points`` (method - baseline, percentage points).
        verdict: the word after Holm's correction and the A/A control; ``verdict_alone`` is that without correction.
        better: whether the word is good news; None for ``SAME``, ``UNCLEAR`` and ``NO VERDICT``.
        confidence: what the interval from ``low`` to ``high`` guarantees; None for a range.
        delta: what does not matter: a share, or points.
        n: blocks.
        blocks_needed: further blocks until the verdict could be clear; 0 if it is.
        methods: how many methods Holm's correction runs over; ``level`` is what it leaves for this one.
        alpha: what the correction keeps any false claim among them below: 5%; less at a look of a run that stops when it
            is decided.
        limited_by: ``items`` where more blocks would not settle it.
        withheld: whether the A/A control failed, so that no verdict is given.
        reason: one sentence on why the verdict is what it is.
    """

    quantity: str
    unit: str
    kind: str
    origin: Origin | None = field(metadata=INLINE)
    verdict: str
    verdict_alone: str
    better: bool | None
    value: float
    low: float
    high: float
    interval: str
    confidence: float | None
    delta: float
    n: int
    blocks_needed: int
    methods: int
    p_adjusted: float | None
    level: float | None
    adjusted_low: float | None
    adjusted_high: float | None
    pairs: ItemPairs | None = field(metadata=INLINE)
    limited_by: str | None
    withheld: bool = False
    missing: None = None
    reason: str = ""
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A quantity in which a method was not compared with its baseline; ``missing`` says why."""

    quantity: str
    verdict: None = None
    better: None = None
    missing: str = "not measured"
    reason: None = None


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """A comparison of times as a speed-up: ``factor`` is baseline / method, above 1 is faster; ``ratio`` its inverse."""

    factor: float
    low: float
    high: float
    ratio: float
    interval: str
    confidence: float | None
    verdict: str
    verdict_alone: str
    reason: str
    withheld: bool
    n: int
    blocks_needed: int
    delta: float


@dataclass(frozen=True, slots=True)
class EnergyRatio:
    """Joules of a fine-tuning over the baseline's, where energy repetitions measured both."""

    ratio: float
    scope: str
    source: str | None
    low: float
    high: float
    interval: str
    confidence: float | None
    verdict: str
    n: int
    blocks_needed: int
    delta: float


@dataclass(frozen=True, slots=True)
class ScopeEnergy:
    """Energy of one fine-tuning by one sensor: medians over a cell's energy repetitions.

    Attributes:
        n: repetitions; ``n_refused`` more have no energy by this sensor.
        k: fine-tunings in one window, the middle one.
        j: gross joules; ``net_j`` is less what the idle board draws.
        net_missing: why (some) net joules are missing.
        error_share: largest error of the gross joules, a share of them.
        restart_share: largest share of a window that lay between its fine-tunings.
        misses: what this scope does not hold.
    """

    scope: str
    source: str
    rails: list[str]
    corrected: bool
    n: int
    n_refused: int
    k: int
    j: Median
    net_j: Median | None
    net_missing: str | None
    mean_w: float
    idle_w: float | None
    quantum_w: float | None
    min_samples: int
    max_gap_s: float
    error_share: float | None
    clock_bound_s: float | None
    restart_share: float | None
    rep_ids: list[str]
    misses: str


@dataclass(frozen=True, slots=True)
class RepeatedEnergy:
    """Energy of one fine-tuning in the widest scope, of energy repetitions."""

    of: str
    gross_j: Median
    scope: str
    source: str
    net_j: Median | None
    mean_w: float
    quantum_w: float | None
    min_samples: int
    max_gap_s: float
    k: int


@dataclass(frozen=True, slots=True)
class TimedEnergy:
    """Energy of one fine-tuning, of the timed windows; the JSON has its fields in another order."""

    of: str
    scope: str
    source: str
    gross_j: Median
    net_j: Median | None
    mean_w: float
    quantum_w: float | None
    min_samples: int
    max_gap_s: float
    k: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The task's metric before and after training, shares; mean and standard deviation over ``n`` seeds."""

    metric: str
    n: int
    n_items: int | None
    before_mean: float | None
    before_sd: float | None
    after_mean: float
    after_sd: float | None


@dataclass(frozen=True, slots=True)
class Sustained:
    """The performance of a warm board: medians over the repetitions of the policy ``sustained``.

    Attributes:
        decline: steady over first, less 1.
        time_to_steady_s: over those that settled; None if none did.
    """

    n: int
    first_s: float
    steady_s: float
    decline: float
    n_settled: int
    time_to_steady_s: float | None
    duration_s: float
    temp_end_max_c: float | None


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Time of one training step by phase: means over the instrumented repetitions, evaluation kept apart."""

    n: int
    steps: int
    step_s: float
    by_phase_s: Mapping[str, float]
    unaccounted_s: float
    evaluate_s: float


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """A reason why repetitions are not valid, and how many have it."""

    code: str
    message: str
    n: int


@dataclass(frozen=True, slots=True)
class Reached:
    """Seconds, joules or steps to the target, of the runs that recorded the quality during training.

    Attributes:
        reached: how many of ``n`` reached it.
        median: those that never did count as slowest; None if the middle run never did.
        olympic: mean without the best and the worst run; None below three runs.
    """

    n: int
    reached: int
    median: float | None
    low: float | None
    high: float | None
    interval: str
    olympic: float | None


@dataclass(frozen=True, slots=True)
class ReachedAgainst:
    """Time to the target against the baseline's; ``neither``: blocks in which neither reached it."""

    ratio: float | None
    low: float | None
    high: float | None
    verdict: str
    n: int
    neither: int


@dataclass(frozen=True, slots=True)
class ToTarget:
    """Seconds, joules and steps to the baseline's quality; ``target`` is a share.

    Attributes:
        steps: None where a record does not tell its steps.
    """

    target: float
    target_source: str
    missing: None
    time_s: Reached
    energy_j: Reached | None
    energy_missing: str | None
    against_baseline: ReachedAgainst | None
    steps: Reached | None = None


@dataclass(frozen=True, slots=True)
class NoTarget:
    """The reason why the time to the baseline's quality is not known."""

    target: None = None
    missing: str = "no instrumented repetition tells its quality on the way"


@dataclass(frozen=True, slots=True)
class AtBudget:
    """The best quality within a budget.

    Attributes:
        quantity: ``time`` (seconds), ``memory`` (bytes of the peak) or ``energy`` (joules).
        quality: median over the runs with a curve, a share; None: ``missing`` says why.
    """

    quantity: str
    budget: float
    quality: Median | None
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Budgets:
    """The best quality within each budget that the methods of a task share; ``missing``: why there is none."""

    missing: str | None
    within: Sequence[AtBudget]


@dataclass(frozen=True, slots=True)
class Instructions:
    """What the CPU counted of one fine-tuning in user space, over the repetitions that stand in the times.

    Attributes:
        n: repetitions that counted anything.
        per_step: instructions of one training step.
        ipc: instructions a cycle.
        running: least share of its time in which a counter was to be had; below 1 counts are scaled.
    """

    n: int
    instructions: Spread | None
    per_step: Spread | None
    cycles: Spread | None
    ipc: Spread | None
    cache_misses: Spread | None
    running: float


@dataclass(frozen=True, slots=True)
class Served:
    """What a runtime took to run a network, over the repetitions that stand in the times; of a row that runs one.

    Attributes:
        chain: what was done to the network, in order.
        own_p50_s: median of the calls of each block's repetition.
        runtime_rss_b: resident memory after the runtime's import less that before it.
        time_share: least share of the kernels' time in the type that is claimed; None where nothing tells.
        simulated: compressed in name only, by most of the repetitions that could tell; None if none could.
    """

    runtime: str
    version: str
    chain: list[str]
    numbers: str
    claimed: str | None
    n: int
    calls: int
    p50_s: Spread
    p90_s: Spread
    p99_s: Spread
    cpu_p50_s: Spread | None
    cold_s: Spread
    import_s: Spread
    load_s: Spread
    runtime_rss_b: Spread | None
    peak_rss_b: Spread | None
    installed_b: int | None
    threads: int
    os_threads: int | None
    params: int | None
    madds: int | None
    dense_params: int | None
    dense_madds: int | None
    model_b: int | None
    model_zlib_b: int | None
    dense_b: int | None
    agreement: float | None
    max_difference: float | None
    time_share: float | None
    node_share: float | None
    simulated: bool | None
    simulated_reason: str | None
    own_p50_s: Mapping[int, float] = field(metadata=LEFT_OUT)


@dataclass(frozen=True, slots=True)
class CutNumbers:
    """One place at which a network is cut: what crosses, and what each part takes alone.

    Attributes:
        cut: last node on the board; ``input``: nothing is computed there.
        size_b: what crosses for one sample; 0: all of the network is on the board.
        device_j: energy of one call of the board's part, over energy repetitions; None where nothing told it.
        equal: outputs are those of the whole network within the tolerance, in every repetition; None: not compared.
    """

    cut: str
    shape: list[int]
    dtype: str
    size_b: int
    device_s: Spread
    remote_s: Spread | None
    device_j: Spread | None
    device_j_scope: str | None
    max_difference: float | None
    equal: bool | None


@dataclass(frozen=True, slots=True)
class CallNumbers:
    """A cut network over one link, over repetitions: medians of their medians of calls.

    Attributes:
        total_s: None where it was not called; ``missing`` says why.
        predicted_s: from both parts alone, a round trip, and the bytes over the rates.
    """

    cut: str
    calls: int
    device_s: Spread | None
    transfer_s: Spread | None
    remote_s: Spread | None
    total_s: Spread | None
    predicted_s: Spread | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class LinkNumbers:
    """All cuts over one link.

    Attributes:
        how: ``measured``: the board's own link; ``shaped``: a proxy on the host limits rate and delays.
        predicted_best, measured_best: cut of the least median; cuts whose outputs differ are left out.
        excess: measured total of the predicted best over that of the measured best, less 1.
    """

    link: str
    how: str
    up_bit_s: float | None
    down_bit_s: float | None
    rtt_s: float | None
    predicted_best: str | None
    measured_best: str | None
    excess: float | None
    calls: Sequence[CallNumbers]
    missing: str | None


@dataclass(frozen=True, slots=True)
class PartitionNumbers:
    """A network cut between board and host, over a cell's repetitions.

    Attributes:
        n: repetitions.
        answer_b: outputs that go back for one sample.
    """

    n: int
    answer_b: int
    tolerance: float
    host_runtime: str | None
    host_threads: int | None
    cuts: Sequence[CutNumbers]
    links: Sequence[LinkNumbers]


@dataclass(frozen=True, slots=True)
class TextPhase:
    """One phase of the way to a result that can be used, in an instrumented repetition.

    Attributes:
        took_s: None where the phase did not end; ``missing`` says why.
        peak_b: highest resident memory in it, interpreter and packages included.
        failed: whether it was tried and did not end; False where a method has no such phase.
    """

    took_s: float | None
    peak_b: float | None
    missing: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class TextTraining:
    """What was trained on texts, over the repetitions that stand in the times.

    Attributes:
        train_tokens: of one fine-tuning, without padding; passes that read a cache count theirs, too.
        padding: share of the tokens of all batches.
        predicted_total_b: memory that the graph foretold, on top of the idle interpreter.
        before: the task's metric, a share.
        after: of it after training; None where quality says nothing (random weights).
        phases: by name, in the order in which a board meets them; empty without an instrumented repetition.
    """

    tokens_per_s: Spread
    train_tokens: float | None
    padding: float | None
    predicted_total_b: float | None
    before: Median | None
    after: Median | None
    phases: Mapping[str, TextPhase]


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """Values over those of another cell in the same blocks: the ratio's estimate with its interval, alone."""

    ratio: float
    low: float
    high: float
    interval: str
    confidence: float | None
    n: int


@dataclass(frozen=True, slots=True)
class UnderStress:
    """A row under a stressor against its quiet row.

    Attributes:
        n_held: timed repetitions in which the stressor held to the end.
        figures: what was read back of it, medians: ``load_cores``, ``held_b``, ``available_b``, ``max_freq_hz``, ...
        outcomes: how its timed repetitions ended.
        time: seconds over the quiet row's; of the repetitions that ended well.
        memory: peak resident memory over the quiet row's.
        host: seconds that the host spent on a repetition, over the quiet row's.
        missing: why there is no ratio.
    """

    id: str
    kind: str
    params: Mapping[str, int | str]
    quiet_task: str
    n_held: int
    figures: Mapping[str, float]
    outcomes: Mapping[str, int]
    time: PairedRatio | None
    memory: PairedRatio | None
    host: PairedRatio | None
    quiet_wall_s: float | None
    quiet_peak_rss_b: float | None
    missing: str | None


@dataclass(frozen=True, slots=True)
class CellNumbers:
    """All figures of a cell except its comparison with the baseline; ``..._missing`` says why a figure is None.

    Attributes:
        idle_rss_b: resident memory of the same process when it had loaded its engine, but no data and no network yet.
        over_idle_b: peak memory less that, repetition by repetition: what the fine-tuning itself takes.
    """

    board_id: str
    board_kind: str
    board_model: str | None
    emulated: bool
    power_mode: str | None
    task: str
    dataset: str
    model: str
    label: str
    method: str
    own: bool
    aa_control: bool
    engine: str
    engine_build: str | None
    engine_version: str | None
    device: str
    threads: int
    dtype: str
    params: Mapping[str, object]
    steps: int | None
    n: int
    rep_ids: list[str]
    counts: Mapping[str, int]
    policy: str
    sustained: Sustained | None
    wall_s: Spread | None
    wall_missing: str | None
    peak_rss_b: Spread | None
    peak_rss_missing: str | None
    idle_rss_b: Spread | None
    over_idle_b: Spread | None
    over_idle_missing: str | None
    pmu: Instructions | None
    pmu_missing: str | None
    joules: list[ScopeEnergy]
    joules_missing: str | None
    energy: RepeatedEnergy | TimedEnergy | None
    energy_missing: str | None
    accuracy: Accuracy | None
    accuracy_missing: str | None
    params_total: int | None
    params_trainable: int | None
    update_b: int | None
    cache_b: int | None
    optimizer_state_b: int | None
    cache_hit_ratio: float | None
    temp_max_c: float | None
    verdict: str
    reasons: list[ReasonCount]
    phases: PhaseTimes | None
    instrumentation_overhead: float | None
    curve: Sequence[tuple[int, float, float]]
    inference: Served | None = field(metadata=OMIT_NONE)
    partition: PartitionNumbers | None = field(metadata=OMIT_NONE)
    texts: TextTraining | None = field(metadata=OMIT_NONE)


@dataclass(frozen=True, slots=True)
class MethodResult(CellNumbers):
    """A row of the report: a cell's figures, and how it compares with its baseline.

    Attributes:
        baseline: the label it is compared with; None if the task has none.
        verdicts: by quantity (``time``, ``energy``, ``memory``, ``accuracy``).
        unequal_params: work in which it differs from the baseline; None without a baseline.
        at_budget: of what was trained on texts; None of all else.
        under_stress: of what was measured under a stressor; None of all else.
    """

    baseline: str | None
    is_baseline: bool
    verdicts: Mapping[str, Verdict | NotCompared]
    speed_up: SpeedUp | None
    speed_up_missing: str | None
    energy_ratio: EnergyRatio | None
    unequal_params: list[str] | None = field(metadata=OMIT_NONE)
    to_quality: ToTarget | NoTarget
    at_budget: Budgets | None = field(metadata=OMIT_NONE)
    under_stress: UnderStress | None = field(metadata=OMIT_NONE)

    def judged(self, quantity: str) -> Verdict | None:
        """Return the verdict on a quantity; None where it was not compared."""
        verdict = self.verdicts.get(quantity)
        return verdict if isinstance(verdict, Verdict) else None
