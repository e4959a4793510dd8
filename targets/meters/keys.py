"""``[board.meter]`` of the inventory: the keys of every kind of external meter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Scope = Literal["wall_ac", "dc_input", "board_input", "module", "rails_sum", "soc_rail"]
Column = str | int


def host_path(value: str) -> str:
    """A path on this machine, ``~`` expanded.

    Raises:
        ValueError: no file can have that name.
    """
    if "\0" in value:
        raise ValueError("a path holds no NUL character")
    try:
        return str(Path(value).expanduser())
    except RuntimeError:
        raise ValueError(f"{value.split('/', 1)[0]!r}: no such user on this machine") from None


HostPath = Annotated[str, AfterValidator(host_path)]
_ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class _Meter(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    scope: Scope = Field(description="what the meter's power covers: scopes never meet in one column")

    def spec(self) -> dict[str, Any]:
        """As :func:`tunebench.targets.meters.open_meter` takes it; keys that are not given are left out."""
        return self.model_dump(exclude_none=True)


class HwmonMeter(_Meter):
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


class SerialCsvMeter(_Meter):
    """A microcontroller that prints ``t_us,mV,mA[,gpio]``."""

    kind: Literal["serial-csv"]
    port: str = Field(min_length=1, description="e.g. /dev/serial/by-id/usb-...")
    baud: int = Field(default=115200, gt=0)
    quantum_w: float | None = Field(default=None, gt=0)
    latency_s: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="at most so long from a sample to the host, beyond the wire's time",
    )


class CsvReplayMeter(_Meter):
    """The file of a vendor's logger."""

    kind: Literal["csv-replay"]
    path: HostPath = Field(min_length=1)
    time_column: Column
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    clock: Literal["own", "host-wall"] = Field(
        default="own",
        description="own: aligned by load pulses; host-wall: epoch times of this host's own clock",
    )
    power_column: Column | None = None
    power_unit: Literal["W", "mW", "uW"] = "W"
    voltage_column: Column | None = None
    voltage_unit: Literal["V", "mV", "uV"] = "V"
    current_column: Column | None = None
    current_unit: Literal["A", "mA", "uA"] = "A"
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="a space stands for any white space"
    )
    decimal: Literal[".", ","] = "."
    header: bool = Field(default=True, description="the first row that is no comment names the columns")
    rate_hz: float | None = Field(default=None, gt=0, description="rebuild times from the count of samples")
    quantum_w: float | None = Field(default=None, gt=0)
    chip_s: float = Field(default=0.5, ge=0.1, le=10, description="length of a load pulse's chip, seconds")

    @model_validator(mode="after")
    def _power_or_its_factors(self) -> CsvReplayMeter:
        factors = (self.voltage_column, self.current_column)
        if (self.power_column is None) == (None in factors) or (None in factors and factors != (None, None)):
            raise ValueError("give either 'power_column', or 'voltage_column' and 'current_column'")
        return self


class ShellyMeter(_Meter):
    """A Shelly plug or relay in the local network."""

    kind: Literal["shelly"]
    host: str = Field(min_length=1, description="name or address, optionally with :port")
    channel: int = Field(default=0, ge=0, le=15, description="the switch's id")
    generation: Literal[1, 2] = Field(default=2, description="2 stands for Gen2 and newer")
    user: str = Field(default="admin", min_length=1)
    password_env: str | None = Field(
        default=None,
        pattern=_ENV_NAME,
        description="name of the environment variable that holds the password",
    )
    rate_hz: float = Field(default=1.0, gt=0, le=10)
    timeout_s: float = Field(default=3.0, gt=0, le=30)


class JoulescopeMeter(_Meter):
    """A Joulescope JS220 or JS110 (extra 'joulescope')."""

    kind: Literal["joulescope"]
    serial: str | None = Field(default=None, description="where several are plugged in, e.g. '001234'")
    rate_hz: float = Field(default=50.0, gt=0, le=1000)


MeterEntry = Annotated[
    HwmonMeter | SerialCsvMeter | CsvReplayMeter | ShellyMeter | JoulescopeMeter, Field(discriminator="kind")
]


def placed(meter: MeterEntry, folder: Path) -> MeterEntry:
    """With paths that are given relative to the inventory made absolute."""
    if isinstance(meter, CsvReplayMeter):
        return meter.model_copy(update={"path": str((folder / meter.path).resolve())})
    if isinstance(meter, HwmonMeter) and meter.root != "/":
        return meter.model_copy(update={"root": str((folder / meter.root).resolve())})
    return meter
