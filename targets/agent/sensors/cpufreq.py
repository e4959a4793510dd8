"""CPU frequency, as the kernel believes it; a Raspberry Pi's firmware may run slower than it says.

Source: Documentation/admin-guide/pm/cpufreq.rst (``scaling_cur_freq``, kHz).
"""

from typing import List, Optional

from targets.agent.sensors.base import Channel, File, Found, Sensor, find

_PATTERN = "sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq"
#: A policy covers a cluster on ARM but one CPU on x86; so many are read.
_MAX_POLICIES = 8


def discover(root: str = "/") -> Found:
    """``cpu_freq_hz``: of the fastest cluster now (a single thread is put on the fast cores)."""
    files = [File(path) for path in find(root, _PATTERN)]
    files = [file for file in files if file.number() is not None][:_MAX_POLICIES]
    if not files:
        return Found([], {"freq_hz": "no readable CPU frequency: looked for " + _PATTERN})

    def read() -> List[Optional[float]]:
        values = [value for value in (file.number(1e3) for file in files) if value]
        return [max(values) if values else None]

    source = "cpufreq scaling_cur_freq, fastest of %d" % len(files)
    return Found([Sensor([Channel("cpu_freq_hz", "cpu", "frequency", "Hz", None, source, None)], read)], {})
