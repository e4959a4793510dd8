"""Background load: so many processes that compute without a pause beside the workload, at its own priority."""

import subprocess
import time
from typing import List, Optional

from tunebench.targets.agent.job.stress import Figures, StressError, Stressor
from tunebench.targets.agent.tuning.stressors import children
from tunebench.targets.agent.tuning.stressors.kind import Key, Kind, Params, Place

#: CPU time that each process has used before it counts as running: five ticks of 10 ms.
_RUNNING_S = 0.05


class BackgroundLoad(Stressor):
    """Busy processes, verified by the CPU time that they really get."""

    def __init__(self, params: Params, place: Place) -> None:
        self._n = int(params["processes"])
        self._place = place
        self._children: "List[subprocess.Popen[bytes]]" = []
        self._since_s = 0.0
        self._used_s = 0.0

    def apply(self) -> Figures:
        """Start the processes and wait until each has computed."""
        for _ in range(self._n):
            self._children.append(
                children.start("tunebench.targets.agent.tuning.stressors.busy", [], self._place)
            )
        for child in self._children:
            children.first_line(child)
        give_up_s = time.monotonic() + children.START_S
        while min(self._cpu_s()) < _RUNNING_S:
            if time.monotonic() > give_up_s:
                raise StressError("not all of its processes get CPU time")
            time.sleep(0.02)
        self._since_s, self._used_s = time.monotonic(), sum(self._cpu_s())
        return {"processes": float(self._n)}

    def verify(self) -> Figures:
        """Return the cores that the load has used from its start until now."""
        used_s = sum(self._cpu_s()) - self._used_s
        return {
            "processes": float(self._n),
            "load_cores": used_s / max(1e-9, time.monotonic() - self._since_s),
        }

    def remove(self) -> None:
        """Kill the processes."""
        children.end(self._children)

    def _cpu_s(self) -> List[float]:
        """Return the CPU time of each process; raise StressError if one has ended."""
        used = [None if child.poll() is not None else children.cpu_s(child.pid) for child in self._children]
        alive = [value for value in used if value is not None]
        if len(alive) < self._n:
            raise StressError("%d of its %d processes have ended" % (self._n - len(alive), self._n))
        return alive


def _absent(_params: Params, _place: Place) -> Optional[str]:
    return None


KIND = Kind(
    {"processes": Key(1, 1, 64, about="processes that compute without a pause")}, BackgroundLoad, _absent
)
