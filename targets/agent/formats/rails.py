"""Which of a Jetson's rails is the total: one truth for files, tegrastats and captures.

Sources: NVIDIA's device trees and developer guides; INA3221 labels as seen on boards. The totals miss the
carrier board where ``VDD_IN`` is the module's input; boards without such a rail have parts that add up.
"""

import re
from typing import Dict, Mapping, NamedTuple, Optional, Tuple

#: The board's input rail, and what it covers: the first that a board has is its total. ``VIN`` is the AGX Thor kit's;
#: ``5V_IN`` the Xavier NX module's name in early JetPacks (energymon-jetson's list of rails).
INPUTS = {"VDD_IN": "module", "POM_5V_IN": "board_input", "VIN": "board_input", "5V_IN": "module"}
#: Boards without an input rail: AGX Orin, AGX Thor, AGX Xavier.
SUMS: Tuple[Tuple[str, ...], ...] = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)
#: TI's monitors of one channel, and Silergy's (drivers/hwmon/ina209.c, ina2xx.c, ina238.c); an INA3221 has three.
_SINGLE = re.compile(r"ina(?:209|219|22[0-9]|23[0-9]|260|7[0-9][0-9])\w*$|sq52206$", re.IGNORECASE)
#: Where the name of such a monitor's rail may stand: the device tree's ``label``, or a hwmon label.
LABELS_OF_ONE = ("label", "in1_label", "power1_label", "curr1_label")
#: Rails of the TX1/TX2 carrier board: beside the module's VDD_IN, not below it.
_CARRIER = re.compile(r"VDD_(MUX|5V0?_IO_SYS|3V3_SYS(_M2)?|3V3_IO(_SLP)?|1V8_IO|M2_IN)$")
_NOT_CONNECTED = re.compile(r"(^|[_ ])NC\d*($|[_ ])")


class Total(NamedTuple):
    """The total of a set of rails.

    Attributes:
        watts: ``None`` if it cannot be told.
        scope: of the total; kept when only its value is missing.
        parts: the rails that it stands on.
        reason: why there is no value.
        refused: the values are there, but contradict one another.
    """

    watts: Optional[float]
    scope: Optional[str]
    parts: Tuple[str, ...]
    reason: Optional[str]
    refused: bool = False


def is_rail(label: Optional[str]) -> bool:
    """Tell whether a monitor's channel measures a rail: it has a label, is connected, and is no sum of shunts."""
    return bool(label) and not _NOT_CONNECTED.search(str(label)) and "sum of shunt" not in str(label)


def is_single_monitor(name: str) -> bool:
    """Tell whether a driver's name is that of a power monitor with one channel.

    >>> is_single_monitor("ina238"), is_single_monitor("ina3221")
    (True, False)
    """
    return bool(_SINGLE.match(name))


def plain(label: str) -> str:
    """Return a label as it stands in this module's tables, however a device tree spells it.

    >>> plain("vdd-in")
    'VDD_IN'
    """
    return re.sub(r"[\s-]+", "_", label.strip()).upper()


def parts_of(labels: Mapping[str, object]) -> Tuple[Tuple[str, ...], Optional[str]]:
    """Return the rails that make up the total, and its scope; no rails if these labels tell no total."""
    spelled = {plain(label): label for label in labels}
    for label, scope in INPUTS.items():
        if label in spelled:
            return (spelled[label],), scope
    for names in SUMS:
        if all(name in spelled for name in names):
            return tuple(spelled[name] for name in names), "rails_sum"
    return (), None


def scope_of(label: str) -> str:
    """Return what one rail alone covers."""
    return INPUTS.get(plain(label), "soc_rail")


def total(rails: Mapping[str, Optional[float]]) -> Total:
    """Return the total of some rails (W).

    A total below one of its rails proves that labels are swapped (a JetPack 4.6 Nano did that) or that the
    values are not of one moment: no value then.
    """
    parts, scope = parts_of(rails)
    if not rails:
        return Total(None, None, (), "no power rails in this output")
    if not parts:
        names = ", ".join(sorted(rails))
        return Total(None, None, (), "no input rail and no complete set of parts among: " + names)
    lost = [name for name in parts if rails[name] is None]
    if lost:
        return Total(None, scope, parts, "no value of " + ", ".join(lost))
    watts = sum(rails[name] or 0.0 for name in parts)
    if watts < 0:
        return Total(None, scope, parts, "%s is negative (%.3f W)" % ("+".join(parts), watts), True)
    inside: Dict[str, float] = {
        name: value for name, value in rails.items() if value is not None and not _CARRIER.match(plain(name))
    }
    for name, value in sorted(inside.items()):
        if value > watts + 1e-9:
            what = "%s (%.3f W) is above the total %s (%.3f W)" % (name, value, "+".join(parts), watts)
            return Total(None, scope, parts, what + ": labels swapped, or not of one moment", True)
    return Total(watts, scope, parts, None)
