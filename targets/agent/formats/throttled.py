"""Raspberry Pi's throttle flags: ``throttled=0x50005``, or the sysfs file's ``50005`` (hexadecimal without 0x).

Bits 0-3: now; 16-19: since boot. Source: Raspberry Pi documentation, ``vcgencmd get_throttled``. The Zero range
has no under-voltage detector: its bits 0 and 16 prove nothing.
"""

import re
from typing import List, Optional

from tunebench.targets.agent.formats.logs import plain_lines
from tunebench.targets.agent.formats.pmic import refusal
from tunebench.targets.agent.formats.reading import Reading, body, channel, unlike, without_power

NAMES = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
SINCE_BOOT = 16
#: Anywhere in a line (behind a logger's prefix) by its name; the bare number of the file only as the whole line.
_FLAGS = re.compile(r"(?<![\w.])throttled=(?:0x)?([0-9a-fA-F]{1,8})(?!\w)|^(?:0x)?([0-9a-fA-F]{1,8})$")


def bits_of(text: str) -> Optional[int]:
    """Return the flags of the last answer of get_throttled in a text, or ``None`` if there is none."""
    matches = [match for line in plain_lines(body(text)) for match in _FLAGS.findall(line)]
    return int(matches[-1][0] or matches[-1][1], 16) if matches else None


def names_of(bits: int) -> List[str]:
    """Return names of the lowest four flags."""
    return [name for bit, name in sorted(NAMES.items()) if bits >> bit & 1]


def parse(text: str) -> Reading:
    """Read ``throttled`` (bits), and the flags by name."""
    bits = bits_of(text)
    if bits is None:
        return without_power([], refusal(text) or unlike("an answer of get_throttled", text))
    flags = channel("board", "throttle", "bits", float(bits))
    return without_power([flags], now=names_of(bits), since_boot=names_of(bits >> SINCE_BOOT))
