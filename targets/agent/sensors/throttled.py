"""Raspberry Pi's under-voltage and throttling bits.

Bits 0-3: now (under-voltage, frequency capped, throttled, soft temperature limit); 16-19: since boot.
Source: raspberrypi/linux drivers/firmware/raspberrypi.c (``get_throttled``, hexadecimal without 0x) and the
``vcgencmd`` documentation. The Zero family has no under-voltage detector.
"""

from typing import List, Optional

from targets.agent.sensors.base import Channel, File, Found, Sensor, find

_PATTERNS = (
    "sys/devices/platform/soc*/*firmware*/get_throttled",
    "sys/devices/platform/*firmware*/get_throttled",
)
NAMES = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def discover(root: str = "/") -> Found:
    """``throttled`` (bits)."""
    for pattern in _PATTERNS:
        for path in find(root, pattern):
            if File(path).number(base=16) is not None:
                return Found([_sensor(File(path))], {})
    return Found([], {"throttled": "no readable throttle flags: looked for " + " and ".join(_PATTERNS)})


def _sensor(file: File) -> Sensor:
    channel = Channel("throttled", "board", "throttle", "bits", None, "get_throttled", None)
    return Sensor([channel], lambda: [file.number(base=16)])


def seen(before: Optional[int], bits: int) -> List[str]:
    """Names of what was true at some time.

    Args:
        before: the flags before the run; a since-boot flag that was set then proves nothing.
        bits: all flags of all samples of the run, or-ed.
    """
    fresh = bits | (bits & ~(before or 0)) >> 16
    return [name for bit, name in sorted(NAMES.items()) if fresh >> bit & 1]
