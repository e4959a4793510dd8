"""What a search may cost at most and must reach at least: ``ms=5,mb=20,accuracy>=0.9`` as bounds of quantities."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunebench.reports.analysis.quantities import Quantity
from tunebench.reports.formatting.units import joules, percent, seconds, size

_BOUND = re.compile(r"\s*([A-Za-z_]+)\s*(<=|>=|=)\s*([0-9.eE+-]+)\s*\Z")


@dataclass(frozen=True, slots=True)
class Unit:
    """A word of a budget.

    Attributes:
        quantity: what it is of.
        scale: one of it in seconds, bytes, joules or shares.
        what: in words.
    """

    quantity: Quantity
    scale: float
    what: str


#: Word of a budget -> what it bounds: of a network in a runtime one call, of a method one fine-tuning.
UNITS: Mapping[str, Unit] = {
    "ms": Unit("time", 1e-3, "milliseconds"),
    "s": Unit("time", 1.0, "seconds"),
    "kb": Unit("memory", 1e3, "peak memory of the process in 1000 bytes"),
    "mb": Unit("memory", 1e6, "peak memory of the process in 1000000 bytes"),
    "mj": Unit("energy", 1e-3, "millijoules, gross"),
    "j": Unit("energy", 1.0, "joules, gross"),
    "accuracy": Unit("accuracy", 1.0, "a share from 0 to 1"),
}


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit of a quantity, in seconds, bytes, joules or as a share: at least for accuracy, else at most."""

    quantity: Quantity
    limit: float

    def excess(self, values: Mapping[str, float]) -> float:
        """Return by what share of the limit a value misses it; 0: it holds; infinite: there is no value."""
        value = values.get(self.quantity)
        if value is None:
            return math.inf
        over = self.limit - value if self.quantity == "accuracy" else value - self.limit
        return max(0.0, over / self.limit)

    @property
    def words(self) -> str:
        """Return it for people."""
        sign = "at least" if self.quantity == "accuracy" else "at most"
        return f"{self.quantity} {sign} {shown(self.quantity, self.limit)}"


@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds that hold together.

    >>> budget = parse_budget("ms=5, accuracy>=0.9")
    >>> budget.words
    'time at most 5.00 ms, accuracy at least 90.0%'
    >>> budget.excess({"time": 0.006, "accuracy": 0.95})
    0.2
    """

    bounds: tuple[Bound, ...]

    @property
    def words(self) -> str:
        """Return it for people."""
        return ", ".join(bound.words for bound in self.bounds)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Return what is bounded."""
        return tuple(bound.quantity for bound in self.bounds)

    def excess(self, values: Mapping[str, float]) -> float:
        """Return by how much values miss it: the bounds' shares together; 0: all hold."""
        return round(math.fsum(bound.excess(values) for bound in self.bounds), 12)


def parse_budget(text: str) -> Budget:
    """Return a budget.

    Raises:
        ValueError: names the part, and what it may be.
    """
    bounds: list[Bound] = []
    for part in text.split(","):
        bound = _parsed(part)
        if bound.quantity in [other.quantity for other in bounds]:
            raise ValueError(f"{part.strip()!r}: {bound.quantity} is bounded twice")
        bounds.append(bound)
    return Budget(tuple(bounds))


def unit_of(word: str) -> Unit:
    """Return what a word of a budget bounds.

    Raises:
        ValueError: it is none.
    """
    if word.lower() not in UNITS:
        known = ", ".join(f"{name} ({unit.what})" for name, unit in UNITS.items())
        raise ValueError(f"unknown quantity {word!r}; allowed: {known}")
    return UNITS[word.lower()]


def _parsed(part: str) -> Bound:
    matched = _BOUND.match(part)
    if matched is None:
        raise ValueError(
            f"{part.strip()!r} is no bound; bounds are like ms=5 (at most) or accuracy>=0.9 (at least)"
        )
    word, sign, digits = matched.groups()
    unit = unit_of(word)
    least = unit.quantity == "accuracy"
    if sign == ("<=" if least else ">="):
        raise ValueError(f"{part.strip()!r}: {word} is bounded from {'below' if least else 'above'}")
    try:
        number = float(digits)
    except ValueError:
        raise ValueError(f"{part.strip()!r}: {digits!r} is no number") from None
    if not 0 < number < math.inf or (least and number > 1):
        raise ValueError(f"{part.strip()!r}: {word} is {unit.what if least else 'a number above 0'}")
    return Bound(unit.quantity, number * unit.scale)


def shown(quantity: str, value: float | None) -> str:
    """Return a value of a quantity for people; a dash where there is none."""
    if value is None:
        return "–"
    words: dict[str, Callable[[float], str]] = {
        "time": seconds,
        "memory": size,
        "energy": joules,
        "accuracy": percent,
    }
    return words[quantity](value)
