"""Power of a Raspberry Pi 5 from its power chip: the sum over twelve rails, a lower bound.

What hangs on 5 V directly (USB, PCIe, fan, HATs) and all losses are not in it. One sweep takes the firmware 23 ms,
so more than 10 Hz makes no sense. Source: ``vcgencmd pmic_read_adc``; see :mod:`tunebench.targets.agent.formats.pmic`.
"""

import os
from typing import Dict, List, Optional

from tunebench.targets.agent import formats
from tunebench.targets.agent.formats.reading import Reading
from tunebench.targets.agent.linux.sysfs import text_of
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor
from tunebench.targets.agent.sensors.firmware import Firmware

_ASK = ("pmic_read_adc",)
RATE_HZ = 10.0


class Pmic(Sensor):
    """The sum, the core's rail and the supply's voltage, of one sweep."""

    def __init__(self, firmware: Firmware, first: Reading) -> None:
        self._firmware = firmware
        names = [channel["site"] for channel in first.channels if channel["kind"] == "power"]
        source = "pmic_read_adc (%s): sum of %d rails, a lower bound" % (firmware.route, len(names))
        core = "pmic_read_adc (%s): VDD_CORE" % firmware.route
        channels = [
            Channel("rails_sum_w", "+".join(names), "power", "W", "rails_sum", source, None, RATE_HZ),
            Channel("vdd_core_w", "VDD_CORE", "power", "W", "soc_rail", core, None, RATE_HZ),
            Channel("ext5v_v", "EXT5V", "voltage", "V", None, "pmic_read_adc: EXT5V", None, RATE_HZ),
        ]
        super().__init__(channels)

    def read(self) -> List[Optional[float]]:
        said = self._firmware.ask(_ASK)
        if said.reason is not None:
            self.reason = said.reason
            return [None] * len(self.channels)
        reading = formats.read("pmic", said.out)
        supply_v = _value(reading, "voltage", "EXT5V")
        if reading.total_w is None:
            self.reason = reading.reason
            self.refused = bool(reading.channels)
            return [None, None, supply_v]
        return [reading.total_w, _value(reading, "power", "VDD_CORE"), supply_v]

    def close(self) -> None:
        self._firmware.close()


def discover(root: str = "/") -> Discovery:
    """Look for ``rails_sum_w``, ``vdd_core_w``, ``ext5v_v`` of a Raspberry Pi 5."""
    model = text_of(os.path.join(root, "proc/device-tree/model")) or ""
    if "Raspberry Pi" not in model:
        return Discovery([], {"power": "no power sensor: looked for vcgencmd pmic_read_adc"})
    firmware = Firmware(root)
    said = firmware.ask_once(_ASK)
    reading = formats.read("pmic", said.out)
    if any(channel["kind"] == "power" for channel in reading.channels):
        return Discovery([Pmic(firmware, reading)], {})
    return Discovery([], {"power": "no power sensor: " + (_without(model) or said.reason or str(reading.reason))})


def _without(model: str) -> Optional[str]:
    """Return the reason for boards that are known to have no such chip: the firmware's own error would only puzzle."""
    older: Dict[str, str] = {name: name for name in ("Pi Zero", "Pi 2", "Pi 3", "Pi 4", "Compute Module 4")}
    if any(name in model for name in older):
        return "%s measures no current on board; an external meter does" % model.partition(" Rev")[0]
    return None


def _value(reading: Reading, kind: str, site: str) -> Optional[float]:
    values = [
        channel["value"] for channel in reading.channels if (channel["kind"], channel["site"]) == (kind, site)
    ]
    return values[0] if values else None
