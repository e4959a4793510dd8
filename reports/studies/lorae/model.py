"""The numbers of the LoRAE study, typed; shares are of one, differences of quality are in points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.formatting.json_value import INLINE
from tunebench.reports.studies.lorae.constants import Published
from tunebench.reports.studies.tracks import TrackedTask


@dataclass(frozen=True, slots=True)
class Quality:
    """A metric after training, a share: mean and standard deviation over ``n`` blocks."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference to the baseline in points, paired by block.

    Attributes:
        verdict: after Holm's correction; None for further metrics, which are judged alone only.
        verdict_alone: that of a comparison fixed beforehand.
    """

    metric: str
    missing: None
    value: float
    low: float
    high: float
    interval: str
    confidence: float | None
    n: int
    delta: float
    kind: str
    limited_by: str | None
    verdict: str | None
    verdict_alone: str
    methods: int | None
    items: int | None


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A main metric that was not compared; the JSON says so in the fields of a difference."""

    metric: str
    missing: str
    value: None = None
    low: None = None
    high: None = None
    interval: None = None
    confidence: None = None
    n: None = None
    delta: None = None
    kind: None = None
    limited_by: None = None
    verdict: None = None
    verdict_alone: None = None
    methods: None = None
    items: None = None


@dataclass(frozen=True, slots=True)
class NoPairs:
    """A metric that no block has of both the method and its baseline."""

    metric: str
    verdict: None = None
    missing: str = "no block in which it is known of both"


AnyDifference = Difference | NotJudged | NoPairs


@dataclass(frozen=True, slots=True)
class TimeRatio:
    """Time of a fine-tuning over the baseline's, paired by block."""

    value: float
    low: float
    high: float
    interval: str
    n: int


@dataclass(frozen=True, slots=True)
class LinkTime:
    """Median seconds of an update over one link, board to host; ``how``: measured, shaped or computed."""

    link: str
    how: str
    seconds: float
    n: int


@dataclass(frozen=True, slots=True)
class Shipped:
    """The smallest exact update as a file: ``form`` is ``adapter`` or ``delta``."""

    form: str
    size_b: int
    tensor_b: int
    links: list[LinkTime]


@dataclass(frozen=True, slots=True)
class Memory:
    """Growth of the resident set in training, measured by instrumented repetitions, beside the predicted value."""

    train_peak_b: float | None
    predicted_step_b: float | None


@dataclass(frozen=True, slots=True)
class Method:
    """One method and rank on one task.

    Attributes:
        lr: the learning rate as the record holds it.
        reduction: share of the parameters that full fine-tuning updates and this one does not.
        quality: by metric.
        shipped: None if no update was shipped; ``shipped_missing`` says why.
    """

    label: str
    method: str
    n: int
    params_trainable: int | None
    update_b: int | None
    cache_b: int | None
    is_lorae: bool
    rank: object
    lr: object
    reduction: float | None
    before: float | None
    quality: Mapping[str, Quality | None]
    quality_missing: str | None
    differences: Sequence[AnyDifference]
    step_s: float | None
    step_missing: str | None
    time_ratio: TimeRatio | None
    peak_b: float | None
    peak_missing: str | None
    memory: Memory = field(metadata=INLINE)
    shipped: Shipped | None
    shipped_missing: str | None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The study's result: the row that was fixed beforehand, judged alone."""

    label: str
    rank: object
    reduction: float | None
    reduction_met: bool | None
    differences: Sequence[AnyDifference]


@dataclass(frozen=True, slots=True)
class Unit:
    """One task on one board under one set of conditions; units are never pooled.

    Attributes:
        metrics: the main metric and further ones.
        target: least reduction that is to be reached; None where the paper has no figure.
        shared_machine: whether other programs may have run beside it.
        judged: the candidate by the margin that the suite committed, in a sentence; None without a margin.
        bases: how many pretrainings the blocks begin from.
    """

    board_id: str
    task: str
    engine: str
    engine_build: str | None
    device: str
    threads: int
    dtype: str
    power_mode: str | None
    board_kind: str
    emulated: bool
    dataset: str
    model: str
    engine_version: str | None
    metric: str | None
    metrics: list[str]
    n_items: int | None
    baseline: str | None
    target: float | None
    methods: list[Method]
    chosen: Chosen | None
    chosen_missing: str | None
    shared_machine: bool
    judged: str | None = None
    bases: int = 1


@dataclass(frozen=True, slots=True)
class LoraeStudy:
    """The study of a run; ``published``: by main metric; ``tracks`` has its tracks side by side."""

    name: str
    source: str
    candidate: str | None
    published: Mapping[str, Published]
    units: list[Unit]
    tracks: list[TrackedTask] = field(default_factory=list)
