"""Low free memory: a process holds so much that only a given rest is available to the workload. Needs no root."""

import subprocess
from typing import List, Optional

from tunebench.targets.agent.job.stress import Figures, StressError, Stressor
from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.sensors import memory
from tunebench.targets.agent.tuning.stressors import children
from tunebench.targets.agent.tuning.stressors.hold import TOLERANCE_B, available_b
from tunebench.targets.agent.tuning.stressors.kind import Key, Kind, Params, Place
from tunebench.targets.agent.workdir import read_text

_MIB = 1 << 20
#: A slow board writes 50 MB/s and more into its memory.
_SLOWEST_B_S = 50e6
#: Held memory that the kernel has moved to swap is available again: so much of it must still be resident at the end.
_RESIDENT = 0.95


class LowMemory(Stressor):
    """Held memory, verified by what is resident of it and by what the kernel says is available."""

    def __init__(self, params: Params, place: Place) -> None:
        self._free_b = int(params["free_mib"]) * _MIB
        self._place = place
        self._children: "List[subprocess.Popen[bytes]]" = []
        self._held_b = 0

    def apply(self) -> Figures:
        """Hold memory, and read back what is available."""
        excess_b = _excess_b(self._free_b, self._place)
        words = [self._place.root, str(self._free_b), str(excess_b + TOLERANCE_B)]
        self._children.append(
            children.start("tunebench.targets.agent.tuning.stressors.hold", words, self._place)
        )
        line = children.first_line(self._children[0], children.START_S + excess_b / _SLOWEST_B_S)
        if not line.isdigit():
            raise StressError("the process that holds memory says: %s" % line[:200])
        self._held_b = int(line)
        figures = self._figures()
        # As far off as others may have taken or given back meanwhile.
        if abs(figures["available_b"] - self._free_b) > max(32 * _MIB, 0.1 * self._free_b):
            raise StressError(
                "%d MiB are available, %d were asked for: others take and give memory"
                % (figures["available_b"] // _MIB, self._free_b // _MIB)
            )
        return figures

    def verify(self) -> Figures:
        """Return what is held and available now; raise StressError if much of the held memory was swapped out."""
        figures = self._figures()
        if figures["held_b"] < _RESIDENT * self._held_b:
            raise StressError(
                "%d of %d MiB held were swapped out, and were available to the workload"
                % ((self._held_b - figures["held_b"]) // _MIB, self._held_b // _MIB)
            )
        return figures

    def remove(self) -> None:
        """Give the memory back."""
        children.end(self._children)

    def _figures(self) -> Figures:
        child = self._children[0]
        status = memory.fields(read_text("/proc/%d/status" % child.pid))
        available = available_b(self._place.root)
        if child.poll() is not None or "VmRSS" not in status or available is None:
            raise StressError("the process that holds memory has ended (status %s)" % child.poll())
        return {"held_b": 1024.0 * status["VmRSS"], "available_b": float(available)}


def _excess_b(free_b: int, place: Place) -> int:
    """Return how much must be held; raise StressError if that cannot be."""
    if not programs.is_real(place.root):
        raise StressError("the figures of its memory are a simulated tree's")
    available = available_b(place.root)
    if available is None:
        raise StressError("the kernel does not say how much memory is available")
    if available <= free_b:
        raise StressError(
            "only %d MiB are available anyway, %d asked for" % (available // _MIB, free_b // _MIB)
        )
    if place.most_b is not None and available - free_b > place.most_b:
        raise StressError(
            "%d MiB would have to be held, and of the host's own machine no more than %d are taken from others"
            % ((available - free_b) // _MIB, place.most_b // _MIB)
        )
    return available - free_b


def _absent(params: Params, place: Place) -> Optional[str]:
    try:
        _excess_b(int(params["free_mib"]) * _MIB, place)
    except StressError as error:
        return str(error)
    return None


KIND = Kind(
    {"free_mib": Key(256, 32, 1 << 20, about="MiB of memory that stay available when the workload starts")},
    LowMemory,
    _absent,
    is_data=("swapped",),
)
