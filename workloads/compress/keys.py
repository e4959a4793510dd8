"""Check the keys of a transform: their types, bounds and defaults. No torch, no numpy: a suite is checked by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: steps on the source domain behind a transform, to recover
STEPS = "steps"


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        default: None: it must be given.
        low, high: bounds of a number; ``low`` itself is allowed where ``integer`` is, else only what lies between.
        integer: it is a whole number.
        words: the words that it may be, in place of a number.
    """

    default: Any
    low: float = 0.0
    high: float = float("inf")
    integer: bool = False
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """Say what it may be."""
        if self.words:
            return ", ".join(self.words)
        if self.integer:
            return f"a whole number from {self.low:g}" + (
                "" if self.high == float("inf") else f" to {self.high:g}"
            )
        return f"a number above {self.low:g}" + (
            "" if self.high == float("inf") else f" and below {self.high:g}"
        )

    def fits(self, value: Any) -> bool:
        """Tell whether a value is one that it may have."""
        if self.words:
            return value in self.words
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.integer:
            return isinstance(value, int) and self.low <= value <= self.high
        return self.low < value < self.high


RECOVERY = Key(0, 0, 100_000, integer=True)


def settled(name: str, given: Mapping[str, Any], known: Mapping[str, Key], trains: bool) -> dict[str, Any]:
    """Return all keys of a transform, with defaults.

    Raises:
        ValueError: an unknown key, one that is missing, or a value that is not allowed; with what would be right.
    """
    keys = {**known, **({STEPS: RECOVERY} if trains else {})}
    for key in given:
        if key not in keys:
            hint = "nothing is trained by it" if key == STEPS else f"it has: {', '.join(keys) or 'none'}"
            raise ValueError(f"transform {name!r} has no key {key!r}: {hint}")
    values = {}
    for key, about in keys.items():
        value = given.get(key, about.default)
        if value is None:
            raise ValueError(f"transform {name!r}: {key!r} is missing: {about.allowed}")
        if not about.fits(value):
            raise ValueError(f"transform {name!r}: {key} is {value!r}, allowed: {about.allowed}")
        values[key] = value
    return values
