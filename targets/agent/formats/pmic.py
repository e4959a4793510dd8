"""``vcgencmd pmic_read_adc`` of a Raspberry Pi 5: amperes and volts of the power chip's outputs.

``NAME_A current(i)=xA`` and ``NAME_V volt(j)=xV``: numbers i and j differ, so the pairs are made by name. The sum
of the products is a lower bound: what hangs on 5 V directly (USB, PCIe, fan, HATs) and all losses are not in it.
``EXT5V`` and ``BATT`` are voltages only. Early firmware over-read: more than a supply gives is refused.
"""

import re
from typing import Dict, List, Tuple

from tunebench.targets.agent.formats.reading import (
    Json,
    Reading,
    body,
    channel,
    unlike,
    with_total,
    without_power,
)

_VALUE = re.compile(r"(?<!\w)(\w+)_([AV])\s+(?:current|volt)\(\d+\)=\s*(-?\d+(?:\.\d+)?)([AV])")
_REFUSED = re.compile(
    r"can't open device file.*|VCHI initialization failed.*|.*permission denied.*|.*not found.*|error=\d+.*",
    re.IGNORECASE,
)
#: A Raspberry Pi 5's supply gives at most so much.
MAX_A = 5.0
SUPPLY = "EXT5V"
_VOLTAGE_ONLY = (SUPPLY, "BATT")
NOTE = "a lower bound: no USB, PCIe, fan, HAT, nor the converters' losses"


def parse(text: str) -> Reading:
    """Read every rail's A, V and W; the total is their sum, or ``None`` with the reason."""
    amperes, volts = _last_block(_VALUE.findall(body(text)))
    if not amperes and not volts:
        return without_power([], refusal(text) or unlike("an answer of pmic_read_adc", text))
    powers: Dict[str, float] = {}
    channels: List[Json] = []
    unpaired = sorted((set(amperes) | set(volts) - set(_VOLTAGE_ONLY)) - (set(amperes) & set(volts)))
    for name in amperes:
        if name in volts:
            powers[name] = amperes[name] * volts[name]
            channels.append(channel(name, "power", "W", powers[name], "soc_rail"))
    channels += [channel(name, "current", "A", value) for name, value in amperes.items()]
    channels += [channel(name, "voltage", "V", value) for name, value in volts.items()]
    supply_v = volts.get(SUPPLY)
    total_w = sum(powers.values())
    details: Json = {"rails": len(powers), "supply_v": supply_v, "note": NOTE}
    if unpaired:
        return without_power(channels, "current or voltage missing of: " + ", ".join(unpaired), **details)
    if supply_v is not None and supply_v > 0 and total_w > MAX_A * supply_v:
        what = "the rails' sum of %.2f W is more than %g A at %.2f V give: refused" % (
            total_w,
            MAX_A,
            supply_v,
        )
        return without_power(channels, what, **details)
    if total_w <= 0:
        return without_power(channels, "the rails' sum is not positive (%.3f W)" % total_w, **details)
    return with_total(channels, total_w, "rails_sum", **details)


def refusal(text: str) -> str:
    """Return what vcgencmd said instead of an answer (on standard output); empty if it is none of the known words."""
    for line in body(text).splitlines():
        if _REFUSED.match(line.strip()):
            hint = "" if line.startswith("error=") else " (is the user in group video?)"
            return "vcgencmd: %s%s" % (line.strip()[:160], hint)
    return ""


def _last_block(values: "List[Tuple[str, str, str, str]]") -> "Tuple[Dict[str, float], Dict[str, float]]":
    """Return the last of several answers: a name that comes again begins a new one."""
    amperes: Dict[str, float] = {}
    volts: Dict[str, float] = {}
    for name, quantity, text, _ in values:
        table = amperes if quantity == "A" else volts
        if name in table:
            amperes, volts = {}, {}
            table = amperes if quantity == "A" else volts
        table[name] = float(text)
    return amperes, volts
