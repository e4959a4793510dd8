"""How far the repetitions of each method lie apart: box and dots, as deviation from the method's median."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunebench.reports.analysis.measured import RepetitionFacts
from tunebench.reports.figures.base.model import HALF, NARROW, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, at_the_edge, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import seconds, signed_percent

_ROW = 30
_MOST = 0.5

Line = tuple[str, str, list[float]]


def lines(reps: Sequence[RepetitionFacts]) -> list[Line]:
    """Return (task, label, seconds) of the repetitions that may be used; methods with one value are left out."""
    walls_of: dict[tuple[str, str], list[float]] = {}
    for rep in reps:
        if rep.wall_s and rep.rep_class in ("valid", "degraded"):
            walls_of.setdefault((rep.task, rep.label), []).append(rep.wall_s)
    return [(task, label, walls) for (task, label), walls in walls_of.items() if len(walls) > 1]


def spread_figure(ident: str, reps: Sequence[RepetitionFacts], styles: Styles, *, heading: str) -> Figure:
    """Draw a box for each method: it holds the middle half, its line is the median, its whiskers end at the extremes."""
    place = {label: i for i, label in enumerate(styles.in_order(rep.label for rep in reps))}
    shown = sorted(lines(reps), key=lambda line: (line[0], place[line[1]]))
    several = len({task for task, _, _ in shown}) > 1
    table = DataTable(
        caption="Spread of the timed repetitions",
        columns=("task", "method", "n", "least", "quarter", "median", "three quarters", "greatest"),
        rows=[
            [task, label, str(len(walls)), *(seconds(v) for v in np.percentile(walls, [0, 25, 50, 75, 100]))]
            for task, label, walls in shown
        ],
    )
    widest = max((max(abs(v) for v in _deviations(walls)) for _, _, walls in shown), default=0.0)
    return figure(
        ident,
        "Spread of the timed repetitions",
        f"Boxes of {len(shown)} methods; the farthest repetition lies {signed_percent(widest)} from its median.",
        lambda width: _draw(width, shown, styles, several=several),
        table=table,
        heading=heading,
        wide=HALF,
    )


def _deviations(walls: Sequence[float]) -> list[float]:
    middle = float(np.median(walls))
    return [wall / middle - 1 for wall in walls]


def _draw(width: int, shown: Sequence[Line], styles: Styles, *, several: bool) -> Canvas:
    narrow = width <= NARROW
    left = 116 if narrow else 190 if several else 120
    deviations = [value for _, _, walls in shown for value in _deviations(walls)]
    beyond = at_the_edge(deviations, _MOST)
    canvas = Canvas(width, len(shown) * _ROW + (62 if beyond else 44))
    reach = max((abs(value) for value in deviations), default=0.0)
    reach = max(0.005, min(_MOST, reach)) * 1.08
    scale = Scale(-reach, reach, left, width - 14)
    bottom = len(shown) * _ROW + 2
    marks = ticks(-reach, reach, 3 if narrow else 5)
    for tick in marks:
        canvas.line(scale(tick), 0, scale(tick), bottom, "grid" if tick else "rule")
    canvas.ticks_below(scale, marks, bottom + 18, lambda tick: signed_percent(tick) if tick else "median")
    canvas.text(width - 14, bottom + 36, beyond, "tick", anchor="end")
    for index, (task, label, walls) in enumerate(shown):
        y, look = index * _ROW + 15, styles.of(label)
        canvas.text(0, y + 4.5, f"{label} · {task}" if several else label, "t", width=left - 12)
        values = [max(-_MOST, min(_MOST, value)) for value in _deviations(walls)]
        least, low, middle, high, most = (float(v) for v in np.percentile(values, [0, 25, 50, 75, 100]))
        canvas.line(scale(least), y, scale(most), y, "whisker")
        hint = f"{label}: middle half {signed_percent(low)} to {signed_percent(high)}, n = {len(walls)}"
        canvas.rect(scale(low), y - 8, scale(high) - scale(low), 16, "box", hint=hint)
        canvas.line(scale(middle), y - 8, scale(middle), y + 8, "whisker")
        if len(walls) <= 60:
            canvas.dots([(scale(value), y) for value in values], look.shape, look.css, 3.4)
    return canvas
