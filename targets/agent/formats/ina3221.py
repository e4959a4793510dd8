"""Dumps of power monitors' files: the INA3221 of both driver generations, and TI's monitors of one channel.

An INA3221 has three channels, ``in1`` to ``in3`` and ``curr1`` to ``curr3``; ``in4..in6`` are shunt voltages in uV,
``in7`` and ``curr4`` sums: no rails. Files are in mV, mA and (NVIDIA's iio driver) mW. An INA219, 226, 228, 230, 237, 238
or 260 has one: ``in0`` is the shunt's voltage, ``in1`` the bus, ``power1_input`` the power in uW; its rail's name is the
device tree's ``label``, else ``in1_label``. Which of them is the board's input, the label decides.

Sources: drivers/hwmon/ina3221.c, NVIDIA's iio driver, Documentation/hwmon/{ina2xx,ina238,sysfs-interface}.rst.
"""

import re
from typing import List, NamedTuple, Optional, Tuple

from tunebench.targets.agent.formats import hwmon_dump, rails
from tunebench.targets.agent.formats.hwmon_dump import Files
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, unlike, without_power

_VALUE = re.compile(r"([+-]?\d+)$|([+-]?\d+(?:\.\d+)?)\s*([mu\u00b5]?)([VAW])$")
_LABEL = re.compile(r"[A-Za-z0-9+][\w.+-]*(?: [\w.+-]+){0,3}$")
_MESSAGE = re.compile(r"error|denied|timed out|no such|invalid|unavailable|not permitted", re.IGNORECASE)
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "\u00b5": 1e-6}


class Rail(NamedTuple):
    """One labelled channel."""

    label: str
    volts: Optional[float]
    amperes: Optional[float]
    watts: Optional[float]
    reason: Optional[str]


def parse(text: str) -> Reading:
    """Read every connected rail's V, A and W; the total by the labels."""
    devices = hwmon_dump.devices(body(text))
    labelled_rails = [rail for files in devices for rail in _rails(files)]
    if not labelled_rails:
        return without_power([], _without_rails(devices) or unlike("a dump of an INA3221's files", text))
    channels: List[Json] = []
    for rail in labelled_rails:
        scope = rails.scope_of(rail.label)
        channels.append(channel(rail.label, "power", "W", rail.watts, scope, reason=rail.reason))
        for kind, unit, value in (("voltage", "V", rail.volts), ("current", "A", rail.amperes)):
            if value is not None:
                channels.append(channel(rail.label, kind, unit, value))
    total = rails.total({rail.label: rail.watts for rail in labelled_rails})
    details: Json = {"total_of": list(total.parts), "alarms": _alarms(devices)}
    for name in ("running_mode", "samples", "update_interval"):
        values = sorted({files[name] for files in devices if name in files and _is_monitor(files)})
        if values:
            details[name] = ", ".join(values)
    scope_of_total = total.scope if total.watts is not None else None
    return Reading(channels, total.watts, scope_of_total, total.reason, details)


def _without_rails(devices: List[Files]) -> Optional[str]:
    """Return why no file of a dump names a rail; ``None`` if there are no files at all."""
    if not devices:
        return None
    unread = ["%s: %s" % pair for files in devices for pair in files.items() if _MESSAGE.search(pair[1])]
    monitors = sorted({files["name"] for files in devices if _is_monitor(files) and files.get("name")})
    why = "; ".join(unread[:3])
    if not unread and monitors:
        why = "%s has no label, so what it measures is not known" % ", ".join(monitors)
    return "no labelled rail among the files of this dump" + (": " + why[:160] if why else "")


def _is_monitor(files: Files) -> bool:
    """Tell whether a device may be a power monitor; a dump of all of hwmon has fans, disks and supplies, too."""
    name = files.get("name")
    return name is None or name.startswith("ina3221") or rails.is_single_monitor(name)


def _rails(files: Files) -> List[Rail]:
    if not _is_monitor(files):
        return []
    if _has_one_channel(files):
        return _single(files)
    return _three(files) + _iio(files)


def _has_one_channel(files: Files) -> bool:
    name = files.get("name")
    if name is not None:
        return rails.is_single_monitor(name)
    return ("power1_input" in files or "label" in files) and not {"in2_label", "in3_label"} & set(files)


def _single(files: Files) -> List[Rail]:
    """Return the rail of a chip with one channel: its own power, else the product of bus voltage and current."""
    label = next(filter(None, (_label(files, name) for name in rails.LABELS_OF_ONE)), None)
    if label is None:
        return []
    volts, why_v = _quantity(files, "in1_input", "V", 1e-3)
    amperes, why_a = _quantity(files, "curr1_input", "A", 1e-3)
    watts, why = _quantity(files, "power1_input", "W", 1e-6)
    if watts is None and volts is not None and amperes is not None:
        watts, why = volts * amperes, None
    if "power1_input" not in files:
        why = why_v or why_a
    return [Rail(label, volts, amperes, watts, why)]


def _three(files: Files) -> List[Rail]:
    labelled_rails = []
    for index in (1, 2, 3):  # 4..7 are shunt voltages and sums
        label = _label(files, "in%d_label" % index)
        if label is not None:
            volts, why_v = _quantity(files, "in%d_input" % index, "V", 1e-3)
            amperes, why_a = _quantity(files, "curr%d_input" % index, "A", 1e-3)
            watts = None if volts is None or amperes is None else volts * amperes
            labelled_rails.append(Rail(label, volts, amperes, watts, why_v or why_a))
    return labelled_rails


def _iio(files: Files) -> List[Rail]:
    labelled_rails = []
    index = -1
    while "rail_name_%d" % (index + 1) in files or index < 2:  # a table may list more than one chip's three
        index += 1
        label = _label(files, "rail_name_%d" % index)
        if label is not None:
            watts, why = _quantity(files, "in_power%d_input" % index, "W", 1e-3)
            volts, why_v = _quantity(files, "in_voltage%d_input" % index, "V", 1e-3)
            amperes, why_a = _quantity(files, "in_current%d_input" % index, "A", 1e-3)
            if watts is None and "in_power%d_input" % index not in files:
                watts = None if volts is None or amperes is None else volts * amperes
                why = None if watts is not None else why_v or why_a
            labelled_rails.append(Rail(label, volts, amperes, watts, why))
    return labelled_rails


def _label(files: Files, name: str) -> Optional[str]:
    """Return a rail's name; ``None`` where there is none, or an error message in its place."""
    label = files.get(name)
    if not rails.is_rail(label) or not _LABEL.match(str(label)) or _MESSAGE.search(str(label)):
        return None
    return label


def _quantity(files: Files, name: str, unit: str, scale: float) -> Tuple[Optional[float], Optional[str]]:
    """Return the value of a file in whole units, or the reason why there is none.

    Args:
        unit: V, A or W; what a value that was printed with its unit must be.
        scale: of the kernel's own whole numbers.
    """
    text = files.get(name)
    if text is None:
        return None, "%s is not in the dump" % name
    match = _VALUE.match(text.strip())
    if match is None:
        return None, "%s: %s" % (name, text[:120] or "is empty")
    whole, number, prefix, its_unit = match.groups()
    if whole is not None:
        return int(whole) * scale, None
    if its_unit != unit:
        return None, "%s: %s is no number of %s" % (name, text[:40], unit)
    return float(number) * _PREFIXES[prefix], None


def _alarms(devices: List[Files]) -> List[str]:
    """Return the rails whose current or power was above a limit (throttling evidence)."""
    raised = []
    for files in devices:
        for name, value in sorted(files.items()):
            match = re.match(r"(?:curr|power)(\d+)_(crit|max)_alarm$", name)
            if match and value.strip() == "1" and _is_monitor(files):
                label = files.get("in%s_label" % match.group(1)) or files.get("label")
                raised.append("%s %s" % (label or "channel " + match.group(1), match.group(2)))
    return raised
