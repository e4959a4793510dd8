"""Training curves: one line a method over the epochs, the mean of what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.legend import methods, methods_height
from tunebench.reports.figures.base.model import HALF, NARROW, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, plain, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, number

_PLOT = 220
_LEFT, _RIGHT = 50, 10
_MOST = 48


@dataclass(frozen=True)
class Line:
    """The mean of one method over ``n`` repetitions at each epoch."""

    label: str
    points: Sequence[tuple[float, float]]
    n: int


def curves_figure(
    ident: str,
    title: str,
    lines: Sequence[Line],
    styles: Styles,
    *,
    say: Callable[[float], str],
    tick: Callable[[float], str],
    log: bool = False,
) -> Figure:
    """Draw a figure of half width; ``say`` puts a value in words, ``tick`` a value of the axis.

    ``log`` asks for a logarithmic axis, which is drawn where all values are positive.
    """
    known = [line for line in lines if line.points]
    positive = all(value > 0 for line in known for _, value in line.points)
    described = "; ".join(
        f"{line.label} from {say(line.points[0][1])} to {say(line.points[-1][1])}" for line in known
    )
    epochs = _shown_epochs(known)
    table = DataTable(
        caption=f"{title}: mean over repetitions, at some of the epochs",
        columns=("method", *(f"epoch {number(int(epoch))}" for epoch in epochs), "repetitions"),
        rows=[_table_row(line, epochs, say) for line in known],
    )
    return figure(
        ident,
        title,
        f"Lines over epochs. {described}.",
        lambda width: _draw(width, title, known, styles, tick=tick, log=log and positive),
        table=table,
        wide=HALF,
        notes=_single(known),
    )


def _single(lines: Sequence[Line]) -> list[str]:
    """Say which lines are one repetition and no mean."""
    single = [line.label for line in lines if line.n == 1]
    if not single:
        return []
    if len(single) == len(lines):
        return ["Each line is one repetition (n = 1)."]
    return [f"One repetition (n = 1): {', '.join(clean(label, 40) for label in single[:8])}."]


def _draw(
    width: int,
    title: str,
    lines: Sequence[Line],
    styles: Styles,
    *,
    tick: Callable[[float], str],
    log: bool,
) -> Canvas:
    labels = [line.label for line in lines]
    top = 28 + methods_height(labels, width) + 12
    canvas, legend = Canvas(width, top + _PLOT + 46), Canvas(width, top)
    methods(legend, labels, styles)
    canvas.text(0, 14, title, "t strong", width=width)
    canvas.add(f'<g transform="translate(0 28)">{"".join(legend.parts)}</g>')
    values = [value for line in lines for _, value in line.points]
    last = max(epoch for line in lines for epoch, _ in line.points)
    low, high = _range(min(values), max(values), log=log)
    up, across = Scale(low, high, top + _PLOT, top, log=log), Scale(0, last * 1.02, _LEFT, width - _RIGHT)
    levels = log_ticks(low, high, 5) if log else ticks(low, high, 5)
    for at in levels:
        canvas.line(_LEFT, up(at), width - _RIGHT, up(at), "grid")
    canvas.ticks_left(up, levels, _LEFT - 8, tick)
    canvas.ticks_below(across, ticks(0, last, 4 if width <= NARROW else 5), top + _PLOT + 20, plain)
    canvas.line(_LEFT, top + _PLOT, width - _RIGHT, top + _PLOT, "rule")
    canvas.text(width - _RIGHT, top + _PLOT + 40, "epoch", "tick", anchor="end")
    for line in lines:
        look = styles.of(line.label)
        points = [(across(epoch), up(value)) for epoch, value in _thinned(line.points)]
        canvas.polyline(points, f"curve {look.css}", look.dash)
        canvas.marker(*points[-1], look.shape, look.css, size=4, hint=line.label)
    return canvas


def _range(low: float, high: float, *, log: bool) -> tuple[float, float]:
    if log:
        return low / 1.1, high * 1.1
    air = max(0.06 * (high - low), 1e-3)
    return low - air, high + air


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most ``_MOST`` points, evenly over the epochs, the first and the last among them."""
    if len(points) <= _MOST:
        return list(points)
    return [points[round(i * (len(points) - 1) / (_MOST - 1))] for i in range(_MOST)]


def _shown_epochs(lines: Sequence[Line]) -> list[float]:
    known = sorted({epoch for line in lines for epoch, _ in line.points})
    return sorted({known[round(i * (len(known) - 1) / 4)] for i in range(5)}) if known else []


def _table_row(line: Line, epochs: Sequence[float], say: Callable[[float], str]) -> list[str]:
    values = dict(line.points)
    return [line.label, *(say(values[e]) if e in values else "–" for e in epochs), str(line.n)]
