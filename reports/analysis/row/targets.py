"""The way to a target of quality, and the best quality within a budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import Median


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
