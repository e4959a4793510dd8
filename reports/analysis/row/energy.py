"""Energy of one fine-tuning, by sensor and by kind of window."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import Median


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
