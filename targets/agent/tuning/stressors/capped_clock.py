"""A capped clock: the CPU's highest frequency is lowered to a share of what it can, on every cluster."""

from typing import Any, Dict, Optional, Sequence

from tunebench.targets.agent.job.stress import Figures
from tunebench.targets.agent.tuning.cpufreq import POLICIES, Frequency, number, offered_khz
from tunebench.targets.agent.tuning.operation import Look
from tunebench.targets.agent.tuning.stressors.kind import Key, Kind, Params, Place
from tunebench.targets.agent.tuning.stressors.operation import OperationStressor, not_permitted
from tunebench.targets.agent.tuning.system import System


class Cap(Frequency):
    """``max_percent``: the highest step that is not above so many percent of the cluster's own maximum."""

    keys: Sequence[str] = ("max_percent",)

    def look_at(self, system: System, policy: str, wanted: Dict[str, Any]) -> Look:
        """Look at one cluster; its minimum comes down with the maximum where it would lie above."""
        most = (
            number(system, policy + "/cpuinfo_max_freq") or number(system, policy + "/scaling_max_freq") or 0
        )
        limit = most * int(wanted["max_percent"]) // 100
        offered = offered_khz(system, policy)
        cap = max([step for step in offered if step <= limit] or offered[:1] or [limit])
        low = number(system, policy + "/scaling_min_freq") or cap
        return super().look_at(system, policy, {"min_freq_khz": min(low, cap), "max_freq_khz": cap})


class CappedClock(OperationStressor):
    """A lower limit of the clock, read back from cpufreq."""

    def __init__(self, params: Params, place: Place) -> None:
        super().__init__(Cap(), dict(params), place)

    def figures(self, system: System) -> Figures:
        """Return the highest limit of all clusters."""
        limits = [number(system, name) or 0 for name in system.find(POLICIES + "/scaling_max_freq")]
        return {"max_freq_hz": 1e3 * max(limits)}


def _absent(params: Params, place: Place) -> Optional[str]:
    return not_permitted(Cap(), dict(params), place)


KIND = Kind(
    {"max_percent": Key(50, 10, 99, about="percent of each cluster's highest frequency")},
    CappedClock,
    _absent,
)
