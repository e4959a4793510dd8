"""Dots with intervals: some rows, some series in each, on one axis; with bands that give a measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.legend import methods, methods_height
from tunebench.reports.figures.base.model import NARROW, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, ticks
from tunebench.reports.formatting.table import DataTable

_LINE = 21
_NARROW_LINE = 36
_GAP = 12
_AXIS = 46


@dataclass(frozen=True)
class Dot:
    """One value with its interval; ``text`` stands beside it, ``word`` (with its class) at the edge."""

    series: str
    value: float
    low: float
    high: float
    is_range: bool
    text: str
    word: str = ""
    word_css: str = ""


@dataclass(frozen=True)
class DotRow:
    """A row of dots; its ``band`` (low, middle or None, high) is drawn behind it."""

    name: str
    dots: Sequence[Dot]
    band: tuple[float, float | None, float] | None = None


@dataclass(frozen=True)
class Axis:
    """The shared axis.

    Attributes:
        tick: words a value of the axis.
        left, right: what stands below its ends.
        band: what the rows' bands mean.
        rule: the value that is marked by a line.
        place: where a value stands, increasing; None: linear.
        round_values: ticks to choose from; None, or fewer than three in sight: round steps.
    """

    tick: Callable[[float], str]
    left: str
    right: str
    band: str = ""
    rule: float = 0.0
    place: Callable[[float], float] | None = None
    round_values: Sequence[float] = ()

    def at(self, value: float) -> float:
        """Return the position of a value, before it is scaled to pixels."""
        return self.place(value) if self.place else value

    def ticks(self, low: float, high: float, most: int) -> list[float]:
        """Return the values to mark on the axis between two positions."""
        marks = [value for value in self.round_values if low <= self.at(value) <= high]
        if len(marks) >= 3 or self.place is None:
            return marks or ticks(low, high, most)
        linear = ticks(*self._values(low, high), most)
        return [value for value in linear if low <= self.at(value) <= high]

    def _values(self, low: float, high: float) -> tuple[float, float]:
        """Estimate the values at two positions near the rule, where the axis is nearly linear."""
        step = 1e-3
        slope = (self.at(self.rule + step) - self.at(self.rule)) / step
        origin = self.at(self.rule)
        return self.rule + (low - origin) / slope, self.rule + (high - origin) / slope


def dots_figure(
    ident: str,
    title: str,
    description: str,
    rows: Sequence[DotRow],
    *,
    styles: Styles,
    axis: Axis,
    table: DataTable,
) -> Figure:
    """Draw the rows that have at least one dot."""
    known = [row for row in rows if row.dots]
    return figure(ident, title, description, lambda width: _draw(width, known, styles, axis), table=table)


def _draw(width: int, rows: Sequence[DotRow], styles: Styles, axis: Axis) -> Canvas:
    narrow = width <= NARROW
    names = styles.in_order(dot.series for row in rows for dot in row.dots)
    line, head = (_NARROW_LINE, 24) if narrow else (_LINE, 4)
    top = methods_height(names, width) + (22 if axis.band else 0) + 10
    heights = [head + line * len(row.dots) + _GAP for row in rows]
    bottom = top + sum(heights)
    canvas = Canvas(width, bottom + _AXIS)
    methods(canvas, names, styles, lines=False)
    if axis.band:
        canvas.rect(0, top - 27, 26, 12, "published", r=2)
        canvas.text(34, top - 16.5, axis.band, "tick", width=width - 34)
    left, right = (8, 8) if narrow else (150, 240)
    low, high = _domain(rows, axis)
    pixels = Scale(low, high, left, width - right)

    def scale(value: float) -> float:
        return pixels(axis.at(value))

    marks = axis.ticks(low, high, 4 if narrow else 9)
    for tick in marks:
        canvas.line(scale(tick), top, scale(tick), bottom, "grid")
    canvas.ticks_below(scale, marks, bottom + 18, axis.tick, keep=axis.rule)
    canvas.line(scale(axis.rule), top, scale(axis.rule), bottom, "rule")
    canvas.text(left, bottom + 38, axis.left, "tick")
    canvas.text(width - right, bottom + 38, axis.right, "tick", anchor="end")
    for row, height in zip(rows, heights, strict=True):
        _row(canvas, row, styles, scale, top, line=line, head=head)
        top += height
    return canvas


def _row(
    canvas: Canvas,
    row: DotRow,
    styles: Styles,
    scale: Callable[[float], float],
    top: float,
    *,
    line: float,
    head: float,
) -> None:
    narrow = canvas.width <= NARROW
    if row.band:
        low, middle, high = row.band
        # On a narrow drawing words stand between the dots: there the band is drawn behind each dot alone.
        strips = [(top + head + i * line + 17, 18.0) for i in range(len(row.dots))] if narrow else []
        for y, height in strips or [(top + head - 2, line * len(row.dots) + 4.0)]:
            canvas.rect(scale(low), y, scale(high) - scale(low), height, "published")
            if middle is not None:
                canvas.line(scale(middle), y, scale(middle), y + height, "published-mean")
    canvas.text(
        8 if narrow else 0, top + 19, row.name, "t strong", width=canvas.width - 20 if narrow else 142
    )
    for index, dot in enumerate(row.dots):
        at = top + head + index * line
        y = at + (26 if narrow else 10)
        _words(canvas, dot, at + 15 if narrow else y + 4.5, narrow=narrow)
        css = styles.of(dot.series).css
        if dot.low < dot.high:
            canvas.interval(scale(dot.low), scale(dot.high), y, f"error {css}", cap=4, dashed=dot.is_range)
        hint = f"{row.name}, {dot.series}: {dot.text} {dot.word}".rstrip()
        canvas.marker(scale(dot.value), y, styles.of(dot.series).shape, css, size=5, hint=hint)


def _words(canvas: Canvas, dot: Dot, y: float, *, narrow: bool) -> None:
    word = f"t word {dot.word_css}"
    if narrow:
        words = f"{dot.text} {dot.word}".rstrip()
        canvas.text(8, y, dot.series, "tick", width=110)
        canvas.text(canvas.width - 8, y, words, "tick", anchor="end")
        return
    canvas.text(canvas.width - 226, y, dot.text, "t num")
    if dot.word:
        canvas.text(canvas.width, y, dot.word, word, anchor="end")


def _domain(rows: Sequence[DotRow], axis: Axis) -> tuple[float, float]:
    """Return the lowest and highest position of the axis: all that is drawn, with a margin on both sides."""
    values = [value for row in rows for dot in row.dots for value in (dot.low, dot.high)]
    values += [value for row in rows if row.band for value in (row.band[0], row.band[2])]
    places = [axis.at(value) for value in (*values, axis.rule)]
    low, high = min(places), max(places)
    air = max(0.03 * (high - low), 1e-9)
    return low - air, high + air
