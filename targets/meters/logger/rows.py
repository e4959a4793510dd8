"""The rows of a logger's file as times and watts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from tunebench.targets.meters.base import Errors
from tunebench.targets.meters.logger.fields import Form
from tunebench.targets.meters.logger.table import Cell, Table, row_width
from tunebench.targets.meters.logger.times import DAY_S, Moment, advice, is_compact, read_moment
from tunebench.targets.meters.logger.units import Quantity

#: A logger's first rows may be odd; if so many are, the keys are.
_FIRST_ROWS = 10
#: Rows with which the end of a last one is compared.
_ROWS_COMPARED = 1000


class Row(NamedTuple):
    """One reading: its time in seconds, and watts (``None``: a gap)."""

    t_s: float
    power_w: float | None


@dataclass(frozen=True)
class Reader:
    """Reads the rows of one file.

    Attributes:
        voltage_v: stands for a column of voltages.
        time_format: of dates, as strptime takes it; ``None``: see :func:`.times.read_moment`.
        is_host_clock: times are those of this host's own clock.
    """

    table: Table
    form: Form
    voltage_v: float | None = None
    time_format: str | None = None
    is_host_clock: bool = False

    def moment(self, fields: Sequence[str]) -> Moment | None:
        """Return the time of a row; ``None``: it has none."""
        cell = self.table.cells["time"]
        text = _text(cell, fields)
        if self.time_format is None and (cell.is_unit_told or not is_compact(text)):
            number = self.form.number(text, "time")
            if number is not None:
                seconds = number.value * (cell.factor if number.factor is None else number.factor)
                return Moment("number", seconds) if math.isfinite(seconds) else None
        return read_moment(text, self.time_format, is_local=self.is_host_clock)

    def power(self, fields: Sequence[str]) -> tuple[float | None, str | None]:
        """Return the watts of a row, and what is wrong with them if something is."""
        product = 1.0 if self.voltage_v is None else self.voltage_v
        for quantity, cell in self.table.cells.items():
            if quantity != "time":
                value, problem = self._value(cell, fields)
                if value is None:
                    return None, problem
                product *= value
        return (product, None) if math.isfinite(product) else (None, None)

    def problem(self, line: str) -> str | None:
        """Return why the file's first row cannot be read, and what would be right; ``None``: it can."""
        fields = self.form.cut(line)
        cell, moment = self.table.cells["time"], self.moment(fields)
        text = _text(cell, fields)
        if moment is None:
            return (
                f"{cell.asked.named} holds {text[:40]!r}: {self._other_decimal(text, 'time') or advice(text)}"
            )
        if moment.form == "clock" and self.is_host_clock:
            return (
                f'{cell.asked.named} holds times of day without a date ({text[:40]!r}): clock = "host-wall" needs dates '
                'or seconds since 1970; with clock = "own" load pulses place them'
            )
        for quantity, cell in self.table.cells.items():
            if quantity != "time" and self._value(cell, fields)[1] is not None:
                text = _text(cell, fields)
                return f"{cell.asked.named} holds {text[:40]!r}: {self._other_decimal(text, quantity) or 'no number'}"
        return None

    def _value(self, cell: Cell, fields: Sequence[str]) -> tuple[float | None, str | None]:
        text = _text(cell, fields)
        number = self.form.number(text, cell.asked.quantity)
        if number is None:
            # "nan", "-", "OL": the logger had no value; digits that cannot be read are another matter.
            return None, f"no number in the {cell.asked.quantity} of this row" if _has_digits(text) else None
        return number.value * (cell.factor if number.factor is None else number.factor), None

    def _other_decimal(self, text: str, quantity: Quantity) -> str | None:
        decimal = "," if self.form.decimal == "." else "."
        other = replace(self.form, decimal=decimal)
        return f'give decimal = "{decimal}"' if other.number(text, quantity) is not None else None


def _text(cell: Cell, fields: Sequence[str]) -> str:
    return fields[cell.index] if cell.index < len(fields) else ""


def read_rows(lines: Sequence[str], reader: Reader, errors: Errors) -> list[Row]:
    """Return the readings in lines of data; what cannot be read becomes an error with the line's beginning.

    All times must be written in one way, that of the first; a time of day that falls by half a day has passed midnight.
    """
    width = reader.table.width or row_width(lines, reader.form)
    misfit = reader.table.misfit(width)
    if misfit is not None:
        errors.add(misfit)
        return []
    rows: list[Row] = []
    form, days = None, 0
    for line in lines:
        fields = reader.form.cut(line)
        moment = reader.moment(fields)
        if moment is None or moment.form != (form or moment.form):
            errors.add(f"no time in this row: {line[:60]!r}")
            continue
        if len(fields) != width:  # torn, or cut where it should not be: a value may stand in another's place
            errors.add(f"{len(fields)} fields in this row, {width} in others: {line[:60]!r}")
            continue
        form = moment.form
        power_w, problem = reader.power(fields)
        if problem is not None:
            errors.add(f"{problem}: {line[:60]!r}")
        t_s = moment.seconds + days * DAY_S
        if form == "clock" and rows and t_s < rows[-1].t_s - DAY_S / 2:
            days += 1
            t_s += DAY_S
        rows.append(Row(t_s, power_w))
    return rows


def refusal(lines: Sequence[str], reader: Reader) -> str | None:
    """Return why none of a file's first rows can be read, and what would be right; ``None``: some can."""
    problems = [reader.problem(line) for line in lines[:_FIRST_ROWS]]
    return problems[0] if problems and None not in problems else None


def may_be_cut(last: str, lines: Sequence[str], reader: Reader) -> bool:
    """Tell whether a last line without a line end may have lost digits of a value that is read.

    It has not where its last field is another one, is in quotes, or has as many decimals as in all other rows.
    """
    fields = reader.form.cut(last)
    place = len(fields) - 1
    if last.endswith('"') or place not in {cell.index for cell in reader.table.cells.values()}:
        return False
    rows = [reader.form.cut(line) for line in (*lines[-_ROWS_COMPARED:], last)]
    ends = {_decimals(row[place]) for row in rows[:-1] if len(row) == len(fields) and _has_digits(row[place])}
    return ends != {_decimals(fields[place])} or ends == {""}


def _decimals(text: str) -> str:
    """Return what follows the last decimal sign, each digit as 0; empty: there is no such sign."""
    _, *decimals = re.split(r"[.,](?=[^.,]*$)", text)
    return re.sub(r"\d", "0", decimals[0]) if decimals else ""


def _has_digits(text: str) -> bool:
    return any(character.isdigit() for character in text)
