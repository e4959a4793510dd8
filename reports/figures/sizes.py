"""Peak memory of the workload, and bytes of the update that a device would send or store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.figures.base.model import HALF, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import number, size

_ROW = 44
_MIB = float(1 << 20)


def memory_figure(
    ident: str, rows: Sequence[Mapping[str, Any]], *, heading: str, capacity_b: int | None = None
) -> Figure:
    """Bars from zero: median peak resident memory, with its interval; the board's own memory said or drawn."""
    known = [row for row in rows if row["peak_rss_b"]]
    told = "; ".join(f"{row['label']} {size(row['peak_rss_b']['median'])}" for row in known)
    table = DataTable(
        caption="Peak resident memory of the workload's process (VmHWM)",
        columns=("method", "median", "low", "high", "interval", "n"),
        rows=[_memory_row(row) for row in known],
    )
    return figure(
        ident,
        "Peak resident memory",
        f"Bars from zero. {told}.{f' The board has {size(capacity_b)}.' if capacity_b else ''}",
        lambda width: _draw_memory(width, known, capacity_b),
        table=table,
        heading=heading,
        wide=HALF,
    )


def update_figure(ident: str, rows: Sequence[Mapping[str, Any]], *, heading: str) -> Figure:
    """Dots on a log axis: what a device must send or store after fine-tuning."""
    known = [row for row in rows if row["update_b"]]
    told = "; ".join(f"{row['label']} {size(row['update_b'])}" for row in known)
    table = DataTable(
        caption="Size of the update and of the cache",
        columns=("method", "update", "update, bytes", "trainable parameters", "all parameters", "cache"),
        rows=[_update_row(row) for row in known],
    )
    return figure(
        ident,
        "Size of the update",
        f"Dots on a logarithmic axis. {told}.",
        lambda width: _draw_update(width, known),
        table=table,
        heading=heading,
        wide=HALF,
    )


def _draw_memory(width: int, rows: Sequence[Mapping[str, Any]], capacity_b: int | None) -> Canvas:
    canvas = Canvas(width, 30 + len(rows) * _ROW + 34)
    most = max(row["peak_rss_b"]["high"] for row in rows) / _MIB
    own = capacity_b / _MIB if capacity_b else None
    # A line far beyond the bars would flatten them: then words say how far it is.
    near = own is not None and own < 4 * most
    title = f"Peak memory, MiB; the board has {size(capacity_b)}" if capacity_b else "Peak memory, MiB"
    canvas.text(0, 14, title, "t strong", width=width)
    most = max(most, own) if own is not None and near else most
    scale, bottom = Scale(0, most * 1.03, 0, width - 76), 30 + len(rows) * _ROW + 2
    for tick in ticks(0, most, 4):
        canvas.line(scale(tick), 30, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 18, f"{tick:g}", "tick", anchor="middle" if tick else "start")
    if own is not None and near:
        canvas.line(scale(own), 26, scale(own), bottom, "capacity")
    for index, row in enumerate(rows):
        y, peak = 30 + index * _ROW, row["peak_rss_b"]
        canvas.text(0, y + 14, row["label"], "t", width=width - 90)
        hint = f"{row['label']}: {size(peak['median'])}"
        canvas.rect(0, y + 20, scale(peak["median"] / _MIB), 14, "bar c-bar", hint=hint)
        middle = y + 27
        canvas.line(scale(peak["low"] / _MIB), middle, scale(peak["high"] / _MIB), middle, "whisker")
        canvas.text(scale(peak["high"] / _MIB) + 8, y + 31.5, size(peak["median"]), "t num")
    return canvas


def _draw_update(width: int, rows: Sequence[Mapping[str, Any]]) -> Canvas:
    canvas = Canvas(width, 30 + len(rows) * _ROW + 34)
    canvas.text(0, 14, "Update, bytes (log axis)", "t strong")
    low, high = min(row["update_b"] for row in rows), max(row["update_b"] for row in rows)
    scale = Scale(low / 1.6, high * 1.3, 0, width - 76, log=True)
    bottom = 30 + len(rows) * _ROW + 2
    for tick in log_ticks(low / 1.6, high * 1.3, most=5):
        canvas.line(scale(tick), 30, scale(tick), bottom, "grid")
        canvas.text(scale(tick), bottom + 18, _short(tick), "tick", anchor="middle")
    for index, row in enumerate(rows):
        y = 30 + index * _ROW
        canvas.text(0, y + 14, row["label"], "t", width=width - 90)
        canvas.line(0, y + 27, scale(row["update_b"]), y + 27, "stem")
        hint = f"{row['label']}: {number(row['update_b'])} bytes"
        canvas.marker(scale(row["update_b"]), y + 27, "circle", "c-bar", size=5.5, hint=hint)
        canvas.text(scale(row["update_b"]) + 12, y + 31.5, size(row["update_b"]), "t num")
    return canvas


def _short(value: float) -> str:
    """A byte count as a decimal tick: 2k, 50k, 1M."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def _memory_row(row: Mapping[str, Any]) -> list[str]:
    peak = row["peak_rss_b"]
    kind = "range seen" if peak["interval"] == "range" else f"{100 * peak['confidence']:.1f}%"
    return [row["label"], size(peak["median"]), size(peak["low"]), size(peak["high"]), kind, str(peak["n"])]


def _update_row(row: Mapping[str, Any]) -> list[str]:
    counts = [row["params_trainable"], row["params_total"]]
    told = [number(value) if value is not None else "–" for value in counts]
    cache = size(row["cache_b"]) if row["cache_b"] is not None else "none"
    return [row["label"], size(row["update_b"]), number(row["update_b"]), *told, cache]
