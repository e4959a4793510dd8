"""The file that a vendor's logger writes, as a meter: a column mapping, units, and a clock.

The logger runs beside the campaign and appends to its file; what it appended between ``start`` and ``stop`` is the
trace. A file that does not grow is taken whole (a recording, replayed). With ``clock = "own"`` the trace is aligned by
load pulses; with ``host-wall`` its times are epoch times of this host's own wall clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from tunebench.targets.meters.base import Errors, Meter, MeterError, MeterInfo, MeterTrace
from tunebench.targets.meters.keys import HostPath, MeterKeys

MAX_FILE_B = 256 * 1024 * 1024
#: A logger that buffers may write the end of the run so much later.
SETTLE_S = 3.0
#: The host's wall clock may be slewed by this much between start and stop.
_MAX_WALL_STEP_S = 0.02
#: Samples this long before start and after stop are kept, so that the window's edges have neighbours.
_MARGIN_S = 5.0
_TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6}

Column = str | int


@dataclass(frozen=True)
class Mapped:
    """Which columns hold what, and in what unit (factor to s, W, V, A)."""

    time: Column
    time_factor: float
    power: Column | None
    power_factor: float
    voltage: Column | None
    voltage_factor: float
    current: Column | None
    current_factor: float

    @property
    def used(self) -> list[Column]:
        """Return all columns that are read."""
        return [
            column for column in (self.time, self.power, self.voltage, self.current) if column is not None
        ]


@dataclass(frozen=True)
class Format:
    """How a line is cut and a number is written."""

    delimiter: str = ","
    decimal: str = "."
    header: bool = True

    def cut(self, line: str) -> list[str]:
        """Split a line into its fields; a space as delimiter stands for any white space."""
        fields = line.split() if self.delimiter == " " else line.split(self.delimiter)
        return [field.strip().strip('"') for field in fields]

    def number(self, text: str) -> float | None:
        """Return a finite number, or None."""
        try:
            value = float(text.replace(self.decimal, ".") if self.decimal != "." else text)
        except ValueError:
            return None
        return value if math.isfinite(value) else None


class Keys(MeterKeys):
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
    def _power_or_its_factors(self) -> Keys:
        factors = (self.voltage_column, self.current_column)
        if (self.power_column is None) == (None in factors) or (None in factors and factors != (None, None)):
            raise ValueError("give either 'power_column', or 'voltage_column' and 'current_column'")
        return self

    def placed(self, folder: Path) -> Self:
        """Return the keys with the file's path made absolute."""
        return self.model_copy(update={"path": str((folder / self.path).resolve())})

    @property
    def pulse_chip_s(self) -> float:
        """Return the length of a load pulse's chip (s)."""
        return self.chip_s

    @property
    def columns(self) -> Mapped:
        """Return which columns are read, with the factors of their units."""
        return Mapped(
            self.time_column,
            _TIME_UNITS[self.time_unit],
            self.power_column,
            _PREFIXES[self.power_unit.removesuffix("W")],
            self.voltage_column,
            _PREFIXES[self.voltage_unit.removesuffix("V")],
            self.current_column,
            _PREFIXES[self.current_unit.removesuffix("A")],
        )


def make(keys: Keys) -> CsvReplayMeter:
    """Return the meter that the keys describe."""
    return CsvReplayMeter(keys)


class CsvReplayMeter(Meter):
    """One file of a vendor's logger; the module's text says how it is read."""

    def __init__(self, keys: Keys) -> None:
        self._path = Path(keys.path)
        self._scope = keys.scope
        self._columns = keys.columns
        self._form = Format(keys.delimiter, keys.decimal, keys.header)
        self._clock: Literal["host", "own"] = "host" if keys.clock == "host-wall" else "own"
        self._rate_hz = keys.rate_hz
        self._quantum_w = keys.quantum_w
        self._names: list[str] | None = None
        self._from_b = 0
        self._started: tuple[float, float] | None = None

    @property
    def info(self) -> MeterInfo:
        """Return what is known of the meter: nothing but its file and its keys."""
        return MeterInfo(
            id="logger's file",
            kind="csv-replay",
            scope=self._scope,
            source="csv",
            quantum_w=self._quantum_w,
            rate_hz=self._rate_hz,
            clock=self._clock,
        )

    def open(self) -> None:
        """Read the names of the columns.

        Raises:
            MeterError: no such file, too large a file, or a column that it does not have (those it has are named).
        """
        first = next((line for line in self._text(0, 64 * 1024).splitlines() if _says_something(line)), None)
        if first is None:
            raise MeterError(f"{self._named}: the file is empty: start the logger first")
        fields = self._form.cut(first)
        self._names = fields if self._form.header else None
        for column in self._columns.used:
            self._index(column, len(fields))

    def start(self) -> None:
        """Remember how far the file has got."""
        self._from_b = self._size_b()
        self._started = (time.monotonic(), time.time() - time.monotonic())

    def stop(self) -> MeterTrace:
        """Return what was appended since ``start``, or the whole of a file that did not grow."""
        if self._started is None:
            raise MeterError(f"{self._named}: stop() without start()")
        (started_s, wall_s), self._started = self._started, None
        errors = Errors()
        stopped_s = time.monotonic()
        grown = self._settled()
        try:
            rows = self._rows(self._from_b if grown else 0, errors)
        except MeterError as error:
            errors.add(str(error))
            rows = []
        t_s, power_w = [row[0] for row in rows], [row[1] for row in rows]
        if self._rate_hz is not None and t_s:
            t_s = [t_s[0] + index / self._rate_hz for index in range(len(t_s))]
        elif any(b <= a for a, b in pairwise(t_s)):
            errors.add(
                "its times do not increase: give 'rate_hz', then times are rebuilt from the count of samples"
            )
        if self._clock == "own":
            return MeterTrace(self.info, t_s, power_w, None, errors.list())
        step_s = abs(time.time() - time.monotonic() - wall_s)
        if step_s > _MAX_WALL_STEP_S:
            errors.add(f"the host's wall clock moved by {step_s:.3f} s meanwhile: its times cannot be placed")
            return MeterTrace(self.info, [], [], None, errors.list())
        kept = [
            (t - wall_s, power)
            for t, power in zip(t_s, power_w, strict=True)
            if started_s - _MARGIN_S <= t - wall_s <= stopped_s + _MARGIN_S
        ]
        return MeterTrace(
            self.info, [row[0] for row in kept], [row[1] for row in kept], None, errors.list(), step_s + 1e-3
        )

    def close(self) -> None:
        """Do nothing: nothing is held."""

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _named(self) -> str:
        return f"csv-replay meter {self._path}"

    def _size_b(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError as error:
            raise MeterError(f"{self._named}: {error.strerror}") from None

    def _settled(self) -> bool:
        """Tell whether the file grew since ``start``; a growing one is given time to write its end."""
        try:
            size_b = self._size_b()
            if size_b <= self._from_b:
                return False
            give_up_s = time.monotonic() + SETTLE_S
            while time.monotonic() < give_up_s and self._size_b() == size_b:
                time.sleep(0.05)
        except MeterError:
            return False
        return True

    def _text(self, from_b: int, limit_b: int) -> str:
        try:
            with self._path.open("rb") as file:
                file.seek(from_b)
                data = file.read(limit_b + 1)
        except OSError as error:
            raise MeterError(f"{self._named}: {error.strerror}") from None
        if len(data) > limit_b == MAX_FILE_B:
            raise MeterError(f"{self._named}: more than {MAX_FILE_B} bytes")
        return data.decode("utf-8", "replace").removeprefix("\ufeff")

    def _rows(self, from_b: int, errors: Errors) -> list[tuple[float, float | None]]:
        """Return times and watts; a torn last line is left for the next time, others that cannot be read are errors."""
        text = self._text(max(0, from_b - 1), MAX_FILE_B)
        lines = text.split("\n")
        torn = lines.pop()
        if from_b == 0 and _says_something(torn):
            lines.append(torn)  # a whole file may end without a newline
        elif from_b:
            lines = lines[1:]  # the line in which the part begins
        lines = [line for line in lines if _says_something(line)]
        if from_b == 0 and self._names is not None:
            lines = lines[1:]
        rows: list[tuple[float, float | None]] = []
        for line in lines:
            row = self._row(self._form.cut(line))
            if isinstance(row, str):
                errors.add(f"{row}: {line[:60]!r}")
            else:
                rows.append(row)
        return rows

    def _row(self, fields: Sequence[str]) -> tuple[float, float | None] | str:
        def value(column: Column | None, factor: float) -> float | None:
            index = None if column is None else self._index(column, len(fields), strict=False)
            if index is None or index >= len(fields):
                return None
            number = self._form.number(fields[index])
            return None if number is None else _finite(number * factor)

        columns = self._columns
        t_s = value(columns.time, columns.time_factor)
        if t_s is None:
            return "no time in this row"
        if columns.power is not None:
            return t_s, value(columns.power, columns.power_factor)
        volts = value(columns.voltage, columns.voltage_factor)
        amperes = value(columns.current, columns.current_factor)
        return t_s, None if volts is None or amperes is None else _finite(volts * amperes)

    def _index(self, column: Column, width: int, *, strict: bool = True) -> int:
        """Return the place of a column.

        Raises:
            MeterError: the file does not have it.
        """
        if isinstance(column, int):
            if strict and not 0 <= column < width:
                raise MeterError(f"{self._named}: no column number {column}; it has 0 to {width - 1}")
            return column
        if self._names is None:
            raise MeterError(
                f"{self._named}: with header = false columns are given by number, not {column!r}"
            )
        if column not in self._names:
            raise MeterError(f"{self._named}: no column {column!r}; it has: {', '.join(self._names)}")
        return self._names.index(column)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")
