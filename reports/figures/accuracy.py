"""Accuracy against time: the curve of the instrumented repetition, and where each method ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tunebench.reports.analysis.row import Accuracy, MethodResult, Spread
from tunebench.reports.figures.base.legend import methods, methods_height
from tunebench.reports.figures.base.model import HALF, NARROW, WIDE, Figure, Look, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, plain, ticks
from tunebench.reports.figures.traces import decimate
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import percent, seconds, time_unit

_PLOT = 190
_LEFT, _RIGHT = 46, 14
_CURVE_POINTS = 80


class _Method(NamedTuple):
    """A method whose time and accuracy are both known."""

    row: MethodResult
    wall: Spread
    accuracy: Accuracy


def accuracy_figure(
    ident: str, rows: Sequence[MethodResult], styles: Styles, *, heading: str, half: bool
) -> Figure:
    """Draw accuracy while training as thin lines, median time and mean accuracy as markers with their spread."""
    known = [_Method(row, row.wall_s, row.accuracy) for row in rows if row.accuracy and row.wall_s]
    described = "; ".join(
        f"{row.label} {percent(accuracy.after_mean)} after {seconds(wall.median)}"
        for row, wall, accuracy in known
    )
    table = DataTable(
        caption="Accuracy and time: final points of the timed repetitions",
        columns=("method", "time, median", "before", "after, mean", "after, sd", "seeds"),
        rows=[_table_row(method) for method in known],
    )
    return figure(
        ident,
        "Held-out accuracy against seconds of fine-tuning",
        f"Scatter with curves. {described}.",
        lambda width: _draw(width, known, styles),
        table=table,
        heading=heading,
        wide=HALF if half else WIDE,
        notes=["Each line is one marked repetition (n = 1)."]
        if any(row.curve for row, _, _ in known)
        else [],
    )


def _draw(width: int, known: Sequence[_Method], styles: Styles) -> Canvas:
    labels = [method.row.label for method in known]
    top = methods_height(labels, width) + 14
    canvas = Canvas(width, top + _PLOT + 46)
    methods(canvas, labels, styles)
    time_high = max(
        [method.wall.high for method in known] + [t for method in known for _, t, _ in method.row.curve]
    )
    low, high = _range(known)
    across = Scale(0, time_high * 1.05, _LEFT, width - _RIGHT)
    up = Scale(low, high, top + _PLOT, top)
    levels = ticks(low, high, 6)
    for tick in levels:
        canvas.line(_LEFT, up(tick), width - _RIGHT, up(tick), "grid")
    canvas.ticks_left(up, levels, _LEFT - 8, lambda tick: f"{100 * tick:g}%")
    unit_s, unit = time_unit(time_high)
    marks = [tick * unit_s for tick in ticks(0, time_high * 1.05 / unit_s, 4 if width <= NARROW else 6)]
    canvas.ticks_below(across, marks, top + _PLOT + 20, lambda tick: plain(tick / unit_s))
    canvas.line(_LEFT, top + _PLOT, width - _RIGHT, top + _PLOT, "rule")
    canvas.text(width - _RIGHT, top + _PLOT + 40, f"fine-tuning in {unit}", "tick", anchor="end")
    for row, _, _ in known:
        look = styles.of(row.label)
        points = [(across(t), up(value)) for _, t, value in row.curve if low <= value <= high]
        canvas.polyline(decimate(points, _CURVE_POINTS), f"curve {look.css}", look.dash)
    for method in known:
        _point(canvas, method, styles.of(method.row.label), across, up)
    return canvas


def _point(canvas: Canvas, method: _Method, look: Look, across: Scale, up: Scale) -> None:
    row, wall, accuracy = method
    x, y = across(wall.median), up(accuracy.after_mean)
    canvas.line(across(wall.low), y, across(wall.high), y, f"error {look.css}")
    if accuracy.after_sd is not None:
        low, high = (
            accuracy.after_mean - accuracy.after_sd,
            accuracy.after_mean + accuracy.after_sd,
        )
        canvas.line(x, up(low), x, up(high), f"error {look.css}")
    hint = f"{row.label}: {percent(accuracy.after_mean)} after {seconds(wall.median)}"
    canvas.marker(x, y, look.shape, look.css, size=5.5, hint=hint)


def _range(known: Sequence[_Method]) -> tuple[float, float]:
    """Return the range of all points with their spread, rounded outwards to 1 or 5 points."""
    values = [value for method in known for _, _, value in method.row.curve]
    for _, _, accuracy in known:
        spread = accuracy.after_sd or 0.0
        values += [accuracy.after_mean - spread, accuracy.after_mean + spread]
        if accuracy.before_mean is not None:
            values.append(accuracy.before_mean)
    low, high = min(values), max(values)
    air = max(0.08 * (high - low), 0.005)
    return low - air, high + air


def _table_row(method: _Method) -> list[str]:
    row, wall, accuracy = method
    return [
        row.label,
        seconds(wall.median),
        percent(accuracy.before_mean) if accuracy.before_mean is not None else "–",
        percent(accuracy.after_mean, 2),
        "–" if accuracy.after_sd is None else f"{100 * accuracy.after_sd:.2f} points",
        str(accuracy.n),
    ]
