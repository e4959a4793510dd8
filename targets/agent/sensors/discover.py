"""All sensors of a board, and the reasons for those it does not have."""

from typing import Dict, List

from targets.agent.sensors import cpufreq, ina3221, load, memory, rapl, thermal, throttled
from targets.agent.sensors.base import Found, Sensor

_LOOKED = "no power sensor: looked for "


def _joined(reasons: List[str]) -> str:
    """One sentence for all places that were looked at, then what is special."""
    places = [reason[len(_LOOKED) :] for reason in reasons if reason.startswith(_LOOKED)]
    others = [reason for reason in reasons if not reason.startswith(_LOOKED)]
    return "; ".join(([_LOOKED + ", ".join(places)] if places else []) + others)


def discover(root: str = "/") -> Found:
    """Ask every module; power is missing only if no module has it, then with all that was looked for."""
    sensors: List[Sensor] = []
    missing: Dict[str, str] = {}
    without_power = []
    for module in (thermal, cpufreq, load, memory, throttled, ina3221, rapl):
        found = module.discover(root)
        sensors += found.sensors
        for quantity, reason in found.missing.items():
            if quantity == "power":
                without_power.append(reason)
            else:
                missing[quantity] = reason
    if not any(channel.kind == "power" for sensor in sensors for channel in sensor.channels):
        missing["power"] = _joined(without_power)
    return Found(sensors, missing)
