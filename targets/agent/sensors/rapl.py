"""Power of an x86 package from its energy counters, where they may be read.

A sample is the mean power since the sample before it. Domains overlap (package holds core), so only
packages are read. Source: Documentation/power/powercap/powercap.rst; root-only since CVE-2020-8694.
"""

import os
from typing import List, Optional

from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.protocol import monotonic_ns
from tunebench.targets.agent.sensors.base import Channel, Device, Discovery, Sensor

_PATTERN = "sys/class/powercap/intel-rapl:*/energy_uj"
DEVICES = (
    Device(
        _PATTERN,
        "RAPL: the package's energy (readable by root alone since CVE-2020-8694: it can leak secrets to other users)",
        None,
        'SUBSYSTEM=="powercap", KERNEL=="intel-rapl:*", RUN+="/bin/chmod a+r /sys%p/energy_uj"',
        False,
    ),
)


def discover(root: str = "/") -> Discovery:
    """Look for ``package_<N>_w``."""
    sensors = []
    refused = []
    for path in find(root, _PATTERN):
        folder = os.path.dirname(path)
        name = text_of(os.path.join(folder, "name")) or ""
        if not name.startswith("package"):
            continue
        if File(path).number() is None:
            refused.append(path)
            continue
        span_uj = File(os.path.join(folder, "max_energy_range_uj")).number()
        sensors.append(_sensor(name, File(path), span_uj))
    if sensors:
        return Discovery(sensors, {})
    why = "%s is readable by root only" % refused[0] if refused else "no power sensor: looked for " + _PATTERN
    return Discovery([], {"power": why})


def _sensor(name: str, file: File, span_uj: Optional[float]) -> Sensor:
    last: List[float] = []

    def read() -> List[Optional[float]]:
        energy_uj, now_ns = file.number(), monotonic_ns()
        if energy_uj is None:
            last.clear()
            return [None]
        watts = None
        if last:
            spent_uj = energy_uj - last[0]
            if spent_uj < 0 and span_uj:
                spent_uj += span_uj  # the counter wrapped
            passed_s = (now_ns - last[1]) / 1e9
            watts = spent_uj / 1e6 / passed_s if spent_uj >= 0 and passed_s > 0 else None
        last[:] = [energy_uj, now_ns]
        return [watts]

    site = name.replace("-", "_")
    channel = Channel(site + "_w", name, "power", "W", "soc_rail", "rapl, mean since the last sample", None)
    return Sensor([channel], read)
