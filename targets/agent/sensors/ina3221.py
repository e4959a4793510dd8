"""Power on Jetson boards: the INA3221 monitors, in both driver generations, found by their labels.

JetPack 5 and newer (kernel drivers/hwmon/ina3221.c): volts and amperes per labelled channel, no power file;
``in4..in7`` and ``curr4`` are shunt voltages and sums, not rails. JetPack 4 (NVIDIA's iio ina3221x driver):
``in_power<N>_input`` in mW, name in ``rail_name_<N>``. Bus and device numbers move, labels do not.
"""

import os
import re
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from targets.agent.sensors.base import Channel, File, Found, Sensor, find, text_of

_HWMON = ("sys/bus/i2c/drivers/ina3221/*-*/hwmon/hwmon*", "sys/class/hwmon/hwmon*")
_IIO = ("sys/bus/i2c/drivers/ina3221x/*-*/iio*device*", "sys/bus/i2c/devices/*-*/iio:device*")
#: Rails that carry everything else, and what they cover.
_TOTALS = {"VDD_IN": "module", "POM_5V_IN": "board_input"}
#: Boards without such a rail: these together are what the module draws.
_SUMS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)
_SHUNT_STEP_UV = 40.0


class Rail(NamedTuple):
    """One monitored supply."""

    label: str
    source: str
    watts: Callable[[], Optional[float]]
    quantum_w: Optional[float]


def discover(root: str = "/") -> Found:
    """``<rail>_w`` for each rail, the total (or its parts' sum ``rails_sum_w``) first."""
    rails = _hwmon_rails(root) + _iio_rails(root)
    labels = {rail.label: rail for rail in rails}
    sensors = []
    total = next((label for label in _TOTALS if label in labels), None)
    if total is None:
        parts = next((names for names in _SUMS if all(name in labels for name in names)), None)
        if parts is not None:
            sensors.append(_sum([labels[name] for name in parts]))
    for rail in sorted(labels.values(), key=lambda rail: rail.label != total):
        scope = _TOTALS.get(rail.label, "soc_rail")
        channel = Channel(
            _identifier(rail.label), rail.label, "power", "W", scope, rail.source, rail.quantum_w
        )
        sensors.append(Sensor([channel], lambda watts=rail.watts: [watts()]))  # type: ignore[misc]
    if sensors:
        return Found(sensors, {})
    return Found([], {"power": "no power sensor: looked for " + ", ".join(_HWMON[:1] + _IIO[:1])})


def _identifier(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") + "_w"


def _is_rail(label: Optional[str]) -> bool:
    return bool(label) and label != "NC" and "sum of shunt" not in str(label)


def _hwmon_rails(root: str) -> List[Rail]:
    rails = []
    for folder in _folders(root, _HWMON):
        if "ina3221" not in (text_of(os.path.join(folder, "name")) or ""):
            continue
        for index in (1, 2, 3):
            label = text_of(os.path.join(folder, "in%d_label" % index))
            volts = File(os.path.join(folder, "in%d_input" % index))
            amperes = File(os.path.join(folder, "curr%d_input" % index))
            if not _is_rail(label) or _product(volts, amperes) is None:
                continue
            shunt_uohm = File(os.path.join(folder, "shunt%d_resistor" % index)).number()
            rails.append(
                Rail(
                    str(label),
                    "ina3221 hwmon in%d x curr%d" % (index, index),
                    lambda volts=volts, amperes=amperes: _product(volts, amperes),  # type: ignore[misc]
                    _quantum(shunt_uohm, volts.number(1e-3)),
                )
            )
    return rails


def _iio_rails(root: str) -> List[Rail]:
    rails = []
    for folder in _folders(root, _IIO):
        for index in (0, 1, 2):
            label = text_of(os.path.join(folder, "rail_name_%d" % index))
            power = File(os.path.join(folder, "in_power%d_input" % index))
            if not _is_rail(label) or power.number() is None:
                continue
            source = "ina3221x iio in_power%d_input" % index
            watts = lambda power=power: power.number(1e-3)  # noqa: E731
            rails.append(Rail(str(label), source, watts, None))
    return rails


def _folders(root: str, patterns: Tuple[str, ...]) -> List[str]:
    """Each device once, though several paths lead to it."""
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
    """One step of the shunt's voltage (40 uV), as power at the present bus voltage."""
    if not shunt_uohm or not volts:
        return None
    return _SHUNT_STEP_UV / shunt_uohm * volts


def _sum(rails: List[Rail]) -> Sensor:
    def read() -> List[Optional[float]]:
        values = [rail.watts() for rail in rails]
        known = [value for value in values if value is not None]
        return [sum(known) if len(known) == len(values) else None]

    names = "+".join(rail.label for rail in rails)
    steps = [rail.quantum_w for rail in rails if rail.quantum_w is not None]
    quantum = sum(steps) if len(steps) == len(rails) else None
    channel = Channel("rails_sum_w", names, "power", "W", "rails_sum", "sum of " + names, quantum)
    return Sensor([channel], read)
