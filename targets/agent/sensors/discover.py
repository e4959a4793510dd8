"""All sensors of a board, and the reasons for those it does not have.

To add a sensor: a module beside this one, as :mod:`tunebench.targets.agent.sensors.base` describes it, and a line in
:data:`SENSORS`. What it finds is sampled, stored, judged and shown by its channels' kind, unit and scope.

A lab's own package adds one without a fork, by an entry point that names such a module; the name is the quantity that
is missing if the module fails::

    [project.entry-points."tunebench.sensors"]
    light = "my_lab.light"

The payload then carries the Python files of ``my_lab`` (:mod:`tunebench.targets.agent.sensors.plugins`).
"""

import functools
from importlib import import_module
from typing import TYPE_CHECKING, Dict, List, Tuple, cast

from tunebench.targets.agent.linux.sysfs import bounded
from tunebench.targets.agent.sensors import plugins
from tunebench.targets.agent.sensors.base import Channel, Device, Discovery, Sensor

if TYPE_CHECKING:
    from tunebench.targets.agent.sensors.base import SensorModule

#: Module -> the quantity that is missing if it hangs; in the order of the board's channels.
SENSORS = {
    "thermal": "thermal",
    "cpufreq": "cpufreq",
    "gpu": "gpu",
    "load": "load",
    "memory": "memory",
    "throttled": "throttled",
    "fan": "fan",
    "ina3221": "power",
    "pmic": "power",
    "rapl": "power",
}
#: Asked only where none of those has measured any power: it costs a process.
LAST_RESORT = "tegrastats"
MODULES = {
    name: cast("SensorModule", import_module("tunebench.targets.agent.sensors." + name))
    for name in list(SENSORS) + [LAST_RESORT]
}
_LOOKED = "no power sensor: looked for "
#: Nothing on a healthy board takes so long to be found.
_MODULE_S = 5.0
#: Channel of the workload's own memory: a job adds it to those of the board.
_OF_THE_WORKLOAD = "rss_b"


def _joined(reasons: List[str]) -> str:
    """Join reasons: one sentence for all places that were searched, then the other reasons as they are."""
    places = [reason[len(_LOOKED) :] for reason in reasons if reason.startswith(_LOOKED)]
    others = [reason for reason in reasons if not reason.startswith(_LOOKED)]
    return "; ".join(([_LOOKED + ", ".join(places)] if places else []) + others)


def discover(root: str = "/") -> Discovery:
    """Ask every module for its sensors; power is missing only if none has it, with all searched places as the reason.

    A module that hangs (in a driver) is left behind after 5 s and named.
    """
    sensors: List[Sensor] = []
    missing: Dict[str, str] = {}
    without_power = []
    for name, quantity in SENSORS.items():
        why = "%s: no answer within %g s: a driver hangs" % (name, _MODULE_S)
        ask = functools.partial(MODULES[name].discover, root)
        discovery: Discovery = bounded(ask, _MODULE_S, Discovery([], {quantity: why}))
        sensors += discovery.sensors
        for what, reason in discovery.missing.items():
            if what == "power":
                without_power.append(reason)
            else:
                missing[what] = reason
    if not _powers(sensors):
        discovery = MODULES[LAST_RESORT].discover(root)
        sensors += discovery.sensors
        without_power += list(discovery.missing.values())
    for name, point in _lab_sensors().items():
        discovery = _of_package(name, point, root, sensors)
        sensors += discovery.sensors
        for what, reason in discovery.missing.items():
            if what == "power":
                without_power.append(reason)
            else:
                missing.setdefault(what, reason)
    if not any(channel.scope for channel in _powers(sensors)):
        missing["power"] = _joined(without_power)
    return Discovery(sensors, missing)


def devices() -> List[Device]:
    """Return the files that any sensor needs, those of labs' packages included."""
    listed: List[Device] = []
    for module in MODULES.values():
        listed += getattr(module, "DEVICES", ())
    for name, point in _lab_sensors().items():
        listed += bounded(functools.partial(plugins.devices, name, point), _MODULE_S, [])
    return listed


def _lab_sensors() -> Dict[str, Tuple[str, str]]:
    """Return the sensors of labs' packages; a name of ours cannot be taken."""
    return {name: point for name, point in sorted(plugins.points().items()) if name not in MODULES}


def _of_package(name: str, point: Tuple[str, str], root: str, sensors: List[Sensor]) -> Discovery:
    taken = [_OF_THE_WORKLOAD] + [channel.id for sensor in sensors for channel in sensor.channels]
    late = "%s: no answer within %g s" % (plugins.named(name, point), _MODULE_S)
    discovery: Discovery = bounded(
        functools.partial(plugins.find, name, point, root, taken), _MODULE_S, Discovery([], {name: late})
    )
    return discovery


def _powers(sensors: List[Sensor]) -> List[Channel]:
    return [channel for sensor in sensors for channel in sensor.channels if channel.kind == "power"]
