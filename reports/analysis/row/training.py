"""What a fine-tuning reached and how it went: accuracy, phases, a warm board, instructions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import Spread


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
