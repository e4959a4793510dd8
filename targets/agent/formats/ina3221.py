"""Dumps of an INA3221's files, of both driver generations, in the ways people print them.

``grep . /sys/.../hwmon*/*`` (``path:value``), ``head *`` (``==> path <==``), a shell's ``$ cat path`` with the value
below, ``name = value`` and ``name value`` lines, tables with units (``VDD_IN: 920mA @ 5048mV = 4644mW``), ``sensors``,
``sensors -u`` and ``sensors -j``. Files are in mV, mA and mW (``sensors``: V, A); ``in4..in6`` are shunt
voltages in uV, ``in7`` and ``curr4`` sums: no rails. Source: drivers/hwmon/ina3221.c, NVIDIA's iio driver.
"""

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tunebench.targets.agent.formats import rails
from tunebench.targets.agent.formats.reading import Json, Reading, body, channel, unlike, without_power

_FILE = (
    r"(?:in\d+_(?:label|input|enable)|curr\d+_(?:input|label|crit_alarm|max_alarm)|shunt\d+_resistor|power\d+_input|"
    r"rail_name_\d+|in_(?:power|current|voltage)\d+_input|running_mode|samples|update_interval|name)"
)
_LINE = re.compile(r"^(?P<folder>[^\s=]*/)?(?P<file>" + _FILE + r")\s*(?:[:=]\s*|\s+)(?P<value>\S.*?)?\s*$")
_HEAD = re.compile(
    r"^(?:==>\s*(?P<folder>\S*/)?(?P<file>\w+)\s*<==|\S*[$#]\s*(?:sudo\s+)?cat\s+(?P<folder2>\S*/)?(?P<file2>\w+))$"
)
_TABLE = re.compile(r"^(?P<label>[A-Z][A-Z0-9_]*)\b[\s:=|,]+(?=[^\s:=|,])(?P<rest>.*\d\s*m?[VAW]\b.*)$")
_QUANTITY = re.compile(r"((?<!\d)[+-]?\d+(?:\.\d+)?)\s*(m?)([VAW])\b")
_CHIP = re.compile(r"^ina3221\S*-i2c-\S+$")
_SENSORS = re.compile(r"^(?P<label>[^:]+):\s+(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?P<unit>[mu]?[VA])\b")
_RAW = re.compile(r"^\s+((?:in|curr)\d+_\w+):\s*([+-]?\d+(?:\.\d+)?)\s*$")
_UNITS = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "A": 1e3, "mA": 1.0, "uA": 1e-3}

Files = Dict[str, str]


class Rail(NamedTuple):
    """One labelled channel."""

    label: str
    volts: Optional[float]
    amperes: Optional[float]
    watts: Optional[float]
    reason: Optional[str]


def parse(text: str) -> Reading:
    """Read every connected rail's V, A and W; the total by the labels."""
    devices = _devices(body(text))
    labelled_rails = [rail for files in devices for rail in _rails(files)]
    if not labelled_rails:
        if any(devices):
            return without_power([], "no labelled rail among the files of this dump")
        return without_power([], unlike("a dump of an INA3221's files", text))
    channels: List[Json] = []
    for rail in labelled_rails:
        scope = rails.scope_of(rail.label)
        channels.append(channel(rail.label, "power", "W", rail.watts, scope, reason=rail.reason))
        for kind, unit, value in (("voltage", "V", rail.volts), ("current", "A", rail.amperes)):
            if value is not None:
                channels.append(channel(rail.label, kind, unit, value))
    whole = rails.total({rail.label: rail.watts for rail in labelled_rails})
    details: Json = {"total_of": list(whole.parts), "alarms": _alarms(devices)}
    for name in ("running_mode", "samples", "update_interval"):
        values = sorted({files[name] for files in devices if name in files})
        if values:
            details[name] = ", ".join(values)
    scope_of_total = whole.scope if whole.watts is not None else None
    return Reading(channels, whole.watts, scope_of_total, whole.reason, details)


def _devices(text: str) -> List[Files]:
    """Return each chip's files, name -> text; a new folder, or a name that comes again, begins another chip."""
    return _from_json(text) or _from_sensors(text) or _from_files(text) or _from_table(text)


def _from_table(text: str) -> List[Files]:
    """Read lines of a label and its quantities: volts, amperes and watts in any order."""
    files: Files = {}
    index = 0
    for line in text.splitlines():
        match = _TABLE.match(line.strip())
        if not match:
            continue
        for value, milli, unit in _QUANTITY.findall(match.group("rest")):
            name = {"V": "in_voltage%d_input", "A": "in_current%d_input", "W": "in_power%d_input"}[
                unit
            ] % index
            files.setdefault(name, str(float(value) * (1 if milli else 1e3)))
        files["rail_name_%d" % index] = match.group("label")
        index += 1
    return [files] if files else []


def _from_files(text: str) -> List[Files]:
    folders: Dict[Tuple[str, int], Files] = {}
    header: Optional[str] = None
    folder, part = "", 0
    for line in text.splitlines():
        head, match = _HEAD.match(line.strip()), _LINE.match(line.strip())
        if head:
            header = head.group("file") or head.group("file2")
            folder = head.group("folder") or head.group("folder2") or ""
            continue
        if header is not None and line.strip():
            name, value, header = header, line.strip(), None
        elif match:
            name, value, folder = match.group("file"), match.group("value") or "", match.group("folder") or ""
        else:
            continue
        if name in folders.get((folder, part), {}):
            part += 1  # without folders, a name that comes again is the next chip's
        folders.setdefault((folder, part), {})[name] = value
    return list(folders.values())


def _from_sensors(text: str) -> List[Files]:
    """Read lm-sensors, plain and ``-u``: voltages carry the labels, currents follow in the same order."""
    devices: List[Files] = []
    inside, heading = False, ""
    for line in text.splitlines():
        if _CHIP.match(line.strip()):
            devices.append({})
            inside = True
        elif re.match(r"^\S+-(i2c|isa|virtual|pci|acpi)-\S+$", line.strip()):
            inside = False
        elif inside:
            heading = _sensors_line(devices[-1], line, heading)
    return devices


def _sensors_line(files: Files, line: str, heading: str) -> str:
    """Take one line over; returns the label that raw lines below it belong to."""
    raw, plain = _RAW.match(line), _SENSORS.match(line.strip())
    if raw:
        name, value = raw.groups()
        if name.endswith("_input"):
            files[name] = str(float(value) * 1e3)
            if name.startswith("in"):
                files[name.replace("_input", "_label")] = heading
    elif plain:
        label, value, unit = plain.group("label").strip(), plain.group("value"), plain.group("unit")
        milli = str(float(value) * _UNITS[unit])
        if unit.endswith("A"):
            numbered = re.match(r"curr(\d+)$", label)
            index = int(numbered.group(1)) if numbered else 1 + sum(name.startswith("curr") for name in files)
            files["curr%d_input" % index] = milli
        else:
            index = 1 + sum(name.endswith("_label") for name in files)
            files["in%d_label" % index], files["in%d_input" % index] = label, milli
    elif line.strip().endswith(":"):
        return line.strip()[:-1]
    return heading


def _from_json(text: str) -> List[Files]:
    """Read ``sensors -j``."""
    try:
        chips = json.loads(text[text.index("{") :])
    except (ValueError, RecursionError):
        return []
    devices = []
    for name, chip in chips.items() if isinstance(chips, dict) else []:
        if not str(name).startswith("ina3221") or not isinstance(chip, dict):
            continue
        files: Files = {}
        for label, values in chip.items():
            for file, value in values.items() if isinstance(values, dict) else []:
                _take_json(files, str(label), str(file), value)
        devices.append(files)
    return devices


def _take_json(files: Files, label: str, file: str, value: Any) -> None:
    if file.endswith("_input") and isinstance(value, (int, float)):
        files[file] = str(value * 1e3)
        if file.startswith("in"):
            files[file.replace("_input", "_label")] = label


def _rails(files: Files) -> List[Rail]:
    labelled_rails = []
    for index in (1, 2, 3):  # 4..7 are shunt voltages and sums
        label = files.get("in%d_label" % index)
        if rails.is_rail(label):
            volts, why_v = _milli(files, "in%d_input" % index)
            amperes, why_a = _milli(files, "curr%d_input" % index)
            watts = None if volts is None or amperes is None else volts * amperes
            labelled_rails.append(Rail(str(label), volts, amperes, watts, why_v or why_a))
    index = -1
    while "rail_name_%d" % (index + 1) in files or index < 2:  # a table may list more than one chip's three
        index += 1
        label = files.get("rail_name_%d" % index)
        if rails.is_rail(label):
            watts, why = _milli(files, "in_power%d_input" % index)
            volts, amperes = (
                _milli(files, "in_%s%d_input" % (name, index))[0] for name in ("voltage", "current")
            )
            if watts is None and volts is not None and amperes is not None:
                watts, why = volts * amperes, None
            labelled_rails.append(Rail(str(label), volts, amperes, watts, why))
    return labelled_rails


def _milli(files: Files, name: str) -> Tuple[Optional[float], Optional[str]]:
    """Return the value of a file that counts in thousandths, in whole units, or the reason why there is none."""
    text = files.get(name)
    if text is None:
        return None, "%s is not in the dump" % name
    try:
        return float(text.split()[0]) / 1e3, None
    except (ValueError, IndexError):
        return None, "%s: %s" % (name, text[:120] or "is empty")


def _alarms(devices: List[Files]) -> List[str]:
    """Return the rails whose current was above a limit (throttling evidence)."""
    raised = []
    for files in devices:
        for name, value in sorted(files.items()):
            match = re.match(r"curr(\d+)_(crit|max)_alarm$", name)
            if match and value.strip() == "1":
                label = files.get("in%s_label" % match.group(1), "channel " + match.group(1))
                raised.append("%s %s" % (label, match.group(2)))
    return raised
