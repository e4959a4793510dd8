"""How far repetitions lie apart in seconds and in instructions: two bars a method on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.model import HALF, NARROW, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, percent

_ROW, _BAR = 40, 11


@dataclass(frozen=True)
class TwoSpreads:
    """A method's interquartile range over its median: of seconds, and of instructions; shares."""

    label: str
    time: float
    instructions: float


def two_spreads_figure(ident: str, lines: Sequence[TwoSpreads], *, heading: str) -> Figure:
    """Draw both spreads of each method."""
    table = DataTable(
        caption="Spread of time and of instructions",
        columns=("method", "time", "instructions"),
        rows=[[line.label, percent(line.time, 2), percent(line.instructions, 2)] for line in lines],
    )
    widest = max(max(line.time, line.instructions) for line in lines)
    return figure(
        ident,
        "Spread of time and of instructions",
        f"Two bars for each of {len(lines)} methods; the longest is {percent(widest, 2)}.",
        lambda width: _draw(width, lines, widest),
        table=table,
        heading=heading,
        wide=HALF,
    )


def _draw(width: int, lines: Sequence[TwoSpreads], widest: float) -> Canvas:
    left = 96 if width <= NARROW else 120
    canvas = Canvas(width, len(lines) * _ROW + 44)
    scale = Scale(0.0, max(widest, 1e-4) * 1.05, left, width - 150)
    bottom = len(lines) * _ROW + 2
    marks = ticks(0.0, max(widest, 1e-4), 3)
    for tick in marks:
        canvas.line(scale(tick), 0, scale(tick), bottom, "grid" if tick else "rule")
    canvas.ticks_below(scale, marks, bottom + 18, lambda tick: percent(tick, 2) if tick else "0")
    for index, line in enumerate(lines):
        top = index * _ROW + 6
        canvas.text(0, top + 18, clean(line.label, 40), "t", width=left - 12)
        for place, (name, share, css) in enumerate(
            (("time", line.time, "box"), ("instructions", line.instructions, "bar c-bar"))
        ):
            y = top + place * (_BAR + 4)
            hint = f"{clean(line.label, 40)}, {name}: {percent(share, 2)}"
            canvas.rect(left, y, max(1.0, scale(share) - left), _BAR, css, hint=hint)
            canvas.text(scale(share) + 6, y + 9.5, f"{name} {percent(share, 2)}", "tick")
    return canvas
