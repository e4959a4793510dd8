"""Load average over one minute. Source: proc_loadavg(5)."""

import os
from typing import List, Optional

from tunebench.targets.agent.linux.sysfs import File
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor

#: The kernel renews it every 5 s.
_EVERY_S = 1.0


def discover(root: str = "/") -> Discovery:
    """Look for ``load_1m``."""
    file = File(os.path.join(root, "proc/loadavg"))

    def read() -> List[Optional[float]]:
        text = file.text()
        try:
            return [None if text is None else float(text.split()[0])]
        except (ValueError, IndexError):
            return [None]

    if read() == [None]:
        return Discovery([], {"load_1m": "no readable load average: looked for proc/loadavg"})
    channel = Channel("load_1m", "board", "load", "1", None, "/proc/loadavg", 0.01)
    return Discovery([Sensor([channel], read, _EVERY_S)], {})
