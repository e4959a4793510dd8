"""Clock and load of a Jetson's GPU.

Its devfreq device is named after the chip (``17000000.gv11b``, ``57000000.gpu``); a Thor with JetPack 7 has one for each
clock: ``gpu-gpc-<N>`` is that of the graphics clusters, ``gpu-nvd-<N>`` that of the video engines. Its driver has no
``load`` file; NVML (``nvidia-smi``) tells the load there.

Sources: Documentation/ABI/testing/sysfs-class-devfreq (``cur_freq``, Hz); NVIDIA's nvgpu driver (``load``, per mille).
"""

import os
import re
from typing import Dict, List, Optional

from tunebench.targets.agent.linux.sysfs import NO_ANSWER, File, find
from tunebench.targets.agent.sensors.base import Channel, FileSensor, Discovery, Sensor

DEVFREQ = "sys/class/devfreq/*"
_NODE = re.compile(r"gpu|gv11b|gp10b|ga10b|gb10b|gm20b", re.IGNORECASE)
_CLUSTERS = re.compile(r"gpc", re.IGNORECASE)
#: Clocks of a GPU's driver that are not the GPU's own: video engines.
_ENGINES = re.compile(r"nvd|nvenc|nvjpg|vic|ofa", re.IGNORECASE)
_LOADS = ("sys/devices/gpu.0/load", "sys/devices/platform/gpu.0/load", "sys/devices/platform/*gpu*/load")


def discover(root: str = "/") -> Discovery:
    """Look for ``gpu_freq_hz`` and ``gpu_load`` (0 to 1); a board without such a GPU misses nothing.

    A GPU that sleeps has its channels, too: it wakes up with the workload.
    """
    folders = nodes(find(root, DEVFREQ))
    missing: Dict[str, str] = {}
    sensors: List[Optional[Sensor]] = []
    if folders:
        name = os.path.basename(folders[0])
        channel = Channel("gpu_freq_hz", "gpu", "frequency", "Hz", None, "devfreq %s cur_freq" % name, None)
        sensors.append(_sensor(channel, [os.path.join(folders[0], "cur_freq")], 1.0, missing))
    loads = [os.path.join(folder, "device/load") for folder in folders]
    loads += [path for pattern in _LOADS for path in find(root, pattern)]
    loads = [path for path in loads if os.path.exists(path)]
    if loads:
        channel = Channel("gpu_load", "gpu", "load", "1", None, "nvgpu load, per mille", 1e-3)
        sensors.append(_sensor(channel, loads, 1e-3, missing))
    elif folders:
        name = os.path.basename(folders[0])
        missing["gpu_load"] = "no load file of the GPU: looked for device/load of devfreq %s" % name
        if _CLUSTERS.search(name):
            missing["gpu_load"] += (
                "; from JetPack 7 on its driver tells the load through NVML only (nvidia-smi)"
            )
    return Discovery([sensor for sensor in sensors if sensor is not None], missing)


def nodes(paths: List[str]) -> List[str]:
    """Return which devfreq devices are a GPU's own clock, the best first.

    >>> nodes(["sys/class/devfreq/gpu-nvd-0", "sys/class/devfreq/gpu-gpc-0", "sys/class/devfreq/13e10000.host1x"])
    ['sys/class/devfreq/gpu-gpc-0']
    """
    named = {path: os.path.basename(path) for path in paths}
    folders = [path for path, name in named.items() if _NODE.search(name) and not _ENGINES.search(name)]
    return sorted(folders, key=lambda path: not _CLUSTERS.search(named[path]))


def _sensor(channel: Channel, paths: List[str], scale: float, missing: Dict[str, str]) -> Optional[Sensor]:
    """Return a sensor for the first file that gives a value, else for the first that may give one later."""
    files = [File(path) for path in paths]
    awake = [file for file in files if file.number() is not None]
    asleep = [file for file in files if file.error in NO_ANSWER]
    if not awake:
        missing[channel.id] = "%s: %s" % (channel.source, files[0].error)
    chosen = next(iter(awake + asleep), None)
    return None if chosen is None else FileSensor(channel, chosen, scale, may_sleep=True)
