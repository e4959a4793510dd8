"""The row of a report: everything known about one method on one board under one set of conditions, typed.

Fields stand in the order of the public JSON. Names end in their unit: ``_s`` seconds, ``_b`` bytes, ``_j`` joules,
``_w`` watts, ``_c`` degrees Celsius.
"""

from __future__ import annotations

from tunebench.reports.analysis.row.cell import CellNumbers, MethodResult, ReasonCount
from tunebench.reports.analysis.row.energy import RepeatedEnergy, ScopeEnergy, TimedEnergy
from tunebench.reports.analysis.row.inference import Served
from tunebench.reports.analysis.row.medians import Median, PairedRatio, Spread
from tunebench.reports.analysis.row.partition import CallNumbers, CutNumbers, LinkNumbers, PartitionNumbers
from tunebench.reports.analysis.row.stress import UnderStress
from tunebench.reports.analysis.row.targets import (
    AtBudget,
    Budgets,
    NoTarget,
    Reached,
    ReachedAgainst,
    ToTarget,
)
from tunebench.reports.analysis.row.texts import TextPhase, TextTraining
from tunebench.reports.analysis.row.training import Accuracy, Instructions, PhaseTimes, Sustained
from tunebench.reports.analysis.row.verdicts import (
    EnergyRatio,
    ItemPairs,
    NotCompared,
    Origin,
    SpeedUp,
    Verdict,
)

__all__ = [
    "Accuracy",
    "AtBudget",
    "Budgets",
    "CallNumbers",
    "CellNumbers",
    "CutNumbers",
    "EnergyRatio",
    "Instructions",
    "ItemPairs",
    "LinkNumbers",
    "Median",
    "MethodResult",
    "NoTarget",
    "NotCompared",
    "Origin",
    "PairedRatio",
    "PartitionNumbers",
    "PhaseTimes",
    "Reached",
    "ReachedAgainst",
    "ReasonCount",
    "RepeatedEnergy",
    "ScopeEnergy",
    "Served",
    "SpeedUp",
    "Spread",
    "Sustained",
    "TextPhase",
    "TextTraining",
    "TimedEnergy",
    "ToTarget",
    "UnderStress",
    "Verdict",
]
