"""Other answers of ``vcgencmd``: measure_temp, measure_volts, measure_clock, get_mem, get_throttled.

The number in ``frequency(43)=`` is the firmware's name of a clock and differs between models. A clock of 0 Hz is
off (v3d when idle, from Linux 6.18 on), not an error. ``measure_volts`` tells the requested voltage.
"""

import re
from typing import Dict, NamedTuple, Optional, Pattern, Tuple

from tunebench.targets.agent.formats import pmic, throttled
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, unlike, without_power


class _Line(NamedTuple):
    """How one kind of line is read; the pattern's group ``site`` overrides the row's."""

    pattern: "Pattern[str]"
    site: str
    kind: str
    unit: str
    factor: float


_LINES = (
    _Line(re.compile(r"temp=(?P<value>-?\d+(?:\.\d+)?)'C$"), "soc", "temperature", "C", 1.0),
    _Line(re.compile(r"volt=(?P<value>-?\d+(?:\.\d+)?)V$"), "core", "voltage", "V", 1.0),
    _Line(re.compile(r"frequency\((?P<site>\d+)\)=(?P<value>\d+)$"), "clock", "frequency", "Hz", 1.0),
    _Line(re.compile(r"(?P<site>arm|gpu|malloc|reloc)=(?P<value>\d+)M$"), "", "memory", "B", float(1 << 20)),
)
_FLAGS = re.compile(r"throttled=0x[0-9a-fA-F]{1,8}$")


def parse(text: str) -> Reading:
    """Read a channel for each kind of line; where one comes again, the last counts."""
    if "current(" in text or "volt(" in text:
        return pmic.parse(text)
    channels: Dict[Tuple[str, str], Json] = {}
    details: Json = {"lines": 0}
    for line in body(text).splitlines():
        made = _channel(line.strip())
        if made is not None:
            channels[made["site"], made["kind"]] = made
            details["lines"] += 1
        if _FLAGS.match(line.strip()):
            details.update(throttled.parse(line).details)
    if not channels:
        return without_power([], pmic.refusal(text) or unlike("an answer of vcgencmd", text))
    return without_power(list(channels.values()), **details)


def _channel(line: str) -> Optional[Json]:
    if _FLAGS.match(line):
        return throttled.parse(line).channels[0]
    for row in _LINES:
        match = row.pattern.match(line)
        if match:
            groups = match.groupdict()
            site = " ".join(filter(None, [row.site, groups.get("site")]))
            return channel(site, row.kind, row.unit, float(groups["value"]) * row.factor)
    return None
