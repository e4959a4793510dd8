"""Every timed repetition in the order in which it ran: drift, outliers and losses show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from tunebench.reports.analysis.measured import RepetitionFacts
from tunebench.reports.figures.base.legend import methods, methods_height
from tunebench.reports.figures.base.model import HALF, Figure, Styles, figure
from tunebench.reports.figures.base.svg import TICK_FONT, Canvas, Scale, apart, at_the_edge, text_width, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import seconds, signed_percent

_PLOT = 160
_FLOOR = 34
_LEFT, _RIGHT = 60, 12
#: Beyond this deviation a repetition is drawn at the edge, its value in the tooltip and in the table.
_MOST = 0.5
#: With more repetitions than these the tooltips would weigh more than the figure; the table has the values.
_MOST_HINTS = 200
#: Rows of the table at most; the page's CSV holds every repetition.
_MOST_ROWS = 240


def strip_figure(ident: str, reps: Sequence[RepetitionFacts], styles: Styles, *, heading: str) -> Figure:
    """Draw each repetition's deviation from the median of its method, so that all methods of a board share one axis."""
    timed = [rep for rep in reps if rep.role == "timed"]
    deviations = _deviations(timed)
    more = f": the first {_MOST_ROWS} of {len(timed)}" if len(timed) > _MOST_ROWS else ""
    table = DataTable(
        caption="Timed repetitions in the order in which they ran" + more,
        columns=("#", "block", "task", "method", "time", "from its median", "class", "reason"),
        rows=[_table_row(i, rep, deviations[i]) for i, rep in enumerate(timed[:_MOST_ROWS])],
    )
    known = [value for value in deviations if value is not None]
    extremes = (
        f"From {signed_percent(min(known))} to {signed_percent(max(known))}." if known else "None has a time."
    )
    lost = sum(value is None for value in deviations)
    return figure(
        ident,
        "Every timed repetition in run order",
        f"{len(timed)} repetitions, deviation from the median of their method. {extremes} {lost} without a time.",
        lambda width: _draw(width, timed, deviations, styles),
        table=table,
        heading=heading,
        wide=HALF,
    )


def _deviations(timed: Sequence[RepetitionFacts]) -> list[float | None]:
    walls: dict[tuple[str, str], list[float]] = defaultdict(list)
    for rep in timed:
        if rep.wall_s and rep.rep_class in ("valid", "degraded"):
            walls[rep.task, rep.label].append(rep.wall_s)
    middles = {key: median(values) for key, values in walls.items()}
    deviations: list[float | None] = []
    for rep in timed:
        middle = middles.get((rep.task, rep.label))
        deviations.append(rep.wall_s / middle - 1 if rep.wall_s and middle else None)
    return deviations


def _draw(
    width: int, timed: Sequence[RepetitionFacts], deviations: Sequence[float | None], styles: Styles
) -> Canvas:
    labels = styles.in_order(rep.label for rep in timed)
    top = methods_height(labels, width) + 14
    lowest = top + _PLOT + (_FLOOR if None in deviations else 0)
    beyond, order = at_the_edge(deviations, _MOST), "run order →"
    room = width - _LEFT - _RIGHT - text_width(order, TICK_FONT) - 8
    below = 18 if text_width(beyond, TICK_FONT) > room else 0
    canvas = Canvas(width, lowest + 44 + below)
    methods(canvas, labels, styles, lines=False)
    reach = max([0.01] + [min(_MOST, abs(value)) for value in deviations if value is not None]) * 1.15
    up = Scale(-reach, reach, top + _PLOT, top)
    across = Scale(-0.5, max(len(timed) - 0.5, 0.5), _LEFT, width - _RIGHT)
    _blocks(canvas, timed, across, top, lowest)
    levels = ticks(-reach, reach, 6)
    for tick in levels:
        canvas.line(_LEFT, up(tick), width - _RIGHT, up(tick), "grid" if tick else "rule")
    canvas.ticks_left(up, levels, _LEFT - 8, lambda tick: signed_percent(tick) if tick else "median")
    if None in deviations:
        canvas.text(_LEFT - 8, lowest - 8, "no time", "tick", anchor="end")
    crowded = (width - _LEFT - _RIGHT) / max(1, len(timed))
    dot = max(2.4, min(5.0, crowded * 0.42))
    crowd: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for index, (rep, value) in enumerate(zip(timed, deviations, strict=True)):
        look = styles.of(rep.label)
        shape = look.shape if rep.rep_class in ("valid", "degraded") else "cross"
        y = lowest - 12 if value is None else up(max(-_MOST, min(_MOST, value)))
        if len(timed) > _MOST_HINTS:
            crowd[shape, look.css].append((across(index), y))
            continue
        hint = f"#{index + 1} {rep.label}, block {rep.block + 1}: {_value(rep, value)}, {rep.rep_class}"
        canvas.marker(across(index), y, shape, look.css, size=dot, hint=hint)
    for (shape, css), places in crowd.items():
        canvas.dots(places, shape, css, dot)
    canvas.text(width - _RIGHT, lowest + 36, order, "tick", anchor="end")
    canvas.text(_LEFT, lowest + 36 + below, beyond, "tick")
    return canvas


def _blocks(
    canvas: Canvas, timed: Sequence[RepetitionFacts], across: Scale, top: float, lowest: float
) -> None:
    """Shade every second block and number them where there is room."""
    starts = [i for i, rep in enumerate(timed) if i == 0 or rep.block != timed[i - 1].block]
    labels = []
    for place, start in enumerate(starts):
        end = starts[place + 1] if place + 1 < len(starts) else len(timed)
        left, right = across(start - 0.5), across(end - 0.5)
        if place % 2 == 0:
            canvas.rect(left, top, right - left, lowest - top, "stripe")
        name = f"block {timed[start].block + 1}"
        # Blocks are counted from one, and a resumed run may hold one block in two stretches.
        wide = text_width(name, TICK_FONT)
        labels.append((min((left + right) / 2, canvas.width - wide / 2), wide, name))
    for middle, name in apart(labels, range(len(labels)), 0):
        canvas.text(middle, lowest + 16, name, "tick", anchor="middle")


def _value(rep: RepetitionFacts, value: float | None) -> str:
    if value is None or rep.wall_s is None:
        return seconds(rep.wall_s) if rep.wall_s else "no time"
    return f"{seconds(rep.wall_s)} ({signed_percent(value)})"


def _table_row(index: int, rep: RepetitionFacts, value: float | None) -> list[str]:
    return [
        str(index + 1),
        str(rep.block + 1),
        rep.task,
        rep.label,
        seconds(rep.wall_s) if rep.wall_s else "–",
        "–" if value is None else signed_percent(value, 2),
        rep.rep_class,
        rep.reason or "",
    ]
