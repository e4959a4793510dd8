"""CPU frequency: as the kernel believes it, its cap, and as a Raspberry Pi's firmware measures it.

The firmware may run slower than the kernel says. Sources: Documentation/admin-guide/pm/cpufreq.rst
(``scaling_cur_freq``, ``scaling_max_freq``, kHz); ``vcgencmd measure_clock arm`` (counts pulses for 1 ms: +-1 kHz).
"""

import os
from typing import Dict, List, Optional, Tuple

from tunebench.targets.agent import formats
from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor
from tunebench.targets.agent.sensors.firmware import Firmware

#: Kernels before 4.3 have no folder for a policy, but one in each CPU's.
FOLDERS = ("sys/devices/system/cpu/cpufreq/policy*/", "sys/devices/system/cpu/cpu[0-9]*/cpufreq/")
_PATTERN = FOLDERS[0] + "scaling_cur_freq"
#: A policy covers a cluster on ARM but one CPU on x86; so many are read.
_MAX_POLICIES = 8
#: A measurement takes the firmware 11 ms and wakes a core.
_MEASURE_EVERY_S = 1.0


def discover(root: str = "/") -> Discovery:
    """Look for ``cpu_freq_hz`` and its cap ``cpu_freq_cap_hz``: of the fastest cluster (a single thread is put there);
    ``cpu_clock_hz`` where the firmware measures it."""
    sensors = []
    files = _readable(root, "scaling_cur_freq")
    if files:
        source = "cpufreq scaling_cur_freq, fastest of %d" % len(files)
        sensors.append(_fastest("cpu_freq_hz", source, files, 0.0))
    caps = _readable(root, "scaling_max_freq")
    if caps:
        sensors.append(_fastest("cpu_freq_cap_hz", "cpufreq scaling_max_freq", caps, _MEASURE_EVERY_S))
    missing: Dict[str, str] = {}
    measured: Optional[Sensor] = None
    if "Raspberry Pi" in (text_of(os.path.join(root, "proc/device-tree/model")) or ""):
        measured, reason = _measured(Firmware(root))
        if measured is not None:
            sensors.append(measured)
        else:
            missing["cpu_clock_hz"] = "the firmware measures no clock: %s" % reason
    if not files:
        # What is missing is the kernel's frequency where the firmware tells the true one, else all of it.
        quantity = "freq_hz" if measured is None else "cpu_freq_hz"
        missing[quantity] = "no readable CPU frequency: looked for " + _PATTERN
    return Discovery(sensors, missing)


def _readable(root: str, name: str) -> List[File]:
    files = [File(path) for path in paths(root, name)]
    return [file for file in files if file.number() is not None][:_MAX_POLICIES]


def paths(root: str, name: str) -> List[str]:
    """Return a file of each CPU cluster (policy)."""
    listed = (find(root, folder + name) for folder in FOLDERS)
    return next((files for files in listed if files), [])


def _fastest(identifier: str, source: str, files: List[File], every_s: float) -> Sensor:
    def read() -> List[Optional[float]]:
        values = [value for value in (file.number(1e3) for file in files) if value]
        return [max(values) if values else None]

    return Sensor([Channel(identifier, "cpu", "frequency", "Hz", None, source, None)], read, every_s)


def _measured(firmware: Firmware) -> Tuple[Optional[Sensor], Optional[str]]:
    """Return the sensor of the clock that the firmware measures, or why it tells none."""

    def clock(text: str) -> Optional[float]:
        frequencies = [
            entry["value"]
            for entry in formats.read("vcgencmd", text).channels
            if entry["kind"] == "frequency"
        ]
        return frequencies[0] if frequencies else None

    ask = ["measure_clock", "arm"]
    said = firmware.ask_once(ask)
    if clock(said.out) is None:
        return None, said.reason or formats.read("vcgencmd", said.out).reason
    source = "measure_clock arm (%s)" % firmware.route
    channel = Channel("cpu_clock_hz", "cpu", "frequency", "Hz", None, source, 1e3)
    return Sensor([channel], lambda: [clock(firmware.ask(ask).out)], _MEASURE_EVERY_S), None
