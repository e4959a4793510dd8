"""A fan's speed: it changes the temperature, and the power outside the board.

Source: Documentation/hwmon/sysfs-interface.rst.
"""

import os
from typing import Optional

from tunebench.targets.agent.linux.sysfs import File, find, text_of
from tunebench.targets.agent.sensors.base import Channel, FileSensor, Discovery, Sensor

_NAMES = ("pwmfan", "pwm_tach", "pwm-fan")
_EVERY_S = 1.0
_FILES = (("fan_rpm", "fan1_input", "rpm", 1.0), ("fan_duty", "pwm1", "1", 1.0 / 255.0))


def discover(root: str = "/") -> Discovery:
    """Look for ``fan_rpm`` and ``fan_duty`` (0 to 1); most boards have neither and miss nothing."""
    sensors = []
    folders = [os.path.dirname(path) for path in find(root, "sys/class/hwmon/hwmon*/name")]
    folders = [folder for folder in folders if text_of(folder + "/name") in _NAMES]
    for identifier, name, unit, scale in _FILES:
        paths = [os.path.join(folder, name) for folder in folders]
        for path in [path for path in paths if File(path).number() is not None][:1]:
            sensors.append(
                _sensor(identifier, unit, text_of(os.path.dirname(path) + "/name"), File(path), scale)
            )
    return Discovery(sensors, {})


def _sensor(identifier: str, unit: str, driver: Optional[str], file: File, scale: float) -> Sensor:
    source = "%s %s" % (driver, os.path.basename(file.path))
    channel = Channel(identifier, "fan", "fan", unit, None, source, None)
    return FileSensor(channel, file, scale, every_s=_EVERY_S)
