"""How a line is cut into fields, and how a field is read as a number."""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from tunebench.targets.meters.logger.units import Quantity, unit_named

_NUMBERS = {
    mark: re.compile(rf"([+-]?(?:\d+{mark}?\d*|{mark}\d+)(?:[eE][+-]?\d+)?)\s*(\S*)", re.ASCII)
    for mark in (r"\.", ",")
}


class Number(NamedTuple):
    """A finite number; ``factor`` turns it into s, W, V or A where the field itself tells a unit."""

    value: float
    factor: float | None


@dataclass(frozen=True)
class Form:
    """How a file is written: between its fields, within its numbers, and whether it names its columns."""

    delimiter: str = ","
    decimal: str = "."
    header: bool = True

    def cut(self, line: str) -> list[str]:
        """Split a line into its fields, without quotes; a space as delimiter stands for any white space."""
        if self.delimiter == " ":
            return [field.strip('"') for field in line.split()]
        if '"' not in line:
            return [field.strip() for field in line.split(self.delimiter)]
        try:
            (fields,) = csv.reader([line], delimiter=self.delimiter, skipinitialspace=True)
        except (csv.Error, ValueError):
            return []
        return [field.strip() for field in fields]

    def number(self, text: str, quantity: Quantity) -> Number | None:
        """Return the number in a field (``1.25``, ``1.25 W``, ``1250mW``); ``None``: there is none.

        The other sign for the decimals makes it no number: ``1.250`` may be one and a quarter or a thousand.
        """
        if self.decimal == "." and text.isascii() and "_" not in text:
            try:
                value = float(text)
                return Number(value, None) if math.isfinite(value) else None
            except ValueError:
                pass  # a unit may follow
        match = _NUMBERS[r"\." if self.decimal == "." else ","].fullmatch(text)
        if match is None:
            return None
        value = float(match[1].replace(",", "."))
        unit = unit_named(match[2]) if match[2] else None
        if not math.isfinite(value) or (match[2] and (unit is None or unit.quantity != quantity)):
            return None
        return Number(value, None if unit is None else unit.factor)
