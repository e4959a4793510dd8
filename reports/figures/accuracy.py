"""Accuracy against time: the curve of the instrumented repetition, and where each method ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.figures.base.legend import methods, methods_height
from tunebench.reports.figures.base.model import HALF, NARROW, WIDE, Figure, Look, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, plain, ticks
from tunebench.reports.figures.traces import decimate
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import percent, seconds

_PLOT = 270
_LEFT, _RIGHT = 46, 14
_CURVE_POINTS = 80


def accuracy_figure(
    ident: str, rows: Sequence[Mapping[str, Any]], styles: Styles, *, heading: str, half: bool
) -> Figure:
    """Thin lines: held-out accuracy while training. Markers: median time, mean accuracy, their spread."""
    known = [row for row in rows if row["accuracy"] and row["wall_s"]]
    told = "; ".join(
        f"{row['label']} {percent(row['accuracy']['after_mean'])} after {seconds(row['wall_s']['median'])}"
        for row in known
    )
    table = DataTable(
        caption="Accuracy and time: final points of the timed repetitions",
        columns=("method", "time, median", "before", "after, mean", "after, sd", "seeds"),
        rows=[_table_row(row) for row in known],
    )
    return figure(
        ident,
        "Held-out accuracy against seconds of fine-tuning",
        f"Scatter with curves. {told}.",
        lambda width: _draw(width, known, styles),
        table=table,
        heading=heading,
        wide=HALF if half else WIDE,
    )


def _draw(width: int, rows: Sequence[Mapping[str, Any]], styles: Styles) -> Canvas:
    labels = [row["label"] for row in rows]
    top = methods_height(labels, width) + 14
    canvas = Canvas(width, top + _PLOT + 46)
    methods(canvas, labels, styles)
    time_high = max([row["wall_s"]["high"] for row in rows] + [t for row in rows for _, t, _ in row["curve"]])
    low, high = _range(rows)
    across = Scale(0, time_high * 1.05, _LEFT, width - _RIGHT)
    up = Scale(low, high, top + _PLOT, top)
    for tick in ticks(low, high, 6):
        canvas.line(_LEFT, up(tick), width - _RIGHT, up(tick), "grid")
        canvas.text(_LEFT - 8, up(tick) + 4, f"{100 * tick:g}%", "tick", anchor="end")
    for tick in ticks(0, time_high * 1.05, 4 if width <= NARROW else 6):
        canvas.text(across(tick), top + _PLOT + 20, plain(tick), "tick", anchor="middle")
    canvas.line(_LEFT, top + _PLOT, width - _RIGHT, top + _PLOT, "rule")
    canvas.text(width - _RIGHT, top + _PLOT + 40, "seconds of fine-tuning", "tick", anchor="end")
    for row in rows:
        look = styles.of(row["label"])
        points = [(across(t), up(value)) for _, t, value in row["curve"] if low <= value <= high]
        canvas.polyline(decimate(points, _CURVE_POINTS), f"curve {look.css}", look.dash)
    for row in rows:
        _point(canvas, row, styles.of(row["label"]), across, up)
    return canvas


def _point(canvas: Canvas, row: Mapping[str, Any], look: Look, across: Scale, up: Scale) -> None:
    wall, accuracy = row["wall_s"], row["accuracy"]
    x, y = across(wall["median"]), up(accuracy["after_mean"])
    canvas.line(across(wall["low"]), y, across(wall["high"]), y, f"error {look.css}")
    if accuracy["after_sd"] is not None:
        low, high = (
            accuracy["after_mean"] - accuracy["after_sd"],
            accuracy["after_mean"] + accuracy["after_sd"],
        )
        canvas.line(x, up(low), x, up(high), f"error {look.css}")
    hint = f"{row['label']}: {percent(accuracy['after_mean'])} after {seconds(wall['median'])}"
    canvas.marker(x, y, look.shape, look.css, size=5.5, hint=hint)


def _range(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """All points with their spread, rounded outwards to 1 or 5 points."""
    values = [value for row in rows for _, _, value in row["curve"]]
    for row in rows:
        accuracy = row["accuracy"]
        spread = accuracy["after_sd"] or 0.0
        values += [accuracy["after_mean"] - spread, accuracy["after_mean"] + spread]
        if accuracy["before_mean"] is not None:
            values.append(accuracy["before_mean"])
    low, high = min(values), max(values)
    air = max(0.08 * (high - low), 0.005)
    return low - air, high + air


def _table_row(row: Mapping[str, Any]) -> list[str]:
    wall, accuracy = row["wall_s"], row["accuracy"]
    return [
        row["label"],
        seconds(wall["median"]),
        percent(accuracy["before_mean"]) if accuracy["before_mean"] is not None else "–",
        percent(accuracy["after_mean"], 2),
        "–" if accuracy["after_sd"] is None else f"{100 * accuracy['after_sd']:.2f} points",
        str(accuracy["n"]),
    ]
