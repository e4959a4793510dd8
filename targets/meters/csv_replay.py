"""The file that a vendor's logger writes, as a meter: a column mapping, units, and a clock.

The logger runs beside the campaign and appends to its file; what it appended between ``start`` and ``stop`` is the
trace. A file that does not grow is taken whole (a recording, replayed). With ``clock = "own"`` the trace is aligned by
load pulses; with ``host-wall`` its times are epoch times of this host's own wall clock.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tunebench.targets.meters.base import Errors, Meter, MeterError, MeterInfo, MeterTrace
from tunebench.targets.meters.keys import HostPath, MeterKeys
from tunebench.targets.meters.logger.fields import Form
from tunebench.targets.meters.logger.rows import Reader, Row, may_be_cut, read_rows, refusal
from tunebench.targets.meters.logger.table import Asked, Unreadable, find_table
from tunebench.targets.meters.logger.text import Encoding, encoding_of, is_comment, split_lines
from tunebench.targets.meters.logger.units import SYMBOLS, Quantity

MAX_FILE_B = 256 * 1024 * 1024
#: A logger that buffers may write the end of the run so much later.
SETTLE_S = 3.0
#: The host's wall clock may be slewed by this much between start and stop.
_MAX_WALL_STEP_S = 0.02
#: Samples this long before start and after stop are kept, so that the window's edges have neighbours.
_MARGIN_S = 5.0
#: So much of a file's beginning is looked at for the names of its columns and its first rows.
_HEAD_B = 64 * 1024

Column = str | int


class Keys(MeterKeys):
    """The file of a vendor's logger."""

    kind: Literal["csv-replay"]
    path: HostPath = Field(min_length=1)
    time_column: Column
    time_unit: Literal["s", "ms", "us", "ns"] | None = Field(
        default=None, description="of times that are numbers; default: as the column's name says, else s"
    )
    time_format: str | None = Field(
        default=None,
        min_length=2,
        description='of dates that can be read in two ways, as strptime takes it: "%d/%m/%Y %H:%M:%S.%f"',
    )
    clock: Literal["own", "host-wall"] = Field(
        default="own",
        description="own: aligned by load pulses; host-wall: epoch times of this host's own clock",
    )
    power_column: Column | None = None
    power_unit: Literal["W", "mW", "uW"] | None = Field(
        default=None, description="default: as the column's name says, else W"
    )
    voltage_v: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="in place of a column, for a logger of currents alone: the set voltage",
    )
    voltage_column: Column | None = None
    voltage_unit: Literal["V", "mV", "uV"] | None = Field(
        default=None, description="default: as the column's name says, else V"
    )
    current_column: Column | None = None
    current_unit: Literal["A", "mA", "uA"] | None = Field(
        default=None, description="default: as the column's name says, else A"
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="a space stands for any white space"
    )
    decimal: Literal[".", ","] = "."
    header: bool = Field(default=True, description="a line names the columns; it may be written as a comment")
    rate_hz: float | None = Field(default=None, gt=0, description="rebuild times from the count of samples")
    quantum_w: float | None = Field(default=None, gt=0)
    chip_s: float = Field(default=0.5, ge=0.1, le=10, description="length of a load pulse's chip, seconds")

    @property
    def exclusive_name(self) -> None:
        """Return None: a file serves any number of readers."""

    @field_validator("time_format")
    @classmethod
    def _is_a_time_format(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            datetime.strptime(datetime.now().strftime(value), value)
        except (ValueError, re.error) as error:
            raise ValueError(f"{value!r} is no format of strptime: {error}") from None
        return value

    @model_validator(mode="after")
    def _power_or_its_factors(self) -> Keys:
        has_voltage = self.voltage_column is not None or self.voltage_v is not None
        has_current = self.current_column is not None
        if has_voltage != has_current or has_current == (self.power_column is not None):
            raise ValueError(
                "give either 'power_column', or 'current_column' with 'voltage_column' (or 'voltage_v', if it is fixed)"
            )
        if self.voltage_column is not None and self.voltage_v is not None:
            raise ValueError("give 'voltage_column' or 'voltage_v', not both")
        if self.delimiter == self.decimal and not self.header:
            raise ValueError(
                "'delimiter' and 'decimal' are both ',': without a header fields and decimals look alike"
            )
        return self

    def placed(self, folder: Path) -> Self:
        """Return the keys with the file's path made absolute."""
        return self.model_copy(update={"path": str((folder / self.path).resolve())})

    @property
    def pulse_chip_s(self) -> float:
        """Return the length of a load pulse's chip (s)."""
        return self.chip_s

    @property
    def columns(self) -> list[Asked]:
        """Return which columns are read, and their units as far as the keys tell them."""
        columns: list[tuple[Quantity, Column | None, str | None, str]] = [
            ("time", self.time_column, self.time_unit, "s"),
            ("power", self.power_column, self.power_unit, "W"),
            ("voltage", self.voltage_column, self.voltage_unit, "V"),
            ("current", self.current_column, self.current_unit, "A"),
        ]
        return [
            Asked(quantity, column, None if unit is None else SYMBOLS[unit], SYMBOLS[default])
            for quantity, column, unit, default in columns
            if column is not None
        ]


def make(keys: Keys) -> CsvReplayMeter:
    """Return the meter that the keys describe."""
    return CsvReplayMeter(keys)


class CsvReplayMeter(Meter):
    """One file of a vendor's logger; the module's text says how it is read."""

    def __init__(self, keys: Keys) -> None:
        self._path = Path(keys.path)
        self._scope = keys.scope
        self._columns = keys.columns
        self._form = Form(keys.delimiter, keys.decimal, keys.header)
        self._clock: Literal["host", "own"] = "host" if keys.clock == "host-wall" else "own"
        self._time_format = keys.time_format
        self._voltage_v = keys.voltage_v
        self._rate_hz = keys.rate_hz
        self._quantum_w = keys.quantum_w
        self._encoding = Encoding()
        self._reader: Reader | None = None
        self._from_b = 0
        self._started: tuple[float, float] | None = None

    @property
    def info(self) -> MeterInfo:
        """Return what is known of the meter: nothing but its file and its keys."""
        return MeterInfo(
            id="logger's file",
            kind="csv-replay",
            scope=self._scope,
            source="csv" if self._voltage_v is None else f"csv, currents at {self._voltage_v:g} V",
            quantum_w=self._quantum_w,
            rate_hz=self._rate_hz,
            clock=self._clock,
        )

    def open(self) -> None:
        """Read the names of the columns, and look at the first rows.

        Raises:
            MeterError: no such file, too large a file, no text, a column that it does not have (those it has are named),
                or rows that cannot be read as the keys say (the message says what would be right).
        """
        data = self._bytes(0, _HEAD_B)
        encoding = encoding_of(data)
        if encoding is None:
            raise MeterError(f"{self._named}: it is no text (there are NUL bytes in it): export it as CSV")
        self._encoding = encoding
        lines = split_lines(encoding.text(data))
        if len(data) > _HEAD_B:
            lines.pop()
        try:
            table = find_table(lines, self._form, self._columns)
        except Unreadable as error:
            raise MeterError(f"{self._named}: {error}") from None
        self._reader = Reader(table, self._form, self._voltage_v, self._time_format, self._clock == "host")
        # The last line may still be written.
        first = [line for line in lines[table.begin : -1] if not is_comment(line)]
        problem = refusal(first, self._reader)
        if problem is not None:
            raise MeterError(f"{self._named}: {problem}")

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
        t_s, power_w = [row.t_s for row in rows], [row.power_w for row in rows]
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
        readings = [
            (t - wall_s, power)
            for t, power in zip(t_s, power_w, strict=True)
            if started_s - _MARGIN_S <= t - wall_s <= stopped_s + _MARGIN_S
        ]
        if t_s and not readings:
            errors.add(
                f"none of its {len(t_s)} readings lies within the run: the last is {t_s[-1] - wall_s - stopped_s:+.0f} s "
                "from its end; are its times those of this host's clock, in seconds?"
            )
        return MeterTrace(
            self.info,
            [row[0] for row in readings],
            [row[1] for row in readings],
            None,
            errors.list(),
            step_s + 1e-3,
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

    def _bytes(self, from_b: int, limit_b: int) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(from_b)
                data = file.read(limit_b + 1)
        except OSError as error:
            raise MeterError(f"{self._named}: {error.strerror}") from None
        if len(data) > limit_b == MAX_FILE_B:
            raise MeterError(f"{self._named}: more than {MAX_FILE_B} bytes")
        return data

    def _rows(self, from_b: int, errors: Errors) -> list[Row]:
        """Return the readings; rows that cannot be read, and a last one that may be cut, are errors."""
        if self._reader is None:
            raise MeterError(f"{self._named}: it is not open")
        width_b = self._encoding.width_b
        begin_b = max(0, from_b - from_b % width_b - width_b)
        lines = split_lines(self._encoding.text(self._bytes(begin_b, MAX_FILE_B)))
        last = lines.pop()  # what has no line end: of a growing file it is left for the next time
        if len(lines) < self._reader.table.begin:
            last = ""  # the names of the columns
        # A part begins with the end of the line before it, a whole file with the names of its columns.
        lines = lines[1:] if from_b else lines[self._reader.table.begin :]
        lines = [line for line in lines if not is_comment(line)]
        problem = refusal(lines, self._reader)
        if problem is not None:
            errors.add(problem)
        if from_b == 0 and not is_comment(last):
            if may_be_cut(last, lines, self._reader):
                errors.add(f"the last row has no line end and may be cut: {last[:60]!r}")
            else:
                lines.append(last)
        return read_rows(lines, self._reader, errors)
