"""The numbers of the Skip2-LoRA study, typed; shares are of one, differences of accuracy are in points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tunebench.reports.analysis.row import Accuracy, PhaseTimes, Spread
from tunebench.reports.studies.tracks import TrackedTask


@dataclass(frozen=True, slots=True)
class Published:
    """Figures that the publication reports; not measured here."""

    label: str
    reduction_mean: float
    low: float
    high: float
    source: str


@dataclass(frozen=True, slots=True)
class Reduction:
    """Share of the reference's time that is saved, paired by block.

    Attributes:
        unequal_work: work in which the two differ, so that the saving is not the method's alone.
    """

    value: float
    low: float
    high: float
    interval: str
    confidence: float | None
    n: int
    unequal_work: list[str]


@dataclass(frozen=True, slots=True)
class Method:
    """One method on one task.

    Attributes:
        losses: mean training loss of each epoch, over ``losses_n`` repetitions.
        accuracies: (epoch, mean held-out accuracy), over ``accuracies_n`` instrumented repetitions.
        madds: multiply-adds of one fine-tuning by kind; None where the records do not agree on one count.
    """

    method: str
    label: str
    n: int
    wall_s: Spread | None
    wall_missing: str | None
    accuracy: Accuracy | None
    phases: PhaseTimes | None
    title: str
    reduction: Reduction | None
    reduction_missing: str | None
    losses: list[float]
    losses_n: int
    accuracies: list[tuple[int, float]]
    accuracies_n: int
    madds: Mapping[str, int] | None
    madds_total: int | None
    madds_per_s: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of the candidate less that of another, points, paired by block.

    Attributes:
        aim: ``met`` (the interval lies within the aim), ``missed`` (wholly outside) or ``open``.
    """

    against: str
    points: float
    aim: str
    low: float
    high: float
    interval: str
    confidence: float | None
    n: int
    missing: None = None


@dataclass(frozen=True, slots=True)
class NoDifference:
    """The reason why a difference of accuracy is not known."""

    against: str
    missing: str
    points: None = None
    aim: str = "open"


@dataclass(frozen=True, slots=True)
class Task:
    """One data set and model on one board; ``bound`` is the reduction by multiply-adds alone.

    ``judged`` says how the candidate stands to the reference by the margin that the suite committed; None without one.
    """

    task: str
    dataset: str
    model: str
    methods: list[Method]
    missing_methods: list[str]
    reduction: Reduction | None
    reduction_missing: str | None
    differences: list[Difference | NoDifference]
    bound: float | None
    name: str = ""
    judged: str | None = None


@dataclass(frozen=True, slots=True)
class Headline:
    """The plain mean of the reductions over the data sets that have one; ``missing``: why others have none."""

    reduction_mean: float | None
    datasets: list[str]
    missing: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Unit:
    """One board, engine and build under one set of conditions; units are never pooled.

    ``track``: how its methods were trained, where the run has several ways; None where it has one.
    """

    board_id: str
    engine: str
    engine_build: str | None
    device: str
    threads: int
    dtype: str
    power_mode: str | None
    board_kind: str
    board_model: str | None
    emulated: bool
    engine_version: str | None
    tasks: list[Task]
    headline: Headline
    explanation: str | None = None
    track: str | None = None


@dataclass(frozen=True, slots=True)
class Study:
    """The study of a run; ``dependence`` says what the saving depends on, ``tracks`` has its tracks side by side."""

    name: str
    candidate: str
    reference: str
    aim_points: float
    published: Published
    dependence: str
    units: list[Unit]
    tracks: list[TrackedTask] = field(default_factory=list)
