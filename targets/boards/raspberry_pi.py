"""Raspberry Pi: Zero 2 W, 3, 4, 5. Only the 5 measures power, and only a part of it."""

from __future__ import annotations

from tunebench.targets.boards.kind import BoardKind
from tunebench.targets.boards.model import BoardModel, Power, System

KIND = BoardKind("raspberry-pi", steady_clock=True)

_BOOKWORM = System("Raspberry Pi OS 64-bit (bookworm)", "3.11", "2.36")
_TRIXIE = System("Raspberry Pi OS 64-bit (trixie)", "3.13", "2.41")
_BOOKWORM_32 = System("Raspberry Pi OS 32-bit (bookworm)", "3.11", "2.36", bits=32)
_SYSTEMS = (_BOOKWORM, _TRIXIE, _BOOKWORM_32)
_THROTTLE = "get_throttled bits (sysfs, else vcgencmd); rpi_volt in0_lcrit_alarm"
_ALL_POWER = "all power: there is no current sensor on the board"
_NO_RTC = "no real-time clock: the date jumps when NTP answers; durations use the monotonic clock"

PI_ZERO_2_W = BoardModel(
    name="Raspberry Pi Zero 2 W",
    page="raspberry-pi-zero-2-w",
    kind=KIND.name,
    compatible=("raspberrypi,model-zero-2-w", "raspberrypi,model-zero-2"),
    model_pattern=r"^Raspberry Pi Zero 2",
    soc="BCM2710A1 (device tree: bcm2837)",
    cores="4 x Cortex-A53",
    isa="ARMv8.0-A",
    lse=False,
    ram_gb=(0.5,),
    power=None,
    needs_meter=_ALL_POWER,
    throttle="get_throttled bits (sysfs, else vcgencmd), but no under-voltage detector: those bits stay 0",
    systems=_SYSTEMS,
    notes=(_NO_RTC, "512 MB: torch imports and trains toy models only; prefer the native engine"),
)
PI_3 = BoardModel(
    name="Raspberry Pi 3",
    page="raspberry-pi-3",
    kind=KIND.name,
    compatible=("raspberrypi,3-model-*", "raspberrypi,3-compute-module*"),
    model_pattern=r"^Raspberry Pi (3|Compute Module 3)",
    soc="BCM2837 (B) / BCM2837B0 (B+, A+)",
    cores="4 x Cortex-A53",
    isa="ARMv8.0-A",
    lse=False,
    ram_gb=(0.5, 1.0),
    power=None,
    needs_meter=_ALL_POWER,
    throttle=_THROTTLE,
    systems=_SYSTEMS,
    notes=(_NO_RTC, "the 3B+ goes from 1400 to 1200 MHz at 60 C (soft temperature limit)"),
)
PI_4 = BoardModel(
    name="Raspberry Pi 4",
    page="raspberry-pi-4",
    kind=KIND.name,
    compatible=("raspberrypi,4-model-b", "raspberrypi,4-compute-module*", "raspberrypi,400"),
    model_pattern=r"^Raspberry Pi (4|400|Compute Module 4)",
    soc="BCM2711",
    cores="4 x Cortex-A72",
    isa="ARMv8.0-A",
    lse=False,
    ram_gb=(1.0, 2.0, 4.0, 8.0),
    power=None,
    needs_meter=_ALL_POWER,
    throttle=_THROTTLE,
    systems=_SYSTEMS,
    notes=(_NO_RTC,),
)
PI_5 = BoardModel(
    name="Raspberry Pi 5",
    page="raspberry-pi-5",
    kind=KIND.name,
    compatible=("raspberrypi,5-*", "raspberrypi,500*"),
    model_pattern=r"^Raspberry Pi (5|500|Compute Module 5)",
    soc="BCM2712",
    cores="4 x Cortex-A76",
    isa="ARMv8.2-A",
    lse=True,
    ram_gb=(1.0, 2.0, 4.0, 8.0, 16.0),
    power=Power(
        rails=(
            "3V7_WL_SW",
            "3V3_SYS",
            "1V8_SYS",
            "DDR_VDD2",
            "DDR_VDDQ",
            "1V1_SYS",
            "0V8_SW",
            "VDD_CORE",
            "3V3_DAC",
            "3V3_ADC",
            "0V8_AON",
            "HDMI",
        ),
        scope="rails_sum",
        source="PMIC (vcgencmd pmic_read_adc)",
        quantum_w=None,
        misses="USB, PCIe/NVMe, fan, HATs and converter losses: a lower bound",
    ),
    needs_meter="the power of the whole board: the PMIC's rails are a lower bound of it",
    throttle=_THROTTLE + "; EXT5V",
    systems=_SYSTEMS,
    notes=("early firmware (October 2023) reads too much power: update it, the probe records its version",),
)

BOARDS: tuple[BoardModel, ...] = (PI_ZERO_2_W, PI_3, PI_4, PI_5)
