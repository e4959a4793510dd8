"""Power on the board: INA3221 monitors, in both driver generations, and monitors of one channel, by their labels.

JetPack 5 and newer (kernel drivers/hwmon/ina3221.c): volts and amperes per labelled channel, no power file;
``in4..in7`` and ``curr4`` are shunt voltages and sums, not rails. JetPack 4 (NVIDIA's iio ina3221x driver):
``in_power<N>_input`` in mW, name in ``rail_name_<N>``; its ``trigger`` files read 0 and are left alone. An AGX Thor's
input ``VIN`` is on an INA238: one channel, named by the device tree's ``label``, ``power1_input`` in uW; INA219, 226,
228, 230, 237 and 260 are alike. Bus and device numbers move, labels do not. All monitors are one sensor: a total below
one of its rails refutes all. A monitor without any label measures nobody knows what; it is named among the reasons.

Sources: Documentation/hwmon/{ina3221,ina2xx,ina238}.rst; ``label``: Documentation/ABI/testing/sysfs-class-hwmon.
"""

import os
import re
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.targets.agent.formats import rails
from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor

_HWMON = ("sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*", "sys/class/hwmon/hwmon*")
_IIO = ("sys/bus/i2c/drivers/ina3221x/*-*/iio*device*", "sys/bus/i2c/devices/*-*/iio:device*")
_SHUNT_STEP_UV = 40.0
#: One conversion of bus and shunt voltage of three channels, 1.1 ms each: the kernel driver's default.
_CYCLE_S = 0.0066
#: NVIDIA's driver averages 64 cycles in continuous mode.
_AVERAGED_CYCLES = 64
_MODES = {"0": "triggered", "1": "continuous"}


class Rail(NamedTuple):
    """One monitored supply.

    Attributes:
        watts: reads it.
        files: where ``watts`` reads.
        cycle_s: after so long the chip has a new value.
        reads: conversions that a reading waits for.
    """

    label: str
    source: str
    watts: Callable[[], Optional[float]]
    files: List[File]
    quantum_w: Optional[float]
    cycle_s: float
    reads: int


class Monitors(Sensor):
    """All rails, read together; ``None`` for all of them where the total contradicts a rail.

    Where the rails make up no total, none has a scope: the energy of a single rail is not the board's.
    """

    def __init__(self, board_rails: List[Rail], parts: Sequence[str]) -> None:
        self._rails = board_rails
        self._parts = tuple(parts)
        channels = [_sum(self._parts, board_rails)] if len(self._parts) > 1 else []
        self._has_sum = bool(channels)
        waits_s = sum(rail.reads * rail.cycle_s for rail in board_rails)
        rate_hz = round(1.0 / waits_s, 3) if waits_s > 0 else None
        channels += [
            Channel(
                _identifier(rail.label),
                rail.label,
                "power",
                "W",
                rails.scope_of(rail.label) if self._parts else None,
                rail.source,
                rail.quantum_w,
            )
            for rail in board_rails
        ]
        super().__init__([channel._replace(rate_hz=rate_hz) for channel in channels])

    def read(self) -> List[Optional[float]]:
        values = {rail.label: rail.watts() for rail in self._rails}
        total = rails.total(values)
        self.refused = total.refused
        failed = [rail for rail in self._rails if values[rail.label] is None]
        if total.refused:
            self.reason = total.reason
            return [None] * len(self.channels)
        if failed:
            errors = [file.error for file in failed[0].files if file.error]
            self.reason = "%s: %s" % (failed[0].label, errors[0] if errors else "no value")
        return ([total.watts] if self._has_sum else []) + [values[rail.label] for rail in self._rails]


def discover(root: str = "/") -> Discovery:
    """Look for ``<rail>_w`` for each rail, the total (or its parts' sum ``rails_sum_w``) first."""
    failed: Dict[str, str] = {}
    unlabelled: List[str] = []
    board_rails = _hwmon_rails(root, failed, unlabelled) + _iio_rails(root, failed)
    table = {rail.label: rail for rail in board_rails}
    # An input that cannot be read now is not replaced by the sum of its parts: that is another scope.
    parts, _ = rails.parts_of(dict(failed, **dict.fromkeys(table, "")))
    parts = parts if all(label in table for label in parts) else ()
    chosen = sorted(
        table.values(), key=lambda rail: (rail.label not in parts, rail.label not in rails.INPUTS)
    )
    missing = {_identifier(label): reason for label, reason in failed.items() if label not in table}
    if not chosen:
        message = "no power sensor: looked for " + ", ".join(_HWMON[:1] + _IIO[:1])
        why = "; ".join("rail %s: %s" % pair for pair in sorted(failed.items()))
        if why:
            message = "the INA3221 is there, but " + why
        elif unlabelled:
            message = "; ".join(unlabelled)
        return Discovery([], dict(missing, power=message))
    if not parts:
        lost = "; ".join("rail %s: %s" % pair for pair in sorted(failed.items()))
        missing["power"] = "no total: no input rail and no complete set of parts among %s%s" % (
            ", ".join(sorted(table)),
            " (%s)" % "; ".join(filter(None, [lost] + unlabelled)) if lost or unlabelled else "",
        )
    return Discovery([Monitors(chosen, parts)], missing)


def _identifier(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") + "_w"


def _hwmon_rails(root: str, failed: Dict[str, str], unlabelled: List[str]) -> List[Rail]:
    board_rails: List[Rail] = []
    for folder in _folders(root, _HWMON):
        name = text_of(os.path.join(folder, "name")) or ""
        if "ina3221" in name:
            board_rails += _three(folder, failed, unlabelled)
        elif rails.is_single_monitor(name):
            board_rails += _single(folder, name, failed, unlabelled)
    return board_rails


def _unlabelled(name: str, folder: str, labels: str) -> str:
    """Return the reason for a monitor of which nobody says what it measures."""
    place = os.path.join(*folder.split(os.sep)[-2:])
    return "the %s at %s has no labels (%s): which supply it measures is not known" % (
        name.upper(),
        place,
        labels,
    )


def _single(folder: str, name: str, failed: Dict[str, str], unlabelled: List[str]) -> List[Rail]:
    """Return the rail of a monitor with one channel: its own power, else the product of bus voltage and current."""
    texts = (text_of(os.path.join(folder, file)) for file in rails.LABELS_OF_ONE)
    label = next((text for text in texts if text), None)
    if not rails.is_rail(label):
        unlabelled.append(_unlabelled(name, folder, "label, in1_label"))
        return []
    cycle_s, settings = _settings(folder)
    power = File(os.path.join(folder, "power1_input"))
    if power.number() is not None:
        source = "%s hwmon power1_input%s" % (name, settings)
        return [Rail(str(label), source, lambda: power.number(1e-6), [power], None, cycle_s, 1)]
    volts, amperes = (File(os.path.join(folder, file)) for file in ("in1_input", "curr1_input"))
    if _product(volts, amperes) is None:
        failed[str(label)] = _why(power, volts, amperes)
        return []
    source = "%s hwmon in1 x curr1%s" % (name, settings)
    return [Rail(str(label), source, lambda: _product(volts, amperes), [volts, amperes], None, cycle_s, 2)]


def _three(folder: str, failed: Dict[str, str], unlabelled: List[str]) -> List[Rail]:
    board_rails = []
    labels = {index: text_of(os.path.join(folder, "in%d_label" % index)) for index in (1, 2, 3)}
    if not any(labels.values()):
        unlabelled.append(_unlabelled("ina3221", folder, "in1_label to in3_label"))
    if any(rails.is_rail(label) for label in labels.values()):
        cycle_s, settings = _settings(folder)
        for index, label in labels.items():
            if not rails.is_rail(label):
                continue
            volts = File(os.path.join(folder, "in%d_input" % index))
            amperes = File(os.path.join(folder, "curr%d_input" % index))
            if _product(volts, amperes) is None:
                failed[str(label)] = _why(volts, amperes)
                continue
            shunt_uohm = File(os.path.join(folder, "shunt%d_resistor" % index)).number()
            quantum_w = _quantum(shunt_uohm, volts.number(1e-3))
            watts = lambda volts=volts, amperes=amperes: _product(volts, amperes)  # noqa: E731
            source = "ina3221 hwmon in%d x curr%d%s" % (index, index, settings)
            board_rails.append(Rail(str(label), source, watts, [volts, amperes], quantum_w, cycle_s, 2))
    return board_rails


def _settings(folder: str) -> "Tuple[float, str]":
    """Return the chip's cycle and how it averages: ``samples`` and ``update_interval`` (ms) where the kernel has them."""
    samples = File(os.path.join(folder, "samples")).number()
    interval_ms = File(os.path.join(folder, "update_interval")).number()
    settings = [
        "%s %d" % (name, value)
        for name, value in (("samples", samples), ("update_interval", interval_ms))
        if value is not None
    ]
    cycle_s = _CYCLE_S * (samples or 1.0)
    return max(cycle_s, (interval_ms or 0.0) / 1e3), ", " + ", ".join(settings) if settings else ""


def _iio_rails(root: str, failed: Dict[str, str]) -> List[Rail]:
    board_rails = []
    for folder in _folders(root, _IIO):
        mode = text_of(os.path.join(folder, "running_mode")) or ""
        mode_note = ", running_mode %s (%s)" % (mode, _MODES[mode]) if mode in _MODES else ""
        cycle_s = _CYCLE_S * (1 if mode == "0" else _AVERAGED_CYCLES)
        for index in (0, 1, 2):
            label = text_of(os.path.join(folder, "rail_name_%d" % index))
            if not rails.is_rail(label):
                continue
            power = File(os.path.join(folder, "in_power%d_input" % index))
            if power.number() is None:
                failed[str(label)] = _why(power)
                continue
            source = "ina3221x iio in_power%d_input%s" % (index, mode_note)
            watts = lambda power=power: power.number(1e-3)  # noqa: E731
            # In continuous mode one cycle renews all channels, whichever is read.
            board_rails.append(Rail(str(label), source, watts, [power], None, cycle_s / 3.0, 1))
    return board_rails


def _why(*files: File) -> str:
    return next((file.error for file in files if file.error), "no value")


def _folders(root: str, patterns: Tuple[str, ...]) -> List[str]:
    """Return each device once, though several paths lead to it."""
    seen: Dict[str, str] = {}
    for pattern in patterns:
        for folder in find(root, pattern):
            seen.setdefault(os.path.realpath(folder), folder)
    return list(seen.values())


def _product(volts: File, amperes: File) -> Optional[float]:
    millivolts, milliamperes = volts.number(), amperes.number()
    if millivolts is None or milliamperes is None:
        return None
    return millivolts * milliamperes * 1e-6


def _quantum(shunt_uohm: Optional[float], volts: Optional[float]) -> Optional[float]:
    """Return one step of the shunt's voltage (40 uV), as power at the present bus voltage."""
    if not shunt_uohm or not volts:
        return None
    return _SHUNT_STEP_UV / shunt_uohm * volts


def _sum(parts: Tuple[str, ...], board_rails: List[Rail]) -> Channel:
    names = "+".join(parts)
    steps = [rail.quantum_w for rail in board_rails if rail.label in parts and rail.quantum_w is not None]
    quantum = sum(steps) if len(steps) == len(parts) else None
    source = next(rail.source for rail in board_rails if rail.label == parts[0]).split(" in")[0]
    return Channel(
        "rails_sum_w", names, "power", "W", "rails_sum", "%s: sum of %s" % (source, names), quantum
    )
