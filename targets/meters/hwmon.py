"""A power sensor that the host's own kernel drives (Documentation/hwmon/{ina2xx,ina238,ina3221,powerz}.rst).

Sensors are found by chip name, channel label and i2c address; hwmon numbers move between boots. The drivers take
10 000 uohm for granted where nobody told them the shunt: power is then silently wrong by the ratio, so a
``shunt_uohm`` in the inventory that differs from the driver's is an error.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from tunebench.targets.meters.base import MeterError, MeterInfo
from tunebench.targets.meters.keys import HostPath, MeterKeys
from tunebench.targets.meters.polled import PolledMeter, ReadError, Reading

DEFAULT_RATE_HZ = 10.0
_MAX_DEFAULT_RATE_HZ = 50.0
#: Quantum of the power register: 25 (or 20) current steps of 1e9 / divisor / shunt uA (drivers/hwmon/ina2xx.c).
_POWER_STEP = {
    "ina219": (100, 20),
    "ina220": (100, 20),
    "ina226": (400, 25),
    "ina230": (400, 25),
    "ina231": (400, 25),
}
#: Through these chips current flows either way; what counts is its amount, but it must keep its direction.
_EITHER_WAY = ("powerz",)
#: Below this a changed sign is noise around zero.
_SIGN_NOISE_MA = 5


@dataclass(frozen=True)
class _Files:
    """What is read of one channel, by file name in the device's folder; None where it does not exist."""

    power: str | None
    voltage: str | None
    current: str | None
    energy: str | None
    shunt: str | None


class Keys(MeterKeys):
    """A sensor of the host's kernel: INA219/226/228/3221, KM003C."""

    kind: Literal["hwmon"]
    chip: str = Field(
        min_length=1, description="content of the device's 'name' file, e.g. ina226, ina3221, powerz"
    )
    label: str | None = Field(default=None, description="channel, where the chip labels its channels")
    address: str | None = Field(
        default=None, description="i2c address where several are alike: '0x40' or '1-0040'"
    )
    shunt_uohm: int | None = Field(
        default=None, gt=0, description="the shunt that is soldered in: must be the driver's"
    )
    rate_hz: float | None = Field(default=None, gt=0, le=500)
    root: HostPath = Field(default="/", description="where /sys begins (another folder: a simulated tree)")

    @property
    def exclusive_name(self) -> None:
        """Return None: the kernel's files serve any number of readers."""

    def placed(self, folder: Path) -> Self:
        """Return the keys with the simulated tree's path made absolute."""
        if self.root == "/":
            return self
        return self.model_copy(update={"root": str((folder / self.root).resolve())})


def make(keys: Keys) -> HwmonMeter:
    """Return the meter that the keys describe."""
    return HwmonMeter(keys)


class HwmonMeter(PolledMeter):
    """One channel of one hwmon device."""

    def __init__(self, keys: Keys) -> None:
        super().__init__(1 / (keys.rate_hz or DEFAULT_RATE_HZ))
        self._chip = keys.chip
        self._scope = keys.scope
        self._label = keys.label
        self._address = keys.address
        self._shunt_uohm = keys.shunt_uohm
        self._rate_hz = keys.rate_hz
        self._root = Path(keys.root)
        self._folder = Path()
        self._files = _Files(None, None, None, None, None)
        self._open: dict[str, int] = {}
        self._sign = 0
        self._quantum_w: float | None = None

    @property
    def info(self) -> MeterInfo:
        """Return chip, address and channel; the quantum follows from the shunt where the driver's formula is known."""
        used = [name for name in (self._files.power, self._files.voltage, self._files.current) if name]
        names = used[:1] if self._files.power else used
        where = f" {_address_of(self._folder)}" if _address_of(self._folder) else ""
        return MeterInfo(
            id=f"{self._chip}{where}" + (f" {self._label}" if self._label else ""),
            kind="hwmon",
            scope=self._scope,
            source=f"hwmon {self._chip} {' x '.join(names)}".rstrip(),
            quantum_w=self._quantum_w,
            rate_hz=1 / self.period_s,
            clock="host",
        )

    def open(self) -> None:
        """Find the device and its channel, compare the shunt, read once.

        Raises:
            MeterError: no such device or channel, several of them, another shunt, or it cannot be read.
        """
        self._folder = self._find()
        self._files = self._channel()
        self._check_shunt()
        self._pace()
        try:
            reading = self.read()
        except ReadError as error:
            raise MeterError(f"{self._named}: {error}") from None
        self._quantum_w = self._quantum(reading)

    def read(self) -> Reading:
        """Read ``power1_input`` (uW), else volts times amperes; and the energy counter (uJ) where there is one."""
        files = self._files
        energy = None if files.energy is None else self._number(files.energy) * 1e-6
        if files.power is not None:
            return Reading(self._number(files.power) * 1e-6, energy)
        if files.voltage is None or files.current is None:
            raise ReadError("not open")
        volts, milliamperes = self._number(files.voltage) * 1e-3, self._number(files.current)
        return Reading(volts * self._directed(milliamperes) * 1e-3, energy)

    def release(self) -> None:
        """Close the files."""
        while self._open:
            os.close(self._open.popitem()[1])

    # -- finding ----------------------------------------------------------------------------------

    @property
    def _named(self) -> str:
        return f"hwmon meter {self._chip!r}"

    def _find(self) -> Path:
        folders = sorted((self._root / "sys/class/hwmon").glob("hwmon*"))
        names = [(folder, _text(folder / "name")) for folder in folders]
        matching = [folder for folder, name in names if name == self._chip and self._addressed(folder)]
        if len(matching) > 1 and self._label is not None:
            labelled = [folder for folder in matching if self._label in _labels(folder)]
            matching = labelled or matching
        if len(matching) == 1:
            return matching[0]
        if not matching:
            there = ", ".join(sorted(_seen(folder, name) for folder, name in names if name)) or "none"
            wanted = f" at {self._address}" if self._address else ""
            raise MeterError(f"{self._named}{wanted}: no such device below {self._root}; there are: {there}")
        addresses = ", ".join(_address_of(folder) or folder.name for folder in matching)
        raise MeterError(f"{self._named}: several devices match ({addresses}); say which with key 'address'")

    def _addressed(self, folder: Path) -> bool:
        if self._address is None:
            return True
        address = _address_of(folder)
        if address is None:
            return False
        bus, _, chip = address.partition("-")
        wanted_bus, _, wanted = self._address.rpartition("-")
        try:
            return int(wanted, 16) == int(chip, 16) and wanted_bus in ("", bus)
        except ValueError:
            raise MeterError(
                f"{self._named}: key 'address' is {self._address!r}; give it as '0x40' or '1-0040'"
            ) from None

    def _channel(self) -> _Files:
        names = {path.name for path in self._folder.iterdir()}

        def existing(name: str) -> str | None:
            return name if name in names else None

        index = self._index(names)
        if index is None:  # a chip with one channel; its first voltage may be the shunt's
            volts = existing("in0_input") if self._chip in _EITHER_WAY else existing("in1_input")
            files = _Files(
                existing("power1_input"),
                volts,
                existing("curr1_input"),
                existing("energy1_input"),
                existing("shunt_resistor"),
            )
        else:
            files = _Files(
                existing(f"power{index}_input"),
                existing(f"in{index}_input"),
                existing(f"curr{index}_input"),
                existing(f"energy{index}_input"),
                existing(f"shunt{index}_resistor") or existing("shunt_resistor"),
            )
        if files.power is None and None in (files.voltage, files.current):
            raise MeterError(
                f"{self._named}: neither power nor voltage and current in {self._folder}; it has: "
                + ", ".join(sorted(name for name in names if name.endswith("_input")))
            )
        return files

    def _index(self, there: set[str]) -> int | None:
        """Return the number of the channel with the wanted label; None: a chip with one channel."""
        if self._chip in _EITHER_WAY:
            return None
        labels = {
            index: _text(self._folder / f"{quantity}{index}_label") or ""
            for quantity in ("power", "in")
            for index in range(1, 9)
            if {f"{quantity}{index}_label", f"curr{index}_input"} <= there
        }
        known = ", ".join(labels[index] for index in sorted(labels)) or "none"
        if self._label is None:
            if len(labels) > 1:
                raise MeterError(f"{self._named}: several channels; say which with key 'label': {known}")
            return next(iter(labels), None)
        for index in sorted(labels):
            if labels[index] == self._label:
                return index
        if not labels and _text(self._folder / "label") == self._label:
            return None
        raise MeterError(f"{self._named}: no channel with label {self._label!r}; labels: {known}")

    # -- checking ---------------------------------------------------------------------------------

    def _check_shunt(self) -> None:
        if self._shunt_uohm is None:
            return
        if self._files.shunt is None:
            raise MeterError(
                f"{self._named}: key 'shunt_uohm' is given, but the driver does not say which shunt it reckons with"
            )
        shunt_uohm = _text(self._folder / self._files.shunt)
        if shunt_uohm != str(self._shunt_uohm):
            raise MeterError(
                f"{self._named}: the driver reckons with a shunt of {shunt_uohm} uohm, the inventory says "
                f"{self._shunt_uohm}: power would be wrong by their ratio. Write the right one to "
                f"{self._folder / self._files.shunt} (as root), or correct 'shunt_uohm'"
            )

    def _pace(self) -> None:
        """Read no faster than the sensor converts: the same value twice says nothing new."""
        interval = _text(self._folder / "update_interval")
        interval_s = float(interval) / 1e3 if interval and interval.isdigit() else 0.0
        if interval_s:
            # The value read is of the last finished conversion: on average one interval old at its middle.
            self.latency_s = interval_s
            fastest_hz = 1 / interval_s
            self.period_s = 1 / min(self._rate_hz or _MAX_DEFAULT_RATE_HZ, fastest_hz)

    def _quantum(self, reading: Reading) -> float | None:
        files = self._files
        shunt = _text(self._folder / files.shunt) if files.shunt else None
        if files.power is not None:
            step = _POWER_STEP.get(self._chip)
            if step is None or not shunt or not shunt.isdigit() or int(shunt) == 0:
                return None
            return step[1] * 1e9 / step[0] / int(shunt) * 1e-6
        # The files count in mA: one step of them at the present voltage; never finer than the chip's own.
        volts = self._number(str(files.voltage)) * 1e-3 if files.voltage else 0.0
        return abs(volts) * 1e-3 or None

    def _directed(self, milliamperes: float) -> float:
        if self._chip not in _EITHER_WAY:
            return milliamperes
        if abs(milliamperes) > _SIGN_NOISE_MA:
            sign = 1 if milliamperes > 0 else -1
            if self._sign and sign != self._sign:
                raise ReadError("the current changed its direction")
            self._sign = sign
        return abs(milliamperes)

    def _number(self, name: str) -> float:
        try:
            if name not in self._open:
                self._open[name] = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
            text = os.pread(self._open[name], 64, 0)
            return float(int(text))
        except OSError as error:
            descriptor = self._open.pop(name, None)
            if descriptor is not None:
                os.close(descriptor)  # a rebound driver leaves a dead descriptor: opened anew next time
            raise ReadError(f"{name}: {error.strerror}") from None
        except ValueError:
            raise ReadError(f"{name}: not a number: {text[:40]!r}") from None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip("\0 \n\t")
    except OSError:
        return None


def _address_of(folder: Path) -> str | None:
    """Return ``1-0040`` of an i2c device, from the link that sysfs gives its parent."""
    try:
        name = (folder / "device").resolve(strict=True).name
    except OSError:
        return None
    return name if re.fullmatch(r"\d+-[0-9a-f]{4}", name) else None


def _labels(folder: Path) -> set[str | None]:
    return {_text(path) for path in folder.glob("*label")}


def _seen(folder: Path, name: str | None) -> str:
    address = _address_of(folder)
    return f"{name} ({address})" if address else str(name)
