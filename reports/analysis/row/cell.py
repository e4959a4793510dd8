"""The row itself: all figures of a cell, and how it compares with its baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.analysis.row.energy import RepeatedEnergy, ScopeEnergy, TimedEnergy
from tunebench.reports.analysis.row.inference import Served
from tunebench.reports.analysis.row.medians import Spread
from tunebench.reports.analysis.row.partition import PartitionNumbers
from tunebench.reports.analysis.row.stress import UnderStress
from tunebench.reports.analysis.row.targets import Budgets, NoTarget, ToTarget
from tunebench.reports.analysis.row.texts import TextTraining
from tunebench.reports.analysis.row.training import Accuracy, Instructions, PhaseTimes, Sustained
from tunebench.reports.analysis.row.verdicts import EnergyRatio, NotCompared, SpeedUp, Verdict
from tunebench.reports.formatting.json_value import OMIT_NONE


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """A reason why repetitions are not valid, and how many have it."""

    code: str
    message: str
    n: int


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
