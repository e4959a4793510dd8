"""NVIDIA's ``tegrastats``, in the forms of L4T 28 to 39.

A rail is ``NAME now/average`` in mW (with or without the unit; from L4T 39 on ``now/average/maximum``); the
average is since tegrastats began, so only the first number is a sample. ``-256C`` is a sensor that is off,
``PMIC`` at 50 or 100 C a constant. Without root some releases print no rails, no EMC and no GPU clock.
"""

import re
from typing import Dict, List, Optional, Tuple

from tunebench.targets.agent.formats import rails
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, first_line, without_power

_POWER = r"(-?\d+(?:\.\d+)?)(mW|W)?"
_RAIL = re.compile(
    r"(?<![\w@])([A-Z][A-Z0-9_]*)\s+" + _POWER + r"(?:/" + _POWER + r")?(?:/" + _POWER + r")?(?=\s|$)"
)
_TEMPERATURE = re.compile(r"(?<![\w.@-])([A-Za-z][\w.-]*)@(-?\d+(?:\.\d+)?)C\b")
_RAM = re.compile(r"(?<![\w])RAM +(\d+)/(\d+)([kMG]?)B")
_SWAP = re.compile(r"(?<![\w])SWAP +(\d+)/(\d+)([kMG]?)B")
_CPU = re.compile(r"(?<![\w])CPU +\[([^\[\]]*)\]")
_CORE = re.compile(r"(\d+)%(?:@(\d+))?$")
_GPU = re.compile(r"(?<![\w])GR3D_FREQ +(\d+)%(?:@\[?([\d,]+)\]?)?")
_TIME = re.compile(r"^(\d\d-\d\d-\d{4} \d\d:\d\d:\d\d)")
_FACTORS = {"": 1, "k": 1024, "M": 1024**2, "G": 1024**3}
_SENSOR_OFF_C = -256.0
#: Jetson's PMIC zone is a dummy: these constants on every board and at every load.
_DUMMY_C = (50.0, 100.0)


def is_line(line: str) -> bool:
    """Tell whether a line looks like one of tegrastats."""
    return bool(_RAM.search(line) or (_CPU.search(line) and _TEMPERATURE.search(line)))


def parse(text: str) -> Reading:
    """Read the last line's rails, temperatures, clocks and loads; the total by its labels."""
    lines = [line.strip() for line in body(text).splitlines() if line.strip()]
    samples = _samples(lines)
    if not samples:
        said = first_line(text)
        return without_power(
            [], "no line of tegrastats: it begins with %r" % said if said else "the output is empty"
        )
    line = samples[-1]
    powers, averages = _powers(line)
    channels = [channel(name, "power", "W", watts, rails.scope_of(name)) for name, watts in powers.items()]
    channels += _temperatures(line) + _memory(line) + _cores(line) + _graphics(line)
    whole = rails.total(powers)
    details: Json = {"lines": len(samples), "total_of": list(whole.parts), "average_since_start_w": averages}
    stamp = _TIME.match(line)
    if stamp:
        details["board_time"] = stamp.group(1)
    reason = whole.reason
    if not powers:
        reason = "no power rails in this output (some releases print them for root only)"
    return Reading(channels, whole.watts, whole.scope if whole.watts is not None else None, reason, details)


def _samples(lines: List[str]) -> List[str]:
    """Return one string for each sample; a line that a terminal or a web page broke is joined again."""
    pieces: List[List[str]] = []
    for line in lines:
        if pieces and not (_TIME.match(line) or re.match(r"(\S+ )?RAM ", line)):
            pieces[-1].append(line)
        else:
            pieces.append([line])
    return [line for line in (" ".join(piece) for piece in pieces) if is_line(line)]


def _watts(number: Optional[str], unit: Optional[str]) -> Optional[float]:
    if number is None:
        return None
    return float(number) if unit == "W" else float(number) / 1000.0


def _powers(line: str) -> Tuple[Dict[str, Optional[float]], Dict[str, Optional[float]]]:
    now: Dict[str, Optional[float]] = {}
    average: Dict[str, Optional[float]] = {}
    for match in _RAIL.finditer(line):
        label, first, unit, second, second_unit = match.groups()[:5]
        # A bare number ("APE 150", "VIC_FREQ 729") is a clock; power has a unit or comes as a pair.
        if (unit or second) and rails.is_rail(label):
            now[label] = _watts(first, unit)
            average[label] = _watts(second, second_unit or unit)
    return now, average


def _temperatures(line: str) -> List[Json]:
    channels = []
    for site, text in _TEMPERATURE.findall(line):
        celsius: Optional[float] = float(text)
        reason: Optional[str] = None
        if celsius == _SENSOR_OFF_C:
            celsius, reason = None, "the sensor is off (-256 C)"
        elif site.upper().startswith("PMIC") and celsius in _DUMMY_C:
            celsius, reason = None, "a constant, not a measurement (%s C)" % text
        channels.append(channel(site, "temperature", "C", celsius, reason=reason))
    return channels


def _memory(line: str) -> List[Json]:
    channels = []
    for site, pattern in (("ram", _RAM), ("swap", _SWAP)):
        match = pattern.search(line)
        if match:
            used, whole, unit = match.groups()
            channels.append(channel(site + "_used", "memory", "B", float(int(used) * _FACTORS[unit])))
            channels.append(channel(site + "_total", "memory", "B", float(int(whole) * _FACTORS[unit])))
    return channels


def _cores(line: str) -> List[Json]:
    match = _CPU.search(line)
    channels = []
    for index, text in enumerate(match.group(1).split(",") if match else []):
        core, site = _CORE.match(text.strip()), "cpu%d" % index
        if core is None:
            channels.append(
                channel(site, "load", "1", None, reason="the core is " + (text.strip() or "not told"))
            )
            continue
        channels.append(channel(site, "load", "1", int(core.group(1)) / 100.0))
        if core.group(2):
            channels.append(channel(site, "frequency", "Hz", int(core.group(2)) * 1e6))
    return channels


def _graphics(line: str) -> List[Json]:
    match = _GPU.search(line)
    if match is None:
        return []
    channels = [channel("gpu", "load", "1", int(match.group(1)) / 100.0)]
    clocks = [int(clock) for clock in (match.group(2) or "").split(",") if clock]
    if clocks:
        channels.append(channel("gpu", "frequency", "Hz", max(clocks) * 1e6))
    return channels
