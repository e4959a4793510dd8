"""Temperatures: thermal zones, and hwmon where a PC has no zone.

Zones are known by their type, never by number. They are in thousandths of a degree; some vendors' kernels of the 3.x
series give whole degrees, and are told from the others by their numbers (:func:`degrees`). -256 C is Jetson's way of
saying that a sensor is off, an empty answer or EAGAIN that of the zone of an engine without power, ``PMIC-Die`` is a
constant there: none is a value. A zone that is off now is sampled: it may wake up with the workload.
Source: Documentation/driver-api/thermal/sysfs-api.rst.
"""

import os
import re
from typing import Dict, List, NamedTuple, Optional, Pattern, Tuple

from tunebench.targets.agent.linux.sysfs import NO_ANSWER, File, bounded, find, text_of
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
_OFF = "the sensor is off (-256 C)"
#: A chip that runs is within.
_SANE_C = (-50.0, 150.0)
#: Below so many thousandths a number is no temperature of a running board, unless it is frozen.
_LEAST_RAW = 1000


class Zone(NamedTuple):
    """A place whose temperature can be read; ``reason`` if it has none now, ``sleeps`` if that may change."""

    kind: str
    path: str
    reason: Optional[str]
    sleeps: bool


def discover(root: str = "/") -> Discovery:
    """Look for ``cpu_temp_c``; ``gpu_temp_c`` and ``tj_temp_c`` (junction) where there are such zones.

    What is off now has a channel and, under its name, the reason why it has no value yet.
    """
    all_zones = _zones(root) + _hwmon(root)
    zones = [zone for zone in all_zones if zone.reason is None]
    asleep = [zone for zone in all_zones if zone.sleeps]
    missing = {}
    chosen = _cpu(zones) or _cpu(asleep) or next(iter(zones + asleep), None)
    sensors = [] if chosen is None else [_sensor("cpu", chosen)]
    for site, pattern in (("gpu", _GPU), ("tj", _JUNCTION)):
        zone = _first(zones, pattern) or _first(asleep, pattern)
        dead = _first(all_zones, pattern)
        if zone is not None and zone != chosen:
            sensors.append(_sensor(site, zone))
        if dead is not None and (zone is None or zone.reason is not None):
            dead = zone or dead
            missing[site + "_temp_c"] = "zone %s: %s" % (dead.kind, dead.reason)
    if zones:
        return Discovery(sensors, missing)
    missing["temp_c"] = "no readable temperature: " + (
        "; ".join("zone %s: %s" % (zone.kind, zone.reason) for zone in all_zones)
        or "looked for sys/class/thermal/thermal_zone*/temp and hwmon (%s)" % ", ".join(_HWMON_CPU)
    )
    return Discovery(sensors, missing)


def degrees(raw: int) -> Tuple[Optional[float], Optional[str]]:
    """Return what a zone's number means in C, or why it means nothing.

    The kernel gives thousandths. A number from 1 to 150 would be less than 0.15 C: it is whole degrees. One of up to
    three digits beyond that may be tenths, or frost: it is not guessed.

    >>> degrees(48312), degrees(88)
    ((48.312, None), (88.0, None))
    >>> degrees(485)
    (None, '485 is neither thousandths of a degree nor whole degrees of a board that runs')
    """
    if raw == _SENSOR_OFF_C * 1000 or raw == _SENSOR_OFF_C:
        return None, _OFF
    if 0 < raw <= _SANE_C[1]:
        return float(raw), None
    if abs(raw) < _LEAST_RAW:
        return None, "%d is neither thousandths of a degree nor whole degrees of a board that runs" % raw
    celsius = raw / 1e3
    if not _SANE_C[0] < celsius < _SANE_C[1]:
        return None, "%g C cannot be" % celsius
    return celsius, None


def _cpu(zones: List[Zone]) -> Optional[Zone]:
    """Return what stands for the CPU."""
    return next((zone for regex in _CPU for zone in zones if regex.search(zone.kind)), None)


def _zones(root: str) -> List[Zone]:
    zones = []
    for path in find(root, "sys/class/thermal/thermal_zone*/temp"):
        kind = text_of(os.path.join(os.path.dirname(path), "type")) or ""
        if not _IGNORED.search(kind):
            zones.append(_zone(kind, path))
    return zones


def _hwmon(root: str) -> List[Zone]:
    zones = []
    for path in find(root, "sys/class/hwmon/hwmon*/temp1_input"):
        name = text_of(os.path.join(os.path.dirname(path), "name")) or ""
        if name in _HWMON_CPU:
            zones.append(_zone("cpu " + name, path))
    return zones


def _first(zones: List[Zone], pattern: "Pattern[str]") -> Optional[Zone]:
    return next((zone for zone in zones if pattern.search(zone.kind)), None)


def _zone(kind: str, path: str) -> Zone:
    """Return a zone with the reason why its file gives no temperature now; without one if it does."""
    late = (None, "no answer: the read blocks")
    reason: Optional[str] = bounded(lambda: _read(File(path)), FIRST_READ_S, late)[1]
    return Zone(kind, path, reason, _sleeps(reason))


def _sleeps(reason: Optional[str]) -> bool:
    """Tell whether a reason is that of a sensor, or of an engine, that is switched off."""
    return reason == _OFF or reason in NO_ANSWER


def _read(file: File) -> Tuple[Optional[float], Optional[str]]:
    value = file.number()
    if value is None:
        return None, file.error
    return degrees(int(value))


class _Temperature(Sensor):
    """One zone; ``may_sleep`` if it is that of an engine whose power comes and goes."""

    def __init__(self, channel: Channel, file: File, may_sleep: bool) -> None:
        self._file = file
        self._may_sleep = may_sleep
        super().__init__([channel])

    def read(self) -> List[Optional[float]]:
        value, self.reason = _read(self._file)
        if self.reason in NO_ANSWER and not self._may_sleep:
            value, self.reason = _read(self._file)  # a busy Jetson's BPMP answers EAGAIN now and then
        self.asleep = self._may_sleep and _sleeps(self.reason)
        return [value]


def _sensor(site: str, zone: Zone) -> Sensor:
    source = "thermal %s" % (zone.kind or os.path.basename(os.path.dirname(zone.path)))
    channel = Channel(site + "_temp_c", site, "temperature", "C", None, source, None)
    return _Temperature(channel, File(zone.path), site == "gpu" or zone.sleeps)


def kinds(root: str = "/") -> Dict[str, Optional[str]]:
    """Return every zone's type -> why it gives no value (``None`` if it does): for people who look at a board."""
    return {zone.kind: zone.reason for zone in _zones(root)}
