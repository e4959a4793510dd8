"""Joules against seconds of one fine-tuning: each method's operating points of a board, joined by a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base import legend
from tunebench.reports.figures.base.labels import placed
from tunebench.reports.figures.base.model import NARROW, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, plain
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import joules, seconds, time_unit

_PLOT = 240
_LEFT, _RIGHT = 56, 20


@dataclass(frozen=True)
class OperatingPoint:
    """A method at a power mode or clock: medians with their intervals, ``(low, high)``."""

    label: str
    name: str
    wall_s: float
    wall_interval_s: tuple[float, float]
    energy_j: float
    energy_interval_j: tuple[float, float]


def operating_points_figure(
    ident: str, points: Sequence[OperatingPoint], styles: Styles, *, heading: str, scope: str
) -> Figure:
    """Draw seconds to the right and joules upwards, both on logarithmic axes.

    Args:
        ident: unique on the page.
        points: of one board and task, at least one.
        styles: of the report's labels.
        heading: above the figure.
        scope: whose energy it is, as the sensor says.
    """
    table = DataTable(
        caption=f"Seconds and joules ({scope}) of one fine-tuning at each operating point",
        columns=("method", "operating point", "time", "low", "high", "energy", "low", "high"),
        rows=[
            [
                point.label, point.name,
                seconds(point.wall_s), *map(seconds, point.wall_interval_s),
                joules(point.energy_j), *map(joules, point.energy_interval_j),
            ]
            for point in points
        ],
    )  # fmt: skip
    cheapest = min(points, key=lambda point: point.energy_j)
    fastest = min(points, key=lambda point: point.wall_s)
    return figure(
        ident,
        "Joules against seconds at each operating point",
        f"Scatter with intervals, a line a method. Least energy: {cheapest.label} at {cheapest.name}, "
        f"{joules(cheapest.energy_j)}. Least time: {fastest.label} at {fastest.name}, {seconds(fastest.wall_s)}.",
        lambda width: _draw(width, points, styles, scope),
        table=table,
        heading=heading,
    )


def _draw(width: int, points: Sequence[OperatingPoint], styles: Styles, scope: str) -> Canvas:
    labels = styles.in_order(point.label for point in points)
    top = legend.methods_height(labels, width) + 26
    bottom = top + _PLOT
    canvas = Canvas(width, bottom + 46)
    legend.methods(canvas, labels, styles)
    across = _axis([end for point in points for end in point.wall_interval_s], _LEFT, width - _RIGHT)
    up = _axis([end for point in points for end in point.energy_interval_j], bottom, top)
    levels = log_ticks(up.low, up.high, 5)
    for level in levels:
        canvas.line(_LEFT, up(level), width - _RIGHT, up(level), "grid")
    canvas.ticks_left(up, levels, _LEFT - 8, plain)
    marks = log_ticks(across.low, across.high, 4 if width <= NARROW else 6)
    for mark in marks:
        canvas.line(across(mark), top, across(mark), bottom, "grid")
    scale, unit = time_unit(across.high)
    canvas.ticks_below(across, marks, bottom + 20, lambda mark: plain(mark / scale))
    canvas.line(_LEFT, bottom, width - _RIGHT, bottom, "rule")
    canvas.text(0, top - 10, f"joules ({scope}), log axis", "tick")
    canvas.text(width - _RIGHT, bottom + 40, f"time in {unit}, log axis", "tick", anchor="end")
    for label in labels:
        own = sorted((point for point in points if point.label == label), key=lambda point: point.wall_s)
        look = styles.of(label)
        canvas.polyline(
            [(across(point.wall_s), up(point.energy_j)) for point in own], f"curve {look.css}", look.dash
        )
        for point in own:
            _draw_point(canvas, point, styles, across, up)
    ends = [(across(point.wall_s), up(point.energy_j), point.name) for point in points]
    for name in placed(ends, (_LEFT + 2, 0, canvas.width, bottom)):
        canvas.text(name.x, name.y, name.text, "t", anchor=name.anchor)
    return canvas


def _axis(values: Sequence[float], begin: float, end: float) -> Scale:
    """Return a logarithmic axis with room on both sides of the values."""
    room = max((max(values) / min(values)) ** 0.08, 1.05)
    return Scale(min(values) / room, max(values) * room, begin, end, log=True)


def _draw_point(canvas: Canvas, point: OperatingPoint, styles: Styles, across: Scale, up: Scale) -> None:
    look, x, y = styles.of(point.label), across(point.wall_s), up(point.energy_j)
    (fast, slow), (low, high) = point.wall_interval_s, point.energy_interval_j
    canvas.line(across(fast), y, across(slow), y, f"error {look.css}")
    canvas.line(x, up(low), x, up(high), f"error {look.css}")
    hint = f"{point.label} at {point.name}: {joules(point.energy_j)} in {seconds(point.wall_s)}"
    canvas.marker(x, y, look.shape, look.css, size=5.5, hint=hint)
