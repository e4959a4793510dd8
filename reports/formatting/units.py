"""Show numbers and foreign text as people read them."""

from __future__ import annotations

import math
import re
import unicodedata

#: Text from boards, logs and users is shown up to this length; the cut is visible.
MAX_TEXT = 200

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def seconds(value: float, digits: int = 3) -> str:
    """Format seconds with three significant digits (or ``digits``) and a fitting unit.

    >>> seconds(12.345), seconds(0.0456), seconds(0.0000123), seconds(754.0)
    ('12.3 s', '45.6 ms', '12.3 µs', '754 s')
    """
    size = abs(value)
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if size >= scale * 0.9995:
            return f"{significant(value / scale, digits)} {unit}"
    return f"{significant(value / 1e-9, digits)} ns" if size else "0 s"


def significant(value: float, digits: int = 3) -> str:
    """Format a number with ``digits`` significant digits, never in scientific notation; all whole digits are kept.

    >>> significant(12.345), significant(1234.5), significant(0.98965), significant(2.0), significant(0.0012)
    ('12.3', '1234', '0.990', '2.00', '0.00120')
    """
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if whole >= digits:
        return f"{value:.0f}"
    if whole:
        return f"{value:.{digits - whole}f}"
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
