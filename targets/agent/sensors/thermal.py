"""Temperatures: thermal zones, and hwmon where a PC has no zone.

Zones are known by their type, never by number. -256 C is Jetson's way of saying that a sensor is off, ``PMIC-Die``
is a constant there: neither is a value. Source: Documentation/driver-api/thermal/sysfs-api.rst.
"""

import os
import re
from typing import Dict, List, NamedTuple, Optional, Pattern

from tunebench.targets.agent.linux.sysfs import File, bounded, find, text_of
from tunebench.targets.agent.sensors.base import FIRST_READ_S, Channel, Discovery, Sensor

#: What stands for the CPU, the best first.
_CPU = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        r"cpu[-_]?therm|^cpu|[bm]cpu|x86_pkg_temp|bigcore",
        r"^tj\b",
        r"soc\d*[-_]?therm|package",
    )
)
_GPU = re.compile(r"gpu", re.IGNORECASE)
#: The highest of all, by the chip's own reckoning: what its fan and its throttling go by.
_JUNCTION = re.compile(r"^tj\b", re.IGNORECASE)
_IGNORED = re.compile(r"pmic|batt|wifi|iwlwifi|pch", re.IGNORECASE)
_HWMON_CPU = ("coretemp", "k10temp", "cpu_thermal")
_SENSOR_OFF_C = -256.0


class Zone(NamedTuple):
    """A place whose temperature can be read; ``reason`` if it has none now."""

    kind: str
    path: str
    reason: Optional[str]


def discover(root: str = "/") -> Discovery:
    """Look for ``cpu_temp_c``; ``gpu_temp_c`` and ``tj_temp_c`` (junction) where there are such zones."""
    all_zones = _zones(root) + _hwmon(root)
    zones = [zone for zone in all_zones if zone.reason is None]
    missing = {}
    chosen = next((zone for regex in _CPU for zone in zones if regex.search(zone.kind)), None)
    chosen = chosen or (zones[0] if zones else None)
    sensors = [] if chosen is None else [_sensor("cpu", chosen)]
    for site, pattern in (("gpu", _GPU), ("tj", _JUNCTION)):
        zone = _first(zones, pattern)
        dead = _first(all_zones, pattern)
        if zone is not None and zone != chosen:
            sensors.append(_sensor(site, zone))
        elif zone is None and dead is not None:
            missing[site + "_temp_c"] = "zone %s: %s" % (dead.kind, dead.reason)
    if sensors:
        return Discovery(sensors, missing)
    missing["temp_c"] = "no readable temperature: " + (
        "; ".join("zone %s: %s" % (zone.kind, zone.reason) for zone in all_zones)
        or "looked for sys/class/thermal/thermal_zone*/temp and hwmon (%s)" % ", ".join(_HWMON_CPU)
    )
    return Discovery([], missing)


def _zones(root: str) -> List[Zone]:
    zones = []
    for path in find(root, "sys/class/thermal/thermal_zone*/temp"):
        kind = text_of(os.path.join(os.path.dirname(path), "type")) or ""
        if not _IGNORED.search(kind):
            zones.append(Zone(kind, path, _why_not(path)))
    return zones


def _hwmon(root: str) -> List[Zone]:
    zones = []
    for path in find(root, "sys/class/hwmon/hwmon*/temp1_input"):
        name = text_of(os.path.join(os.path.dirname(path), "name")) or ""
        if name in _HWMON_CPU:
            zones.append(Zone("cpu " + name, path, _why_not(path)))
    return zones


def _first(zones: List[Zone], pattern: "Pattern[str]") -> Optional[Zone]:
    return next((zone for zone in zones if pattern.search(zone.kind)), None)


def _why_not(path: str) -> Optional[str]:
    """Return why a file gives no temperature now; ``None`` if it does."""
    reason: Optional[str] = bounded(lambda: _read(File(path))[1], FIRST_READ_S, "no answer: the read blocks")
    return reason


def _read(file: File) -> "tuple[Optional[float], Optional[str]]":
    value = file.number(1e-3)
    if value is None:
        return None, file.error
    if value == _SENSOR_OFF_C:
        return None, "the sensor is off (-256 C)"
    if not -50.0 < value < 150.0:
        return None, "%g C cannot be" % value
    return value, None


class _Temperature(Sensor):
    def __init__(self, channel: Channel, file: File) -> None:
        self._file = file
        super().__init__([channel])

    def read(self) -> List[Optional[float]]:
        value, self.reason = _read(self._file)
        return [value]


def _sensor(site: str, zone: Zone) -> Sensor:
    source = "thermal %s" % (zone.kind or os.path.basename(os.path.dirname(zone.path)))
    channel = Channel(site + "_temp_c", site, "temperature", "C", None, source, None)
    return _Temperature(channel, File(zone.path))


def kinds(root: str = "/") -> Dict[str, Optional[str]]:
    """Return every zone's type -> why it gives no value (``None`` if it does): for people who look at a board."""
    return {zone.kind: zone.reason for zone in _zones(root)}
