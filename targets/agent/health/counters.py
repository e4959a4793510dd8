"""Signs that a board was under strain, read once before and once after a repetition.

Plain numbers by name: kernel counters of swapping and OOM kills, the Raspberry Pi's throttle bits, the
frequency cap, states of cooling devices, over-current alarms and counters, and the three clocks, whose
differences tell a clock that was stepped and a board that slept. Unreadable is null.

Sources: proc_vmstat(5); Documentation/driver-api/thermal/sysfs-api.rst; Documentation/admin-guide/pm/cpufreq.rst;
Documentation/hwmon/ina3221.rst (``curr*_crit_alarm``, ``curr*_max_alarm``); NVIDIA's soctherm over-current
counters (``oc*_throt_cnt``, from L4T 36 on ``oc*_event_cnt``, which throttle where ``oc*_throt_en`` is not 0);
clock_gettime(2).
"""

import os
import time
from typing import Dict, List, Optional

from tunebench.targets.agent.linux import cooling
from tunebench.targets.agent.linux.sysfs import bounded, find, text_of
from tunebench.targets.agent.sensors import cpufreq, memory, throttled

Strain = Dict[str, Optional[int]]

COOLING = "cooling: "
OVER_CURRENT = "over-current: "
_CLOCKS = (("realtime_ns", 0), ("monotonic_ns", 1), ("boottime_ns", 7))  # clock_gettime(2)
_ALARMS = ("curr*_crit_alarm", "curr*_max_alarm", "oc*_throt_cnt", "oc*_event_cnt")
_MAX_ENTRIES = 48
#: On a healthy board it takes milliseconds.
_TIMEOUT_S = 5.0


def read(root: str = "/") -> Strain:
    """Read all signs of strain now; only the clocks if a driver of the board hangs."""
    table: Strain = bounded(lambda: _files(root), _TIMEOUT_S, {})
    table.update(clocks())
    return table


def _files(root: str) -> Strain:
    strain: Strain = dict(memory.counters(root))
    strain["throttled"] = _throttled(root)
    strain["freq_cap_khz"] = _largest(root, "scaling_max_freq")
    strain["freq_hw_khz"] = _largest(root, "cpuinfo_max_freq")
    for table in (_cooling(root), _over_current(root)):
        strain.update(sorted(table.items())[:_MAX_ENTRIES])
    return strain


def clocks() -> Strain:
    """Read the clocks side by side: real time, CLOCK_MONOTONIC, CLOCK_BOOTTIME (which counts sleep too)."""
    return {name: int(time.clock_gettime(number) * 1e9) for name, number in _CLOCKS}


def _throttled(root: str) -> Optional[int]:
    sensors = throttled.discover(root).sensors
    flags = [sensor.read()[0] for sensor in sensors if sensor.channels[0].id == "throttled"]
    return int(flags[0]) if flags and flags[0] is not None else None


def _largest(root: str, name: str) -> Optional[int]:
    """Return the largest value of all CPU clusters: a single thread is put on the fastest."""
    values = _numbers(cpufreq.paths(root, name)).values()
    return max(values) if values else None


def _cooling(root: str) -> Strain:
    """Return state by type of every cooling device that could slow the board; the highest where a type has several."""
    kinds = {path: kind for kind, path in cooling.states(root)}
    states: Strain = {}
    for path, state in _numbers(list(kinds)).items():
        name = COOLING + kinds[path][:40]
        states[name] = max(state, states.get(name) or 0)
    return states


def _over_current(root: str) -> Strain:
    """Return over-current alarms (0 or 1) and counts by ``<driver> <label or file>``."""
    counts: Strain = {}
    for pattern in _ALARMS:
        for path, value in _numbers(find(root, "sys/class/hwmon/hwmon*/" + pattern)).items():
            folder, name = os.path.split(path)
            if name.endswith("_event_cnt") and text_of(path[: -len("event_cnt")] + "throt_en") == "0":
                continue
            driver = text_of(os.path.join(folder, "name")) or os.path.basename(folder)
            rail = (
                text_of(os.path.join(folder, "in%s_label" % name[4:].split("_")[0]))
                if name[:4] == "curr"
                else None
            )
            counts["%s%s %s" % (OVER_CURRENT, driver, "%s %s" % (rail, name) if rail else name)] = value
    return counts


def _numbers(paths: List[str]) -> Dict[str, int]:
    numbers = {}
    for path in paths:
        text = text_of(path)
        try:
            numbers[path] = int(text or "")
        except ValueError:
            continue
    return numbers
