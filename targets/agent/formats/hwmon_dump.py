"""Files of power monitors (hwmon, iio), out of the ways in which people print them.

``grep . /sys/.../hwmon*/*`` (``path:value``), ``head *`` (``==> path <==``), ``find ... -exec cat``, a shell's loop or
session (the path, and the value below it), ``name = value`` and ``name value`` lines, tables with units
(``VDD_IN: 920mA @ 5048mV = 4644mW``), ``sensors``, ``sensors -u`` and ``sensors -j``.

What a file could not be read for (``cat: .../in7_input: Input/output error``) becomes its value: no number, but a
reason. Quantities that were printed with a unit keep it.
"""

import json
import re
from typing import Dict, List, Optional, Tuple

from tunebench.targets.agent.formats.logs import plain_lines

#: A device's files, name -> text.
Files = Dict[str, str]

_FILE = (
    r"(?:in\d+_(?:label|input|enable)|curr\d+_(?:input|label|crit_alarm|max_alarm)|shunt\d*_resistor|"
    r"power\d+_(?:input|label|crit_alarm|max_alarm)|label|rail_name_\d+|in_(?:power|current|voltage)\d+_input|"
    r"running_mode|samples|update_interval|name)"
)
#: Words that prose has, too: with nothing but blanks behind them, one word is their value.
_WORD = r"(?:label|name|samples)"
#: What a folder of sysfs may hold beside them; a value below such a name belongs to it.
_OTHER = (
    r"(?:(?:in|curr|power|temp|energy|fan|pwm|in_(?:power|current|voltage))\d+_?\w*|"
    r"uevent|device|subsystem|of_node|power)"
)
_LINE = re.compile(
    r"^(?!"
    + _WORD
    + r"\s+[^\s:=|,>-]+\s)(?:.*\s(?=/))?(?P<folder>[^\s=]*/)?(?P<file>"
    + _FILE
    + r")(?:\s*(?:=>|->|[:=|,])\s*(?:1:)?|\s+)(?P<value>\S.*)$"
)
_HEADS = (
    re.compile(r"^==>\s*(?P<path>\S+)\s*<==$"),
    re.compile(r"^.*[$#>]\s*(?:sudo\s+)?cat\s+(?P<path>\S+)$"),
    re.compile(r"^(?:.*\s)?(?P<path>\.{0,2}/(?:\S*/)?[\w-]+):?$"),
    re.compile(r"^(?P<path>\S+/" + _FILE + r"):?$"),
    re.compile(r"^(?P<path>" + _FILE + r"|" + _OTHER + r"):?$"),
)
_ERROR = re.compile(
    r"^[\w/]+: (?:error reading |cannot open )?['\"\u2018]?(?P<folder>[^\s'\"\u2018\u2019]*/)?(?P<file>"
    + _FILE
    + r")['\"\u2019]?(?: for reading)?: (?P<value>\S.*)$"
)
#: None of these ways makes longer lines; what is longer is something else.
_MAX_LINE = 2000
_RULE = re.compile(r"^[-=*_#.+~]{2,}$")
_TABLE = re.compile(
    r"^(?P<label>[A-Z][A-Z0-9_]*|\d+V[A-Z0-9_]*)\b[\s:=|,]+(?=[^\s:=|,])(?P<rest>.*\d\s*[mu\u00b5]?[VAW]\b.*)$"
)
_QUANTITY = re.compile(r"((?<![\d.])[+-]?\d+(?:\.\d+)?)\s*([mu\u00b5]?)([VAW])\b")
_CHIP = re.compile(r"^((?:ina|sq)\d\w*)-[a-z0-9]+-\S+$")
_OTHER_CHIP = re.compile(r"^\S+-(?:i2c|isa|virtual|pci|acpi|spi|hid|scsi|mdio)-\S+$")
_SENSORS = re.compile(r"^(?P<label>[^:]+):\s+(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?P<unit>[mu\u00b5]?[VAW])\b")
_RAW = re.compile(r"^((?:in|curr|power)\d+_\w+):\s*([+-]?\d+(?:\.\d+)?)$")
#: Names that lm-sensors gives where a channel has no label.
_DEFAULT = re.compile(r"^(in|curr|power)(\d+)$")
_STEMS = {"V": "in", "A": "curr", "W": "power"}
_UNITS = {"in": "V", "curr": "A", "power": "W"}


def devices(text: str) -> List[Files]:
    """Return each device's files; a new folder, or a name that comes again, begins another device."""
    lines = [line for line in plain_lines(text) if len(line) <= _MAX_LINE]
    return _from_json(text) or _from_sensors(lines) or _from_files(lines) or _from_table(lines)


# -- files, one a line or with the value below --------------------------------------------------------


class _Folders:
    """Files by their folder; without folders, a name that comes again is the next device's."""

    def __init__(self) -> None:
        self.devices: Dict[Tuple[str, int], Files] = {}
        self._part = 0

    def take(self, folder: str, name: str, value: str) -> None:
        """Take a file over."""
        if name in self.devices.get((folder, self._part), {}):
            self._part += 1
        self.devices.setdefault((folder, self._part), {})[name] = value.strip("\"'")

    def excuse(self, folder: str, name: str, reason: str) -> None:
        """Take over why a file could not be read, unless it has a value."""
        self.devices.setdefault((folder, self._part), {}).setdefault(name, reason)


def _from_files(lines: List[str]) -> List[Files]:
    folders = _Folders()
    head: Optional[Tuple[str, str]] = None
    for line in lines:
        if _RULE.match(line):
            continue
        error, inline, below = _ERROR.match(line), _LINE.match(line), _head(line)
        if error:
            name = error.group("file")
            folders.excuse(error.group("folder") or "", name, error.group("value"))
            head = None if head is not None and head[1] == name else head
            continue
        if head is not None:
            if below is None and inline is None:
                folders.take(head[0], head[1], line)
                head = None
                continue
            folders.excuse(head[0], head[1], "")
        head = below
        if below is None and inline is not None:
            folders.take(inline.group("folder") or "", inline.group("file"), inline.group("value"))
    if head is not None:
        folders.excuse(head[0], head[1], "")
    known = re.compile(_FILE + "$")
    readable = [
        {name: value for name, value in files.items() if known.match(name)}
        for files in folders.devices.values()
    ]
    return [files for files in readable if files]


def _head(line: str) -> Optional[Tuple[str, str]]:
    """Return folder and name of the file whose value follows, if the line is nothing but a file's name."""
    for pattern in _HEADS:
        match = pattern.match(line)
        if match:
            folder, _, name = match.group("path").rpartition("/")
            return folder + "/" if folder else "", name
    return None


# -- tables ---------------------------------------------------------------------------------------


def _from_table(lines: List[str]) -> List[Files]:
    """Read lines of a label and its quantities, in any order; two different ones of a unit contradict one another."""
    files: Files = {}
    index = 0
    for line in lines:
        match = _TABLE.match(line)
        if not match:
            continue
        for value, prefix, unit in _QUANTITY.findall(match.group("rest")):
            name = {"V": "in_voltage%d_input", "A": "in_current%d_input", "W": "in_power%d_input"}[
                unit
            ] % index
            quantity = "%s %s%s" % (value, prefix, unit)
            if unit != "W" and files.get(name, quantity) != quantity:
                quantity = "%s and %s: which one is meant?" % (files[name], quantity)
            elif name in files:
                continue  # now, then a mean or a limit
            files[name] = quantity
        files["rail_name_%d" % index] = match.group("label")
        index += 1
    return [files] if files else []


# -- lm-sensors -----------------------------------------------------------------------------------


class _Chip:
    """One chip of lm-sensors: voltages carry the labels, currents follow in the same order."""

    def __init__(self, name: str) -> None:
        self.files: Files = {"name": name}
        self.heading = ""
        self._at = {"in": 0, "curr": 0, "power": 0}
        self._volts: List[Tuple[str, str]] = []

    def take(self, line: str) -> None:
        """Take one line over: a heading, a raw file, or a label with its quantity."""
        raw, plain = _RAW.match(line), _SENSORS.match(line)
        if raw:
            self.take_file(self.heading, raw.group(1), raw.group(2))
        elif plain:
            self._take_plain(plain.group("label").strip(), plain.group("value"), plain.group("unit"))
        elif line.endswith(":"):
            self.heading = line[:-1]

    def take_file(self, label: str, name: str, value: str) -> None:
        """Take a file over that lm-sensors names; its values are in whole units."""
        stem = re.match(r"(in|curr|power)\d+", name)
        if stem is None or not name.endswith("_input"):
            return
        self.files[name] = "%s %s" % (value, _UNITS[stem.group(1)])
        if not _DEFAULT.match(label):
            self.files[stem.group(0) + "_label"] = label

    def _take_plain(self, label: str, value: str, unit: str) -> None:
        stem = _STEMS[unit[-1]]
        default = _DEFAULT.match(label)
        if default and default.group(1) != stem:
            return
        self._at[stem] = int(default.group(2)) if default else self._at[stem] + 1
        name = "%s%d" % (stem, self._at[stem])
        self.files[name + "_input"] = "%s %s" % (value, unit)
        if not default:
            self.files[name + "_label"] = label


def _from_sensors(lines: List[str]) -> List[Files]:
    """Read lm-sensors, plain and ``-u``."""
    chips: List[_Chip] = []
    inside = False
    for line in lines:
        chip = _CHIP.match(line)
        if chip:
            chips.append(_Chip(chip.group(1)))
            inside = True
        elif _OTHER_CHIP.match(line):
            inside = False
        elif inside:
            chips[-1].take(line)
    return [chip.files for chip in chips]


def _from_json(text: str) -> List[Files]:
    """Read ``sensors -j``."""
    try:
        chips = json.loads(text[text.index("{") :])
    except (ValueError, RecursionError):
        return []
    read = []
    for name, values in chips.items() if isinstance(chips, dict) else []:
        match = _CHIP.match(str(name))
        if not match or not isinstance(values, dict):
            continue
        chip = _Chip(match.group(1))
        for label, quantities in values.items():
            for file, value in quantities.items() if isinstance(quantities, dict) else []:
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    chip.take_file(str(label), str(file), repr(value))
        read.append(chip.files)
    return read
