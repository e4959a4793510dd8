"""The unit that a column's name, or a field, says that it is in."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

Quantity = Literal["time", "power", "voltage", "current"]

_BASES: dict[Quantity, tuple[str, tuple[str, ...]]] = {
    "time": ("s", ("sec", "secs", "second", "seconds")),
    "power": ("W", ("watt", "watts")),
    "voltage": ("V", ("volt", "volts")),
    "current": ("A", ("amp", "amps", "ampere", "amperes")),
}
_PREFIXES = (("", "", 1.0), ("m", "milli", 1e-3), ("u", "micro", 1e-6), ("n", "nano", 1e-9))
#: Units that no key of ours takes: a column in one of them holds something else than what it was given for.
_OTHERS = (
    "kW MW Wh kWh mWh uWh Ws VA mVA var VAR J mJ kJ Ah mAh uAh C mC °C F °F K ohm ohms Ohm Ohms Ω mΩ kV kA "
    "Hz kHz MHz % dB dBm"
)


@dataclass(frozen=True)
class Unit:
    """A unit as it was written; ``quantity`` is None and ``factor`` meaningless where it is one that we do not take."""

    text: str
    quantity: Quantity | None
    factor: float


def plain(text: str) -> str:
    """Return a name in the one form in which names are compared: both signs for micro are one."""
    return unicodedata.normalize("NFKC", text).strip()


def _table() -> tuple[dict[str, Unit], dict[str, Unit]]:
    symbols = {plain(text): Unit(text, None, 1.0) for text in _OTHERS.split()}
    words: dict[str, Unit] = {}
    for quantity, (symbol, names) in _BASES.items():
        for prefix, long_prefix, factor in _PREFIXES:
            text = prefix + symbol
            unit = Unit(text, quantity, factor)
            spellings = {text, text.lower()} if prefix else {text}
            spellings |= {plain("µ") + spelling[1:] for spelling in spellings if prefix == "u"}
            symbols.update(dict.fromkeys(spellings, unit))
            for name in names:
                words[long_prefix + name] = words[prefix + name] = unit
    words.update(dict.fromkeys(("min", "mins", "minute", "minutes"), Unit("min", "time", 60.0)))
    words.update(dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), Unit("h", "time", 3600.0)))
    return symbols, words


SYMBOLS, _WORDS = _table()


def unit_named(text: str) -> Unit | None:
    """Return the unit of a symbol or word; ``None`` if it is none that we know.

    >>> unit_named("µA").factor, unit_named("Milliwatts").text, unit_named("avg")
    (1e-06, 'mW', None)
    """
    text = plain(text)
    return SYMBOLS.get(text) or _WORDS.get(text.lower())


def unit_in(name: str, quantity: Quantity) -> Unit | None:
    """Return the unit that a column's name tells, in brackets, behind a slash or at its end.

    A single letter at the end may be a channel's, so it counts only where it is a unit of what the column is read for.

    Args:
        name: the column's name.
        quantity: what the column is read for.

    >>> unit_in("Main Avg Power (mW)", "power").text, unit_in("power_A", "power"), unit_in("energy_Wh", "power").text
    ('mW', None, 'Wh')
    """
    name = plain(name)
    inside = re.findall(r"[(\[{]\s*([^()\[\]{}]+?)\s*[)\]}]", name)
    for text in [*reversed(inside), *re.findall(r"/\s*([^\s/]+)$", name)]:
        unit = unit_named(text)
        if unit is not None and (unit.text != "min" or quantity == "time"):  # else the least of something
            return unit
    last = re.split(r"[\s_,-]", name)[-1]
    unit = unit_named(last)
    if unit is None or (unit.quantity != quantity and (len(last) == 1 or unit.text == "min")):
        return None
    return unit
