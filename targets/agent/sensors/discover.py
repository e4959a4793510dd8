"""All sensors of a board, and the reasons for those it does not have."""

from typing import Dict, List

from tunebench.targets.agent.linux.sysfs import bounded
from tunebench.targets.agent.sensors import (
    cpufreq,
    fan,
    gpu,
    ina3221,
    load,
    memory,
    pmic,
    rapl,
    tegrastats,
    thermal,
    throttled,
)
from tunebench.targets.agent.sensors.base import Channel, Found, Sensor

_LOOKED = "no power sensor: looked for "
#: Nothing on a healthy board takes so long to be found.
_MODULE_S = 5.0
_POWER = (ina3221, pmic, rapl)
_MODULES = (thermal, cpufreq, gpu, load, memory, throttled, fan) + _POWER


def _joined(reasons: List[str]) -> str:
    """One sentence for all places that were looked at, then what is special."""
    places = [reason[len(_LOOKED) :] for reason in reasons if reason.startswith(_LOOKED)]
    others = [reason for reason in reasons if not reason.startswith(_LOOKED)]
    return "; ".join(([_LOOKED + ", ".join(places)] if places else []) + others)


def discover(root: str = "/") -> Found:
    """Ask every module; power is missing only if no module has it, then with all that was looked for.

    A module that hangs (in a driver) is left behind after 5 s and named.
    """
    sensors: List[Sensor] = []
    missing: Dict[str, str] = {}
    without_power = []
    for module in _MODULES:
        name = module.__name__.split(".")[-1]
        why = "%s: no answer within %g s: a driver hangs" % (name, _MODULE_S)
        hung = Found([], {"power" if module in _POWER else name: why})
        found: Found = bounded(lambda module=module: module.discover(root), _MODULE_S, hung)  # type: ignore[misc]
        sensors += found.sensors
        for quantity, reason in found.missing.items():
            if quantity == "power":
                without_power.append(reason)
            else:
                missing[quantity] = reason
    if not _powers(sensors):
        found = tegrastats.discover(root)
        sensors += found.sensors
        without_power += list(found.missing.values())
    if not any(channel.scope for channel in _powers(sensors)):
        missing["power"] = _joined(without_power)
    return Found(sensors, missing)


def _powers(sensors: List[Sensor]) -> List[Channel]:
    return [channel for sensor in sensors for channel in sensor.channels if channel.kind == "power"]
