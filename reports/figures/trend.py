"""Nights of one series: median with its range, the band of what was usual, and what changed around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.model import NARROW, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, num, plain, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, seconds, signed_percent, time_unit

_PLOT = 118
_TOP = 34
_LEFT, _RIGHT = 56, 12


@dataclass(frozen=True)
class Point:
    """One night as it is drawn.

    Attributes:
        day: date and time of its start, UTC, as ``2026-11-29T02:00:00Z`` or the date alone.
        value: median, seconds; None if the night has none.
        why_not: why the night counts for nothing.
        notes: what changed or was decided before this night, in words, each with its kind of tick.
    """

    day: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    segment: int
    why_not: str = ""
    notes: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Band:
    """The usual range in the newest segment: its median and 2.5 robust standard deviations to each side."""

    middle: float
    low: float
    high: float
    nights: int


#: kind of a note -> class of its tick
_TICKS = {"segment": "note-segment", "mark": "note-mark", "decision": "note-decision"}


def trend_figure(ident: str, title: str, nights: Sequence[Point], band: Band | None) -> Figure:
    """Draw the nights from left to right in equal steps; the axis holds every median and the band."""
    known = [night.value for night in nights if night.value is not None]
    notes = sum(len(night.notes) for night in nights)
    last = ""
    if known and band and band.middle:
        last = f" The newest lies {signed_percent(known[-1] / band.middle - 1)} from the usual {seconds(band.middle)}."
    table = DataTable(
        caption=f"Nights of {title}",
        columns=("night", "median", "least", "greatest", "n", "segment", "changes, decisions, or why it does not count"),
        rows=[_row(night) for night in nights],
    )  # fmt: skip
    return figure(
        ident,
        f"Nights of {title}",
        f"{len(nights)} nights, {notes} changes and decisions.{last}",
        lambda width: _draw(width, nights, band),
        table=table,
        heading=title,
    )


def _row(night: Point) -> list[str]:
    notes = "; ".join([*(words for _, words in night.notes), *([night.why_not] if night.why_not else [])])
    spread = [seconds(value) if value is not None else "–" for value in (night.value, night.low, night.high)]
    return [night_name(night.day), *spread, str(night.n), str(night.segment + 1), clean(notes, 300) or "–"]


def _draw(width: int, nights: Sequence[Point], band: Band | None) -> Canvas:
    canvas = Canvas(width, _TOP + _PLOT + 30)
    known = [value for night in nights for value in (night.value,) if value is not None]
    edges = [*known, *((band.low, band.high) if band else ())]
    low, high = (min(edges), max(edges)) if edges else (0.0, 1.0)
    air = max(0.08 * (high - low), 0.005 * high, 1e-9)
    up = Scale(low - air, high + air, _TOP + _PLOT, _TOP)
    across = Scale(0, max(1, len(nights) - 1), _LEFT + 6, width - _RIGHT - 6)
    unit_s, unit = time_unit(max(edges, default=1.0))
    levels = [tick * unit_s for tick in ticks(up.low / unit_s, up.high / unit_s, 4)]
    for tick in levels:
        canvas.line(_LEFT, up(tick), width - _RIGHT, up(tick), "grid")
    canvas.ticks_left(up, levels, _LEFT - 8, lambda tick: plain(tick / unit_s))
    canvas.text(0, 12, f"time in {unit}", "tick")
    _band(canvas, nights, band, across, up)
    _notes(canvas, nights, across)
    _values(canvas, nights, across, up)
    most = 3 if width <= NARROW else 7
    step = max(1, -(-len(nights) // most))
    places = list(range(0, len(nights), step))
    names = night_names([night.day for night in nights])
    canvas.ticks_below(
        across, [float(place) for place in places], _TOP + _PLOT + 20, lambda place: names[round(place)]
    )
    return canvas


def night_name(day: str) -> str:
    """Return a night's date and time.

    >>> night_name("2026-11-29T02:00:00Z"), night_name("2026-11-29")
    ('2026-11-29 02:00', '2026-11-29')
    """
    return day.replace("T", " ")[:16]


def night_names(days: Sequence[str]) -> list[str]:
    """Return the shortest names that tell nights apart: the day; with its year, its time, or all of it.

    >>> night_names(["2026-11-28T02:00:00Z", "2026-11-29T02:00:00Z"])
    ['11-28', '11-29']
    >>> night_names(["2026-11-29T02:00:00Z", "2026-11-29T14:30:00Z"])
    ['11-29 02:00', '11-29 14:30']
    >>> night_names(["2025-11-29T02:00:00Z", "2026-11-29T02:00:00Z"])
    ['2025-11-29', '2026-11-29']
    """
    plain_days = [day.replace("T", " ").removesuffix("Z") for day in days]
    for begin, end in ((5, 10), (0, 10), (5, 16), (0, 16), (5, 19)):
        names = [day[begin:end] for day in plain_days]
        if len(set(names)) == len(set(days)):
            return names
    return plain_days


def _band(canvas: Canvas, nights: Sequence[Point], band: Band | None, across: Scale, up: Scale) -> None:
    if band is None or not nights:
        return
    first = next(i for i, night in enumerate(nights) if night.segment == nights[-1].segment)
    left, right = across(first) - 4, across(len(nights) - 1) + 4
    hint = f"usual: {seconds(band.low)} to {seconds(band.high)}, from {band.nights} nights"
    canvas.rect(left, up(band.high), right - left, up(band.low) - up(band.high), "window", hint=hint)
    canvas.line(left, up(band.middle), right, up(band.middle), "usual")


def _notes(canvas: Canvas, nights: Sequence[Point], across: Scale) -> None:
    """Draw a line across the plot where something changed, with a marker whose tooltip says what."""
    for place, night in enumerate(nights):
        for kind, words in night.notes[:1]:
            x = across(place) - (across(1) - across(0)) / 2 if place else across(place)
            dash = "" if kind == "segment" else "3 3"
            canvas.line(x, _TOP - 6, x, _TOP + _PLOT, _TICKS[kind], dash=dash)
            shape = {"segment": "square", "mark": "triangle", "decision": "diamond"}[kind]
            note = "; ".join(text for _, text in night.notes)
            canvas.marker(
                x, _TOP - 12, shape, _TICKS[kind], size=4.5, hint=f"{night_name(night.day)}: {note or words}"
            )


def _values(canvas: Canvas, nights: Sequence[Point], across: Scale, up: Scale) -> None:
    """Draw whiskers as one path and medians as another, so that a year of nights needs few bytes."""
    whiskers, dots, lost = [], [], []
    for place, night in enumerate(nights):
        x = num(across(place))
        if night.value is None or night.why_not:
            lost.append(
                (across(place), f"{night_name(night.day)}: {night.why_not or 'too few valid repetitions'}")
            )
        else:
            if night.low is not None and night.high is not None:
                whiskers.append(f"M{x} {num(_inside(up, night.low))}V{num(_inside(up, night.high))}")
            dots.append(
                f"M{num(across(place) - 2.2)} {num(up(night.value))}a2.2 2.2 0 1 0 4.4 0a2.2 2.2 0 1 0 -4.4 0"
            )
    canvas.add(f'<path d="{"".join(whiskers)}" class="stem"/>')
    canvas.add(f'<path d="{"".join(dots)}" class="c-bar"/>')
    for at, words in lost:
        canvas.marker(at, _TOP + _PLOT - 8, "cross", "c-lost", size=3.5, hint=words)


def _inside(up: Scale, value: float) -> float:
    return max(min(up(value), up.start), up.end)
