"""The times that loggers write: numbers, dates with a time, and times of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, NamedTuple

DAY_S = 86_400.0

#: What a time was written as. ``clock``: a time of day without a date, or a time that has passed.
Form = Literal["number", "date", "clock"]

_CLOCK = (
    r"(?P<hour>\d{1,3}):(?P<minute>\d{2}):(?P<second>\d{2})(?:[.,](?P<fraction>\d+)|:(?P<millis>\d{3}))?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
)
_ZONE = r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?"
_YEAR_FIRST = r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
_DAY_FIRST = r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4}|\d{2})"
_COMPACT = (
    r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})[T_ -]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})"
    r"(?:[.,](?P<fraction>\d+))?(?P<millis>)(?P<half>)"
)
_DATES = tuple(
    re.compile(pattern + _ZONE, re.ASCII)
    for pattern in (f"{_YEAR_FIRST}[T ,_-]+{_CLOCK}", f"{_DAY_FIRST}[T ,_-]+{_CLOCK}", _COMPACT)
)
_TIME_OF_DAY = re.compile(_CLOCK, re.ASCII)
#: The day or the month may stand first.
_AMBIGUOUS = re.compile(r"\d{1,2}[/-]\d{1,2}[/-]\d{2,4}\b", re.ASCII)


class Moment(NamedTuple):
    """A time as seconds: of a date from 1970 on, of a clock from midnight on."""

    form: Form
    seconds: float


def read_moment(text: str, time_format: str | None, *, is_local: bool) -> Moment | None:
    """Return the date or time of day that a text tells; ``None`` if it tells none, or more than one.

    Year first or, with dots, day first (01.03.2026); ISO 8601 also without its signs. What stands between slashes with
    the year last may be either, and wants a format.

    Args:
        text: the field.
        time_format: as :func:`datetime.datetime.strptime` takes it; the fraction of a second (``%f``) may be missing.
        is_local: a date without a zone is this host's local time; else it is taken as it stands, so that differences are
            right also where the clocks are set forward meanwhile.
    """
    if time_format is not None:
        return _formatted(text, time_format, is_local)
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match is not None:
            return _date(match, is_local)
    match = _TIME_OF_DAY.fullmatch(text)
    seconds = None if match is None else _since_midnight(match)
    return None if seconds is None else Moment("clock", seconds)


def is_compact(text: str) -> bool:
    """Tell whether digits alone are a date and a time (``20260301080000``); no count of seconds since 1970 has 14."""
    match = _DATES[-1].fullmatch(text) if text.startswith(("19", "20")) else None
    return match is not None and _date(match, is_local=False) is not None


def advice(text: str) -> str:
    """Return what to do about a field that is no time."""
    example = '"%d/%m/%Y %H:%M:%S.%f"'
    if _AMBIGUOUS.match(text):
        return f"day and month may stand either way: give 'time_format', such as {example}"
    return (
        "a time is a number, a date with the year first (or with dots: 01.03.2026) and a time with seconds, "
        f"or such a time alone: give 'time_format', such as {example}, or another column"
    )


def _date(match: re.Match[str], is_local: bool) -> Moment | None:
    seconds = _since_midnight(match)
    if seconds is None or seconds >= DAY_S + 1:
        return None
    year = int(match["year"])
    try:
        day = datetime(
            year + 2000 if year < 100 else year, int(match["month"]), int(match["day"]), tzinfo=UTC
        )
        shift = _zone(match["zone"])
    except ValueError:
        return None
    if shift is None and is_local:
        moment = day + timedelta(seconds=int(seconds))
        return Moment("date", moment.replace(tzinfo=None).timestamp() + seconds % 1)
    shift_s = 0.0 if shift is None else shift.utcoffset(None).total_seconds()
    return Moment("date", day.timestamp() + seconds - shift_s)


def _zone(text: str | None) -> timezone | None:
    """Return a zone; ``None``: none is told.

    Raises:
        ValueError: there is no such zone.
    """
    if text is None:
        return None
    if not text.startswith(("+", "-")):
        return UTC
    digits = text[1:].replace(":", "")
    minutes = 60 * int(digits[:2]) + int(digits[2:] or "0")
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _since_midnight(match: re.Match[str]) -> float | None:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if minute > 59 or second > 60:
        return None
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match["half"][0] in "Pp" else 0)
    fraction = match["fraction"] or match["millis"]
    return 3600 * hour + 60 * minute + second + (float(f"0.{fraction}") if fraction else 0.0)


def _formatted(text: str, time_format: str, is_local: bool) -> Moment | None:
    shorter = re.sub(r"[.,:]?%f", "", time_format)
    for form in (time_format, shorter):
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        if moment.tzinfo is None and not is_local:
            moment = moment.replace(tzinfo=UTC)
        try:
            return Moment("date", moment.timestamp())
        except (OverflowError, OSError, ValueError):
            return None
    return None
