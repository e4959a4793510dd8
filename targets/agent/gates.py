"""Is the board fit to be measured now? Cool, idle, with room on disk and in memory."""

import shutil
from typing import Any, Dict, List, Optional, Tuple

from targets.agent.sensors import load, memory, thermal
from targets.agent.sensors.base import Found
from targets.agent.workdir import AgentError

Conditions = Dict[str, Optional[float]]
Warnings = List[Dict[str, str]]


def look(folder: str, gates: Dict[str, Any], root: str = "/") -> Tuple[Conditions, Warnings]:
    """Read the board's state and hold it against ``gates``.

    Returns:
        what was read, and a warning for each gate that is exceeded or cannot be judged.

    Raises:
        AgentError: (kind ``condition``) a gate is exceeded and ``policy`` is ``enforce``.
    """
    conditions = {
        "temp_c": _first(thermal.discover(root), "cpu_temp_c"),
        "load_1m": _first(load.discover(root), "load_1m"),
        "mem_available_b": _first(memory.discover(root), "mem_available_b"),
        "swap_used_b": _first(memory.discover(root), "swap_used_b"),
        "disk_free_b": float(shutil.disk_usage(folder).free),
    }  # type: Conditions
    warnings: Warnings = []
    for gate, field, sign, code in (
        ("max_load_1m", "load_1m", 1, "busy"),
        ("max_temp_c", "temp_c", 1, "hot"),
        ("min_disk_b", "disk_free_b", -1, "disk"),
        ("min_mem_b", "mem_available_b", -1, "memory"),
    ):
        limit, value = gates.get(gate), conditions[field]
        if limit is None:
            continue
        if value is None:
            warnings.append({"code": "unjudged", "message": "gate %s: %s cannot be read" % (gate, field)})
        elif sign * (value - limit) > 0:
            message = "%s is %g, the gate %s is %g" % (field, value, gate, limit)
            if gates.get("policy") == "enforce":
                raise AgentError("condition", "%s: %s" % (code, message))
            warnings.append({"code": code, "message": message})
    return conditions, warnings


def _first(found: Found, wanted: str) -> Optional[float]:
    for sensor in found.sensors:
        for channel, value in zip(sensor.channels, sensor.read()):  # noqa: B905 - Python 3.6
            if channel.id == wanted:
                return value
    return None
