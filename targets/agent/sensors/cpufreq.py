"""CPU frequency: as the kernel believes it, its cap, and as a Raspberry Pi's firmware measures it.

The firmware may run slower than the kernel says. Sources: Documentation/admin-guide/pm/cpufreq.rst
(``scaling_cur_freq``, ``scaling_max_freq``, kHz); ``vcgencmd measure_clock arm`` (counts pulses for 1 ms: +-1 kHz).
"""

import os
from typing import List, Optional

from tunebench.targets.agent import formats
from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor
from tunebench.targets.agent.sensors.firmware import Firmware

_FOLDER = "sys/devices/system/cpu/cpufreq/policy*/"
_PATTERN = _FOLDER + "scaling_cur_freq"
#: A policy covers a cluster on ARM but one CPU on x86; so many are read.
_MAX_POLICIES = 8
#: A measurement takes the firmware 11 ms and wakes a core.
_MEASURE_EVERY_S = 1.0


def discover(root: str = "/") -> Discovery:
    """Look for ``cpu_freq_hz`` and its cap ``cpu_freq_cap_hz``: of the fastest cluster (a single thread is put there);
    ``cpu_clock_hz`` where the firmware measures it."""
    files = _readable(root, "scaling_cur_freq")
    if not files:
        return Discovery([], {"freq_hz": "no readable CPU frequency: looked for " + _PATTERN})
    source = "cpufreq scaling_cur_freq, fastest of %d" % len(files)
    sensors = [_fastest("cpu_freq_hz", source, files, 0.0)]
    caps = _readable(root, "scaling_max_freq")
    if caps:
        sensors.append(_fastest("cpu_freq_cap_hz", "cpufreq scaling_max_freq", caps, _MEASURE_EVERY_S))
    if "Raspberry Pi" in (text_of(os.path.join(root, "proc/device-tree/model")) or ""):
        measured = _measured(Firmware(root))
        if measured is not None:
            sensors.append(measured)
    return Discovery(sensors, {})


def _readable(root: str, name: str) -> List[File]:
    files = [File(path) for path in find(root, _FOLDER + name)]
    return [file for file in files if file.number() is not None][:_MAX_POLICIES]


def _fastest(identifier: str, source: str, files: List[File], every_s: float) -> Sensor:
    def read() -> List[Optional[float]]:
        values = [value for value in (file.number(1e3) for file in files) if value]
        return [max(values) if values else None]

    return Sensor([Channel(identifier, "cpu", "frequency", "Hz", None, source, None)], read, every_s)


def _measured(firmware: Firmware) -> Optional[Sensor]:
    def clock(text: str) -> Optional[float]:
        frequencies = [
            entry["value"]
            for entry in formats.read("vcgencmd", text).channels
            if entry["kind"] == "frequency"
        ]
        return frequencies[0] if frequencies else None

    ask = ["measure_clock", "arm"]
    if clock(firmware.ask_once(ask).out) is None:
        return None
    source = "measure_clock arm (%s)" % firmware.route
    channel = Channel("cpu_clock_hz", "cpu", "frequency", "Hz", None, source, 1e3)
    return Sensor([channel], lambda: [clock(firmware.ask(ask).out)], _MEASURE_EVERY_S)
