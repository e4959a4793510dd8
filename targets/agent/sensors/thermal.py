"""Temperatures: thermal zones, and hwmon where a PC has no zone.

Zones are known by their type, never by number; Jetson's ``PMIC-Die`` is a constant and is left out.
Source: Documentation/driver-api/thermal/sysfs-api.rst.
"""

import os
import re
from typing import List, Optional, Tuple

from targets.agent.sensors.base import Channel, File, Found, Sensor, find, text_of

_CPU = re.compile(r"(cpu[-_]?therm|cpu\b|[bm]cpu|x86_pkg_temp|soc[-_]?therm|bigcore|package)", re.IGNORECASE)
_GPU = re.compile(r"gpu", re.IGNORECASE)
_IGNORED = re.compile(r"pmic|batt|wifi|iwlwifi|pch", re.IGNORECASE)
_HWMON_CPU = ("coretemp", "k10temp", "cpu_thermal")


def discover(root: str = "/") -> Found:
    """``cpu_temp_c``, and ``gpu_temp_c`` where there is such a zone."""
    zones = _zones(root) + _hwmon(root)
    sensors = []
    chosen = _first(zones, _CPU) or (zones[0] if zones else None)
    if chosen is not None:
        sensors.append(_sensor("cpu", chosen))
    gpu = _first(zones, _GPU)
    if gpu is not None and gpu != chosen:
        sensors.append(_sensor("gpu", gpu))
    if sensors:
        return Found(sensors, {})
    where = "sys/class/thermal/thermal_zone*/temp and hwmon (%s)" % ", ".join(_HWMON_CPU)
    return Found([], {"temp_c": "no readable temperature: looked for " + where})


def _zones(root: str) -> List[Tuple[str, str]]:
    """(type, file) of every zone that reads sane now: -256 C is Jetson's way of saying 'off'."""
    zones = []
    for path in find(root, "sys/class/thermal/thermal_zone*/temp"):
        kind = text_of(os.path.join(os.path.dirname(path), "type")) or ""
        if not _IGNORED.search(kind) and _celsius(File(path)) is not None:
            zones.append((kind, path))
    return zones


def _hwmon(root: str) -> List[Tuple[str, str]]:
    found = []
    for path in find(root, "sys/class/hwmon/hwmon*/temp1_input"):
        name = text_of(os.path.join(os.path.dirname(path), "name")) or ""
        if name in _HWMON_CPU and _celsius(File(path)) is not None:
            found.append(("cpu " + name, path))
    return found


def _first(zones: List[Tuple[str, str]], pattern: "re.Pattern[str]") -> Optional[Tuple[str, str]]:
    return next((zone for zone in zones if pattern.search(zone[0])), None)


def _celsius(file: File) -> Optional[float]:
    value = file.number(1e-3)
    return value if value is not None and -50.0 < value < 150.0 else None


def _sensor(site: str, zone: Tuple[str, str]) -> Sensor:
    kind, path = zone
    file = File(path)
    source = "thermal %s" % (kind or os.path.basename(os.path.dirname(path)))
    return Sensor(
        [Channel(site + "_temp_c", site, "temperature", "C", None, source, None)], lambda: [_celsius(file)]
    )
