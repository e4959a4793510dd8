"""Memory of the board and of one process, and the kernel's swap and OOM counters.

Peak memory is ``VmHWM`` of the workload's own process: ``ru_maxrss`` inherits the launcher's peak over fork
and exec. Sources: proc_pid_status(5), proc_meminfo(5), proc_vmstat(5).
"""

import os
import re
from typing import Dict, List, Optional

from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor

_FIELD = re.compile(r"^(\w+):?\s+(\d+)", re.MULTILINE)
#: It changes slowly.
_ZRAM_EVERY_S = 1.0
_COUNTERS = ("pswpin", "pswpout", "oom_kill")
_CHANNELS = (
    Channel("mem_available_b", "board", "memory", "B", None, "/proc/meminfo MemAvailable", 1024.0),
    Channel("swap_used_b", "board", "memory", "B", None, "/proc/meminfo SwapTotal - SwapFree", 1024.0),
)
#: Channel -> the lines that it is made from, and why a kernel may lack them.
_UNCOUNTED = {
    "mem_available_b": (
        ("MemAvailable",),
        "no MemAvailable in /proc/meminfo: kernels before 3.14 do not estimate it (proc_meminfo(5))",
    ),
    "swap_used_b": (
        ("SwapTotal", "SwapFree"),
        "no SwapTotal and SwapFree in /proc/meminfo: a kernel without swap",
    ),
}


def fields(text: Optional[str]) -> Dict[str, int]:
    """Return ``{"MemTotal": 123, ...}`` of a /proc table, in its own unit (kB or a count)."""
    return {name: int(value) for name, value in _FIELD.findall(text or "")}


def discover(root: str = "/") -> Discovery:
    """Look for ``mem_available_b`` and ``swap_used_b``; one that this kernel does not count has a reason, no channel."""
    file = File(os.path.join(root, "proc/meminfo"))
    names = fields(file.text())
    missing = {
        identifier: reason
        for identifier, (needed, reason) in _UNCOUNTED.items()
        if not all(name in names for name in needed)
    }
    if len(missing) == len(_UNCOUNTED):
        return Discovery([], {"mem_available_b": "no memory figures: looked for proc/meminfo"})
    channels = [channel for channel in _CHANNELS if channel.id not in missing]

    def read() -> List[Optional[float]]:
        table = fields(file.text())
        available, total, free = (table.get(name) for name in ("MemAvailable", "SwapTotal", "SwapFree"))
        values = {
            "mem_available_b": None if available is None else available * 1024,
            "swap_used_b": None if total is None or free is None else (total - free) * 1024,
        }
        return [values[channel.id] for channel in channels]

    return Discovery([Sensor(channels, read)] + _compressed(root), missing)


def _compressed(root: str) -> List[Sensor]:
    """Return ``zram_used_b``: memory that compressed swap takes; it hides how much a job needs."""
    files = [File(path) for path in find(root, "sys/block/zram*/mm_stat")]
    if not files:
        return []

    def read() -> List[Optional[float]]:
        # Documentation/admin-guide/blockdev/zram.rst: the third number is the memory used, all included
        fields_of = [(file.text() or "").split() for file in files]
        used = [int(words[2]) for words in fields_of if len(words) > 2 and words[2].isdigit()]
        return [float(sum(used)) if used else None]

    channel = Channel("zram_used_b", "board", "memory", "B", None, "zram mm_stat mem_used_total", 4096.0)
    return [Sensor([channel], read, _ZRAM_EVERY_S)]


class Process:
    """Resident memory of one process; the open file stays its own even if the id is reused."""

    def __init__(self, pid: int, root: str = "/") -> None:
        self._file = File(os.path.join(root, "proc", str(pid), "status"))
        self.peak_b: Optional[int] = None
        self.sensor = Sensor(
            [Channel("rss_b", "workload", "memory", "B", None, "/proc/PID/status VmRSS", 1024.0)], self._read
        )

    def _read(self) -> List[Optional[float]]:
        table = fields(self._file.text())
        peak = table.get("VmHWM")
        if peak is not None:
            self.peak_b = max(self.peak_b or 0, peak * 1024)
        return [table["VmRSS"] * 1024 if "VmRSS" in table else None]


def counters(root: str = "/") -> Dict[str, Optional[int]]:
    """Return pages swapped in and out and OOM kills since boot; ``None`` where this kernel does not count."""
    table = fields(text_of(os.path.join(root, "proc/vmstat")))
    return {name: table.get(name) for name in _COUNTERS}
