"""Show numbers and foreign text as people read them."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

#: Text from boards, logs and users is shown up to this length; the cut is visible.
MAX_TEXT = 200
#: Half a step of the finest clock that we read.
_RESOLUTION_S = 0.5e-9

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def seconds(value: float, digits: int = 3) -> str:
    """Format seconds with three significant digits (or ``digits``) and a fitting unit.

    Less than half a nanosecond is nothing: no clock tells it, it is what floating point leaves of a difference.

    >>> seconds(12.345), seconds(0.0456), seconds(0.0000123), seconds(754.0), seconds(1.16e-20)
    ('12.3 s', '45.6 ms', '12.3 µs', '754 s', '0 s')
    """
    if abs(value) < _RESOLUTION_S:
        return "0 s"
    scale, unit = time_unit(value)
    return f"{significant(value / scale, digits)} {unit}"


def time_unit(value: float) -> tuple[float, str]:
    """Return the unit in which a time is shown, and its seconds.

    >>> time_unit(0.0456), time_unit(3.0), time_unit(0.9996)
    ((0.001, 'ms'), (1.0, 's'), (1.0, 's'))
    """
    return _unit(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")))


def joules(value: float) -> str:
    """Format joules with three significant digits and a fitting unit.

    >>> joules(12.345), joules(0.0456), joules(0.0000123), joules(0.0)
    ('12.3 J', '45.6 mJ', '12.3 µJ', '0 J')
    """
    if value == 0:
        return "0 J"
    scale, unit = _unit(value, ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")))
    return f"{significant(value / scale)} {unit}"


def _unit(value: float, units: Sequence[tuple[float, str]]) -> tuple[float, str]:
    # What would be rounded up to a whole of the larger unit is shown in that.
    return next(((scale, unit) for scale, unit in units if abs(value) >= scale * 0.9995), units[-1])


def significant(value: float, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits, never in scientific notation; all whole digits are kept.

    >>> significant(12.345), significant(1234.5), significant(0.98965), significant(2.0), significant(0.0012)
    ('12.3', '1234', '0.990', '2.00', '0.00120')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    integer_digits = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if integer_digits >= digits:
        return f"{value:.0f}"
    if integer_digits:
        return f"{value:.{digits - integer_digits}f}"
    return f"{value:.{digits - 1 - math.floor(math.log10(abs(rounded)))}f}"


def size(value_b: float, digits: int = 3) -> str:
    """Format bytes in binary units, with three significant digits (or ``digits``).

    >>> size(512), size(2048), size(123456789), size(4608, 2)
    ('512 B', '2.00 KiB', '118 MiB', '4.5 KiB')
    """
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(value_b) >= scale:
            return f"{significant(value_b / scale, digits)} {unit}"
    return f"{value_b:.0f} B"


def percent(value: float, digits: int = 1) -> str:
    """Format a share of 1 as percent.

    >>> percent(0.91234)
    '91.2%'
    """
    return f"{100 * value:.{digits}f}%"


def signed_percent(value: float, digits: int = 1) -> str:
    """Format a relative change in percent, with its sign.

    >>> signed_percent(0.0213), signed_percent(-0.5)
    ('+2.1%', '−50.0%')
    """
    return f"{100 * value:+.{digits}f}%".replace("-", "−")


def number(value: int) -> str:
    """Format a count with narrow spaces between groups of three digits.

    >>> number(1234567)
    '1\\u202f234\\u202f567'
    """
    return f"{value:,}".replace(",", "\u202f")


def factor(value: float) -> str:
    """Format a ratio, with the sign ``×``.

    >>> factor(1.996), factor(12.3)
    ('2.00×', '12.3×')
    """
    return f"{significant(value)}×"


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Make foreign text safe for one line: escapes and control characters are shown, a cut is marked.

    >>> clean("red \\x1b[31malert\\x1b[0m\\x00")
    'red alert\\ufffd'
    >>> clean("x" * 300, 10)
    'xxxxxxxxxx… (290 more characters)'
    """
    cut = len(text) - limit
    # Only what can be shown is cleaned: a log line may be a megabyte long.
    shown = _visible(text[: limit * 4]).replace("\n", " ").replace("\t", " ")
    if len(shown) <= limit and cut <= 0:
        return shown
    hidden = max(len(shown), len(text)) - limit
    return f"{shown[:limit]}… ({hidden} more characters)" if hidden > 0 else shown


def clean_block(text: str, limit: int = 4000) -> str:
    """Make foreign text of several lines safe, as :func:`clean` does; of a long text keep the end, where errors stand."""
    shown = _visible(text[-limit * 2 :])
    hidden = len(text) - len(shown) if len(shown) <= limit else len(text) - limit
    return f"({hidden} characters left out) …{shown[-limit:]}" if len(text) > limit else shown


def _visible(text: str) -> str:
    plain = _BIDI.sub("\ufffd", _ESCAPE.sub("", text))
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs") else "\ufffd"
        for char in plain
    )
