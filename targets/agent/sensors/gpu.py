"""Clock and load of a Jetson's GPU.

Sources: Documentation/ABI/testing/sysfs-class-devfreq (``cur_freq``, Hz); NVIDIA's nvgpu driver (``load``, per mille).
"""

import os
import re

from tunebench.targets.agent.linux.sysfs import File, find
from tunebench.targets.agent.sensors.base import Channel, Discovery, FileSensor

_DEVFREQ = "sys/class/devfreq/*/cur_freq"
_NODE = re.compile(r"gpu|gv11b|gp10b|ga10b|gb10b|gm20b", re.IGNORECASE)
_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load", "sys/devices/platform/*gpu*/load")


def discover(root: str = "/") -> Discovery:
    """Look for ``gpu_freq_hz`` and ``gpu_load`` (0 to 1); a board without such a GPU misses nothing."""
    sensors = []
    folders = [os.path.dirname(path) for path in find(root, _DEVFREQ)]
    folders = [folder for folder in folders if _NODE.search(os.path.basename(folder))]
    for folder in folders[:1]:
        name = os.path.basename(folder)
        source = "devfreq %s cur_freq" % name
        channel = Channel("gpu_freq_hz", "gpu", "frequency", "Hz", None, source, None)
        sensors.append(FileSensor(channel, File(os.path.join(folder, "cur_freq"))))
    loads = [os.path.join(folder, "device/load") for folder in folders]
    for path in loads + [path for pattern in _LOADS for path in find(root, pattern)]:
        if File(path).number() is not None:
            channel = Channel("gpu_load", "gpu", "load", "1", None, "nvgpu load, per mille", 1e-3)
            sensors.append(FileSensor(channel, File(path), 1e-3))
            break
    return Discovery([sensor for sensor in sensors if sensor.read() != [None]], {})
