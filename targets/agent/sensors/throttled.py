"""Signs of throttling: Raspberry Pi's flags and supply alarm, cooling devices, over-current alarms.

Flags: bits 0-3 now (under-voltage, frequency capped, throttled, soft temperature limit), 16-19 since boot; the
Zero family has no under-voltage detector. Sources: raspberrypi/linux drivers/firmware/raspberrypi.c
(``get_throttled``, hexadecimal without 0x), drivers/hwmon/raspberrypi-hwmon.c (the alarm tells the last 2 s),
Documentation/driver-api/thermal/sysfs-api.rst, Documentation/hwmon/ina3221.rst.
"""

import os
from typing import List, Optional, Tuple

from tunebench.targets.agent.formats import throttled as flags
from tunebench.targets.agent.linux import cooling
from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, FileSensor, Discovery, Sensor
from tunebench.targets.agent.sensors.firmware import Firmware

_PATTERNS = (
    "sys/devices/platform/soc*/*firmware*/get_throttled",
    "sys/devices/platform/*firmware*/get_throttled",
)
NAMES = flags.NAMES
#: The flags remember; alarms hold for 2 s: reading them once a second misses nothing and costs little.
EVERY_S = 1.0
_MAX_FILES = 24


def discover(root: str = "/") -> Discovery:
    """Look for ``throttled`` (bits) first, then ``undervoltage``, ``cooling_state`` and ``over_current``."""
    sensors = []
    missing = {}
    bits, said = _flags(root)
    if bits is not None:
        sensors.append(bits)
    else:
        missing["throttled"] = "no readable throttle flags: looked for %s and vcgencmd get_throttled%s" % (
            " and ".join(_PATTERNS),
            "; " + said if said else "",
        )
    for sensor in (_undervoltage(root), _cooling(root), _over_current(root)):
        if sensor is not None:
            sensors.append(sensor)
    return Discovery(sensors, missing)


def _flags(root: str) -> Tuple[Optional[Sensor], Optional[str]]:
    """Return the flags' sensor, or why the firmware of a Raspberry Pi tells none."""
    for pattern in _PATTERNS:
        for path in find(root, pattern):
            if File(path).number(base=16) is not None:
                return FileSensor(_channel("get_throttled", root), File(path), base=16, every_s=EVERY_S), None
    if "Raspberry Pi" not in (text_of(os.path.join(root, "proc/device-tree/model")) or ""):
        return None, None
    firmware = Firmware(root)
    said = firmware.ask_once(["get_throttled"])
    if flags.bits_of(said.out) is None:
        return None, said.reason or flags.parse(said.out).reason
    sensor = Sensor(
        [_channel("get_throttled (%s)" % firmware.route, root)],
        lambda: [flags.bits_of(firmware.ask(["get_throttled"]).out)],
        EVERY_S,
    )
    return sensor, None


def _channel(source: str, root: str) -> Channel:
    if "Zero" in (text_of(os.path.join(root, "proc/device-tree/model")) or ""):
        source += "; this board detects no under-voltage"
    return Channel("throttled", "board", "throttle", "bits", None, source, None)


def _undervoltage(root: str) -> Optional[Sensor]:
    for path in find(root, "sys/class/hwmon/hwmon*/in0_lcrit_alarm"):
        name = text_of(os.path.join(os.path.dirname(path), "name"))
        if name == "rpi_volt" and File(path).number() is not None:
            channel = Channel("undervoltage", "board", "throttle", "1", None, "rpi_volt in0_lcrit_alarm", 1.0)
            return FileSensor(channel, File(path), every_s=EVERY_S)
    return None


def _cooling(root: str) -> Optional[Sensor]:
    """Return a sensor for the highest state of all devices that cool by slowing down."""
    files = [File(path) for _, path in cooling.states(root) if File(path).number() is not None]
    source = "cooling devices that slow the board, highest cur_state of %d" % len(files)
    return _highest("cooling_state", source, files) if files else None


def _over_current(root: str) -> Optional[Sensor]:
    """Return a sensor that is 1 while a monitored rail is above its limit; the exit record has the chip's own counts."""
    files = []
    for pattern in ("curr*_crit_alarm", "curr*_max_alarm"):
        for path in find(root, "sys/class/hwmon/hwmon*/" + pattern):
            if "ina3221" in (text_of(os.path.join(os.path.dirname(path), "name")) or ""):
                files.append(File(path))
    files = [file for file in files if file.number() is not None]
    return _highest("over_current", "ina3221 curr*_crit_alarm, curr*_max_alarm", files) if files else None


def _highest(identifier: str, source: str, files: List[File]) -> Sensor:
    files = files[:_MAX_FILES]

    def read() -> List[Optional[float]]:
        values = [value for value in (file.number() for file in files) if value is not None]
        return [max(values) if values else None]

    channel = Channel(identifier, "board", "throttle", "1", None, source, 1.0)
    return Sensor([channel], read, EVERY_S)


def seen(before: Optional[int], bits: int) -> List[str]:
    """Return the names of the flags that were set at some time during the run.

    Args:
        before: the flags before the run; a since-boot flag that was set then proves nothing.
        bits: all flags of all samples of the run, or-ed.
    """
    fresh = bits | (bits & ~(before or 0)) >> 16
    return [name for bit, name in sorted(NAMES.items()) if fresh >> bit & 1]
