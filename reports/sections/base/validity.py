"""Validity in words: whether the number beside it may be used, and with which reservation."""

from __future__ import annotations

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.units import clean

#: What a verdict on repetitions means for the number that they stand in.
USE = {
    "valid": "may be used",
    "degraded": "may be used, with this reservation",
    "invalid": "stands in no number",
    "failed": "stands in no number",
    "skipped": "was not measured",
}


def use_of(verdict: str, *, reasons: bool = True) -> str:
    """Say whether a number of this validity may be used; ``reasons``: its reasons follow.

    >>> use_of("degraded"), use_of("degraded", reasons=False), use_of("valid")
    ('may be used, with this reservation', 'may be used, with a reservation', 'may be used')
    """
    words = USE.get(verdict, "")
    return words if reasons else words.replace("this reservation", "a reservation")


def in_short(row: MethodResult) -> str:
    """Return a row's validity for a table of plain text: the word, whether it may be used, and the first reason."""
    code = clean(row.reasons[0].code, 30) if row.reasons else ""
    if row.verdict == "degraded":
        return f"degraded, may be used ({code})" if code else "degraded, may be used"
    return f"{row.verdict} ({code})" if code else row.verdict
