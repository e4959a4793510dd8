"""``vcgencmd pmic_read_adc`` of a Raspberry Pi 5: amperes and volts of the power chip's outputs.

``NAME_A current(i)=xA`` and ``NAME_V volt(j)=xV``: numbers i and j differ, so the pairs are made by name. The sum
of the products is a lower bound: what hangs on 5 V directly (USB, PCIe, fan, HATs) and all losses are not in it.
``EXT5V`` and ``BATT`` are voltages only. Early firmware over-read: more than a supply gives is refused.

A whole answer tells ``EXT5V``, and its numbers run from 0 on without a gap (26 of them on the Pi 5, all rails of all
captures): asked for one rail by name, or with lines lost, the products that are left are not the board's power.
"""

import re
from typing import Dict, List, NamedTuple, Optional, Set

from tunebench.targets.agent.formats import refusals
from tunebench.targets.agent.formats.logs import plain_lines
from tunebench.targets.agent.formats.reading import (
    Json,
    Reading,
    body,
    channel,
    unlike,
    with_total,
    without_power,
)

_VALUE = re.compile(r"(?<!\w)(\w+)_([AV])\s+(current|volt)\((\d+)\)=\s*(-?\d+(?:\.\d+)?)([AV])(?!\w)")
#: Something of a value that is not whole.
_TORN = re.compile(r"(?<!\w)\w+_[AV]\s+(?:current|volt)\b")
#: A Raspberry Pi 5's supply gives at most so much.
MAX_A = 5.0
SUPPLY = "EXT5V"
_VOLTAGE_ONLY = (SUPPLY, "BATT")
NOTE = "a lower bound: no USB, PCIe, fan, HAT, nor the converters' losses"


class _Sweep(NamedTuple):
    """One answer: amperes and volts by the rail's name, and the numbers of its lines.

    Attributes:
        numbers: ``None`` where one comes twice: they prove nothing then.
    """

    amperes: Dict[str, float]
    volts: Dict[str, float]
    numbers: Optional[Set[int]]


def parse(text: str) -> Reading:
    """Read every rail's A, V and W; the total is their sum, or ``None`` with the reason."""
    lines = plain_lines(body(text))
    sweep = _last_sweep(lines)
    amperes, volts = sweep.amperes, sweep.volts
    if not amperes and not volts:
        return without_power([], refusal(text) or unlike("an answer of pmic_read_adc", text))
    powers: Dict[str, float] = {}
    channels: List[Json] = []
    for name in amperes:
        if name in volts:
            powers[name] = amperes[name] * volts[name]
            channels.append(channel(name, "power", "W", powers[name], "soc_rail"))
    channels += [channel(name, "current", "A", value) for name, value in amperes.items()]
    channels += [channel(name, "voltage", "V", value) for name, value in volts.items()]
    total_w = sum(powers.values())
    details: Json = {"rails": len(powers), "supply_v": volts.get(SUPPLY), "note": NOTE}
    reason = _incomplete(sweep) or _torn(lines) or _incredible(total_w, volts.get(SUPPLY))
    if reason is not None:
        return without_power(channels, reason, **details)
    return with_total(channels, total_w, "rails_sum", **details)


def _incomplete(sweep: _Sweep) -> Optional[str]:
    """Return why the rails that were told are not all that the chip has."""
    amperes, volts = sweep.amperes, sweep.volts
    if not amperes:
        return "no rail's current was told, only the voltage of: " + ", ".join(sorted(volts))
    unpaired = sorted((set(amperes) | set(volts) - set(_VOLTAGE_ONLY)) - (set(amperes) & set(volts)))
    if unpaired:
        return "current or voltage missing of: " + ", ".join(unpaired)
    if SUPPLY not in volts:
        return "not a whole answer: %s is missing, only these rails were told: %s" % (
            SUPPLY,
            ", ".join(sorted(amperes)),
        )
    gaps = sorted(set(range(max(sweep.numbers) + 1)) - sweep.numbers) if sweep.numbers else []
    if gaps:
        return "not a whole answer: the lines with the numbers %s are missing" % ", ".join(map(str, gaps[:8]))
    return None


def _torn(lines: List[str]) -> Optional[str]:
    """Return the reason if the last answer has a line that begins as a value and is none."""
    for line in reversed(lines):
        rest = _VALUE.sub(" ", line)
        if _TORN.search(rest):
            return "not a whole answer: %r is no value" % rest.strip()[:60]
        if _VALUE.search(line):
            return None
    return None


def _incredible(total_w: float, supply_v: Optional[float]) -> Optional[str]:
    if supply_v is not None and supply_v > 0 and total_w > MAX_A * supply_v:
        what = "the rails' sum of %.2f W is more than %g A at %.2f V give: refused"
        return what % (total_w, MAX_A, supply_v)
    if total_w <= 0:
        return "the rails' sum is not positive (%.3f W)" % total_w
    return None


def refusal(text: str) -> str:
    """Return what was said instead of vcgencmd's answer; empty if it is none of the known words."""
    return refusals.refusal("vcgencmd", text) or ""


def _last_sweep(lines: List[str]) -> _Sweep:
    """Return the last of several answers: a name that comes again begins a new one."""
    amperes: Dict[str, float] = {}
    volts: Dict[str, float] = {}
    numbers: List[int] = []
    for line in lines:
        for name, quantity, word, number, text, unit in _VALUE.findall(line):
            if (quantity, word) not in (("A", "current"), ("V", "volt")) or unit != quantity:
                continue
            table = amperes if quantity == "A" else volts
            if name in table:
                amperes, volts, numbers = {}, {}, []
                table = amperes if quantity == "A" else volts
            table[name] = float(text)
            numbers.append(int(number[:4]))
    return _Sweep(amperes, volts, set(numbers) if len(set(numbers)) == len(numbers) else None)
