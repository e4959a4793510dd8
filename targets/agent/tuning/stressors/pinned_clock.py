"""A pinned clock around a workload: both limits of every CPU cluster at one frequency that it offers."""

from typing import Any, Dict, Optional

from tunebench.targets.agent.job.stress import Figures
from tunebench.targets.agent.tuning.cpufreq import POLICIES, Frequency, number
from tunebench.targets.agent.tuning.stressors.kind import Key, Kind, Params, Place
from tunebench.targets.agent.tuning.stressors.operation import OperationStressor, not_permitted
from tunebench.targets.agent.tuning.system import System


def _wanted(params: Params) -> Dict[str, Any]:
    return {"freq_khz": 1000 * int(params["mhz"])}


class PinnedClock(OperationStressor):
    """A frequency, read back from cpufreq."""

    def __init__(self, params: Params, place: Place) -> None:
        super().__init__(Frequency(), _wanted(params), place)

    def figures(self, system: System) -> Figures:
        """Return the limits that hold on all clusters: the lowest minimum and the highest maximum."""
        low = [number(system, name) or 0 for name in system.find(POLICIES + "/scaling_min_freq")]
        high = [number(system, name) or 0 for name in system.find(POLICIES + "/scaling_max_freq")]
        return {"min_freq_hz": 1e3 * min(low), "max_freq_hz": 1e3 * max(high)}


def _absent(params: Params, place: Place) -> Optional[str]:
    return not_permitted(Frequency(), _wanted(params), place)


KIND = Kind({"mhz": Key(1000, 1, 10000, about="MHz, a step that every cluster offers")}, PinnedClock, _absent)
