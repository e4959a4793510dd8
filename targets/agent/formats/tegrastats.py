"""NVIDIA's ``tegrastats``, in the forms of L4T 24 to 39, and as loggers keep it.

A rail is ``NAME now/average`` in mW (with or without the unit; from L4T 39 on ``now/average/maximum``); the
average is since tegrastats began, so only the first number is a sample. ``-256C`` is a sensor that is off,
``PMIC`` at 50 or 100 C a constant. Without root some releases print no rails, no EMC and no GPU clock.

Until L4T 28 the cores stand under ``cpu``, the GPU under ``GR3D``; there, and on L4T 39 again, one clock behind the
bracket (``[3%,off]@1728``) is that of all cores. L4T 39 prints a Thor's GPU clocks without a load (``@[918,915]``).
``GR3D2_FREQ`` and ``GR3D_PCI`` are other GPUs.

A sample begins with ``RAM used/whole``: what stands before it in its line (a time, a host, a unit) is a logger's.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from tunebench.targets.agent.formats import rails, refusals
from tunebench.targets.agent.formats.logs import plain_lines
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, first_line, without_power

_NUMBER = r"(-?\d+(?:\.\d+)?)(?:\s?(mW|W))?"
#: What may stand behind the last number of a rail: a blank, or what a logger puts around a line.
_END = r"(?=[\s\"'|;,)\]}]|$)"
_RAIL = re.compile(
    r"(?<![\w@./-])([A-Za-z][A-Za-z0-9_]*|\d+V[A-Za-z0-9_]*)\s+"
    + _NUMBER
    + r"(?:/"
    + _NUMBER
    + r")?(?:/"
    + _NUMBER
    + r")?"
    + _END
)
_TEMPERATURE = re.compile(r"(?<![\w.@-])([A-Za-z][\w.-]*)@(-?\d+(?:\.\d+)?)C\b")
_RAM = re.compile(r"(?<!\w)RAM +(\d+)/(\d+)([kMG]?)B", re.IGNORECASE)
_SWAP = re.compile(r"(?<!\w)SWAP +(\d+)/(\d+)([kMG]?)B", re.IGNORECASE)
_CPU = re.compile(r"(?<!\w)CPU *\[([^\[\]]*)\](?:@(\d+)\b)?", re.IGNORECASE)
_CORE = re.compile(r"(\d+)%(?:@(\d+))?$")
_GPU = re.compile(
    r"(?<!\w)GR3D(?:_FREQ)? +(?:(?P<load>\d+)% ?)?(?:@(?:\[(?P<clocks>\d[\d, ]*)\]|(?P<clock>\d+)\b))?(?P<off>off\b)?",
    re.IGNORECASE,
)
#: Pairs that are no power, where a line was cut before their unit.
_MEMORIES = frozenset(("RAM", "SWAP", "IRAM", "SYSRAM"))
#: tegrastats' own time, from L4T 35 on.
_TIME = re.compile(r"(?<!\d)(\d\d-\d\d-\d{4} \d\d:\d\d:\d\d)(?!\d)")
#: Names of single things; one that comes again belongs to another sample.
_ONCE = re.compile(
    r"(?<![\w@])(CPU(?= *\[)|(?:RAM|SWAP|GR3D|GR3D_FREQ|EMC|EMC_FREQ)(?= +[@\d]))", re.IGNORECASE
)
#: What a broken line's piece may consist of, without a name.
_FRAGMENT = re.compile(r"\d%|off[,\]]|@\[?\d|\d+mW")
_CUT_NAME = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]*)*$")
_CUT_NUMBER = re.compile(r"-?\d+(?:\.\d*)?m?$|-?\d+(?:\.\d+)?m?W/(?:.*W/)?-?[\d.]*m?$")
#: A Thor's with all its engines has less than a quarter.
_MAX_SAMPLE = 4096
_FACTORS = {"": 1, "k": 1024, "M": 1024**2, "G": 1024**3}
_SENSOR_OFF_C = -256.0
#: Jetson's PMIC zone is a dummy: these constants on every board and at every load.
_DUMMY_C = (50.0, 100.0)


class _Power(NamedTuple):
    """A rail's power now, and its average since tegrastats began (W); how many numbers it has, and whether a unit."""

    now: float
    average: Optional[float]
    numbers: int
    has_unit: bool


def parse(text: str) -> Reading:
    """Read the last sample's rails, temperatures, clocks and loads; the total by its labels."""
    samples = _samples(plain_lines(body(text)))
    if not samples:
        said, refused = first_line(text), refusals.refusal("tegrastats", text)
        reason = "no line of tegrastats: it begins with %r" % said if said else "the output is empty"
        return without_power([], "%s; %s" % (reason, refused) if refused else reason)
    stamp, line = samples[-1]
    powers = _powers(line)
    now: Dict[str, Optional[float]] = {name: power.now for name, power in powers.items()}
    channels = [channel(name, "power", "W", watts, rails.scope_of(name)) for name, watts in now.items()]
    channels += _temperatures(line) + _memory(line) + _cores(line) + _graphics(line)
    total = rails.total(now)
    averages = {name: power.average for name, power in powers.items()}
    details: Json = {"lines": len(samples), "total_of": list(total.parts), "average_since_start_w": averages}
    if stamp:
        details["board_time"] = stamp
    cut = _cut(line, powers) or _lost(samples, powers)
    if cut is not None:
        return without_power(channels, cut, **dict(details, total_of=[]))
    why = total.reason
    if not powers:
        why = "no power rails in this output (some releases print them for root only)"
    return Reading(channels, total.watts, total.scope if total.watts is not None else None, why, details)


def _samples(lines: List[str]) -> List[Tuple[Optional[str], str]]:
    """Return each sample with its time, if it has one; a line that a terminal or a web page broke is joined again."""
    samples: List[Tuple[Optional[str], str]] = []
    names: Set[str] = set()
    for stamp, piece in (part for line in lines for part in _parts(line)):
        names_here = _names(piece)
        if not names_here and not _FRAGMENT.search(piece):
            continue  # a logger's own line
        joins = stamp is None and not _RAM.search(piece) and not names & names_here
        if samples and joins and len(samples[-1][1]) < _MAX_SAMPLE:
            samples[-1] = samples[-1][0], samples[-1][1] + " " + piece
            names |= names_here
        else:
            samples.append((stamp, piece))
            names = names_here
    return [sample for sample in samples if _is_whole(sample[1])]


def _parts(line: str) -> List[Tuple[Optional[str], str]]:
    """Cut a line where samples begin, and each sample's time and a logger's words off it."""
    starts = [match.start() for match in _RAM.finditer(line)]
    if not starts:
        stamp = _TIME.search(line)
        return [(stamp.group(1), line[stamp.end() :])] if stamp else [(None, line)]
    parts = []
    for since, start, end in zip([0] + starts, starts, starts[1:] + [len(line)]):  # noqa: B905 - Python 3.6
        stamps = _TIME.findall(line[since:start])
        parts.append((stamps[-1] if stamps else None, line[start:end]))
    before = line[: starts[0]]
    if _has_units(before):  # no logger's words: a release that begins with something else
        parts[0] = parts[0][0], _TIME.sub(" ", before) + parts[0][1]
    return parts


def _has_units(text: str) -> bool:
    return bool(
        _CPU.search(text) or _TEMPERATURE.search(text) or any(match[2] for match in _RAIL.findall(text))
    )


def _names(text: str) -> Set[str]:
    """Return what a piece of a sample tells of: each of these stands once in a sample."""
    names = {name.upper() for name in _ONCE.findall(text)}
    names.update(name + "@" for name, _ in _TEMPERATURE.findall(text))
    names.update(name + " power" for name in _powers(text))
    return names


def _is_whole(line: str) -> bool:
    """Tell whether a text tells enough to be a line of tegrastats."""
    if _powers(line):
        return True
    about = [_RAM, _CPU, _GPU, _TEMPERATURE]
    return sum(bool(pattern.search(line)) for pattern in about) > 1


def _powers(line: str) -> Dict[str, _Power]:
    """Return the rails of a sample in their order; those without a unit only where none has one."""
    powers: Dict[str, _Power] = {}
    for match in _RAIL.finditer(line):
        label, first, unit, second, second_unit, third = match.groups()[:6]
        # A bare number ("APE 150", "VIC_FREQ 729") is a clock; power has a unit or comes as a pair.
        if not (unit or second) or not rails.is_rail(label) or label.upper() in _MEMORIES:
            continue
        if label != label.upper() and not unit:
            continue  # "fg 1/2": only a unit makes a small name a rail
        average = None if second is None or bool(unit) != bool(second_unit) else _watts(second, second_unit)
        numbers = sum(number is not None for number in (first, second, third))
        powers[label.upper()] = _Power(_watts(first, unit), average, numbers, bool(unit))
    if any(power.has_unit for power in powers.values()):
        return {label: power for label, power in powers.items() if power.has_unit}
    return powers


def _watts(number: str, unit: Optional[str]) -> float:
    return float(number) if unit == "W" else float(number) / 1000.0


def _cut(line: str, powers: Dict[str, _Power]) -> Optional[str]:
    """Return the reason if the line was cut within its rails: one that is lost may be the total's."""
    for label in re.findall(r"(?<![\w@])[A-Za-z0-9_]+(?![\w@])", line):
        if label.upper() in rails.INPUTS and label.upper() not in powers:
            return "the line is cut: %s has no whole value" % label
    if not powers:
        return None
    end = line.rsplit(maxsplit=1)[-1]
    if _CUT_NAME.match(end):
        return "the line is cut: it ends with the name %s" % end
    if _CUT_NUMBER.match(end) or list(powers.values())[-1].numbers < _usual_numbers(powers):
        return "the line is cut: it ends with %s" % end
    return None


def _lost(samples: List[Tuple[Optional[str], str]], powers: Dict[str, _Power]) -> Optional[str]:
    """Return the reason if the sample before the last has an input rail that the last lacks."""
    before = _powers(samples[-2][1]) if len(samples) > 1 else {}
    lost = [label for label in before if label in rails.INPUTS and label not in powers]
    return "the last line is cut: it lacks %s, which the line before has" % lost[0] if lost else None


def _usual_numbers(powers: Dict[str, _Power]) -> int:
    """Return 3 if a rail of this line has its maximum, too (then all have), else 0."""
    return 3 if any(power.numbers == 3 for power in powers.values()) else 0


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
    channels: List[Json] = []
    if match is None:
        return channels
    cores, clock_of_all = match.groups()
    for index, text in enumerate(cores.split(",")):
        core, site = _CORE.match(text.strip()), "cpu%d" % index
        if core is None:
            channels.append(
                channel(site, "load", "1", None, reason="the core is " + (text.strip() or "not told"))
            )
            continue
        channels.append(channel(site, "load", "1", int(core.group(1)) / 100.0))
        clock = core.group(2) or clock_of_all
        if clock:
            channels.append(channel(site, "frequency", "Hz", int(clock) * 1e6))
    return channels


def _graphics(line: str) -> List[Json]:
    match = _GPU.search(line)
    if match is None:
        return []
    load, clock, off = match.group("load"), match.group("clock"), match.group("off")
    clocks = [
        int(each) for each in (match.group("clocks") or clock or "").replace(" ", "").split(",") if each
    ]
    if load is None:
        reason = "the GPU is off" if off else "this release prints the GPU's clock and no load"
        channels = [channel("gpu", "load", "1", None, reason=reason)] if off or clocks else []
    else:
        channels = [channel("gpu", "load", "1", int(load) / 100.0)]
    if clocks:
        channels.append(channel("gpu", "frequency", "Hz", max(clocks) * 1e6))
    return channels
