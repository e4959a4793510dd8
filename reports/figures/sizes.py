"""Peak memory of the workload, and bytes of the update that a device would send or store."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult, Spread
from tunebench.reports.figures.base.model import HALF, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, plain, text_width, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, number, size

_ROW = 30
_MIB = float(1 << 20)


def memory_figure(
    ident: str, rows: Sequence[MethodResult], *, heading: str, capacity_b: int | None = None
) -> Figure:
    """Draw median peak resident memory as bars from zero, with intervals and the board's own memory."""
    known = [(row, row.peak_rss_b) for row in rows if row.peak_rss_b]
    medians = "; ".join(f"{row.label} {_words(row, peak)}" for row, peak in known)
    table = DataTable(
        caption="Peak resident memory of the workload's process (VmHWM); over idle: the peak less what the same process "
        "held when its engine was loaded and nothing else",
        columns=("method", "median", "low", "high", "interval", "n", "idle interpreter", "over idle"),
        rows=[_memory_row(row, peak) for row, peak in known],
    )
    return figure(
        ident,
        "Peak resident memory",
        f"Bars from zero. {medians}.{f' The board has {size(capacity_b)}.' if capacity_b else ''}",
        lambda width: _draw_memory(width, known, capacity_b),
        table=table,
        heading=heading,
        wide=HALF,
    )


def update_figure(ident: str, rows: Sequence[MethodResult], *, heading: str) -> Figure:
    """Draw the bytes that a device must send or store after fine-tuning, as dots on a logarithmic axis."""
    known = [(row, row.update_b) for row in rows if row.update_b]
    updates = "; ".join(f"{row.label} {size(update_b)}" for row, update_b in known)
    table = DataTable(
        caption="Size of the update and of the cache",
        columns=("method", "update", "update, bytes", "trainable parameters", "all parameters", "cache"),
        rows=[_update_row(row, update_b) for row, update_b in known],
    )
    return figure(
        ident,
        "Size of the update",
        f"Dots on a logarithmic axis. {updates}.",
        lambda width: _draw_update(width, known),
        table=table,
        heading=heading,
        wide=HALF,
    )


def no_increment(rows: Sequence[MethodResult]) -> list[str]:
    """Say for which methods the memory over an idle interpreter is not known, each reason once."""
    known = [row for row in rows if row.peak_rss_b]
    labels_of: dict[str, list[str]] = {}
    for row in known:
        if row.over_idle_missing:
            labels_of.setdefault(row.over_idle_missing, []).append(row.label)
    return [
        f"Over an idle interpreter: not known, {clean(reason, 200)}"
        + (
            "."
            if len(labels) == len(known)
            else f" ({', '.join(clean(label, 40) for label in list(dict.fromkeys(labels))[:6])})."
        )
        for reason, labels in labels_of.items()
    ]


def _names(labels: Sequence[str]) -> str:
    return ", ".join(clean(label, 40) for label in list(dict.fromkeys(labels))[:6])


def _words(row: MethodResult, peak: Spread) -> str:
    """Return the peak, and what of it the fine-tuning adds to an idle interpreter."""
    added = f", idle + {size(row.over_idle_b.median)}" if row.over_idle_b else ""
    return f"{size(peak.median)}{added}{', n = 1' if peak.n == 1 else ''}"


def _draw_memory(width: int, known: Sequence[tuple[MethodResult, Spread]], capacity_b: int | None) -> Canvas:
    canvas = Canvas(width, 30 + len(known) * _ROW + 34)
    most = max(peak.high for _, peak in known) / _MIB
    own = capacity_b / _MIB if capacity_b else None
    # A line far beyond the bars would flatten them: then words say how far it is.
    near = own is not None and own < 4 * most
    title = f"Peak memory, MiB; the board has {size(capacity_b)}" if capacity_b else "Peak memory, MiB"
    canvas.text(0, 14, title, "t strong", width=width)
    most = max(most, own) if own is not None and near else most
    scale, bottom = Scale(0, most * 1.03, 0, width - 8), 30 + len(known) * _ROW + 2
    marks = ticks(0, most, 4)
    for tick in marks:
        canvas.line(scale(tick), 30, scale(tick), bottom, "grid")
    canvas.ticks_below(scale, marks, bottom + 18, plain)
    if own is not None and near:
        canvas.line(scale(own), 26, scale(own), bottom, "capacity")
    for index, (row, peak) in enumerate(known):
        y, words = 30 + index * _ROW, _words(row, peak)
        canvas.text(0, y + 12, row.label, "t", width=width - 20 - text_width(words))
        canvas.text(width - 8, y + 12, words, "t num", anchor="end")
        middle = y + 21
        canvas.rect(0, y + 16.5, scale(peak.median / _MIB), 9, "bar c-bar", hint=f"{row.label}: {words}")
        if row.over_idle_b:
            # Drawn over the bar: what is left of it in full colour is what the fine-tuning itself takes.
            idle = scale(max(0.0, peak.median - row.over_idle_b.median) / _MIB)
            canvas.rect(0, y + 16.5, idle, 9, "bar c-idle", hint="an idle interpreter with its engine loaded")
        if peak.n > 1:
            canvas.line(scale(peak.low / _MIB), middle, scale(peak.high / _MIB), middle, "whisker")
    return canvas


def _draw_update(width: int, known: Sequence[tuple[MethodResult, int]]) -> Canvas:
    canvas = Canvas(width, 30 + len(known) * _ROW + 34)
    canvas.text(0, 14, "Update, bytes (log axis)", "t strong")
    low, high = min(update_b for _, update_b in known), max(update_b for _, update_b in known)
    scale = Scale(low / 1.6, high * 1.3, 0, width - 76, log=True)
    bottom = 30 + len(known) * _ROW + 2
    marks = log_ticks(low / 1.6, high * 1.3, most=5)
    for tick in marks:
        canvas.line(scale(tick), 30, scale(tick), bottom, "grid")
    canvas.ticks_below(scale, marks, bottom + 18, _short)
    for index, (row, update_b) in enumerate(known):
        y = 30 + index * _ROW
        canvas.text(0, y + 12, row.label, "t", width=width - 90)
        canvas.line(0, y + 21, scale(update_b), y + 21, "stem")
        hint = f"{row.label}: {number(update_b)} bytes"
        canvas.marker(scale(update_b), y + 21, "circle", "c-bar", size=5, hint=hint)
        canvas.text(scale(update_b) + 12, y + 25.5, size(update_b), "t num")
    return canvas


def _short(value: float) -> str:
    """Return a byte count as a decimal tick: 2k, 50k, 1M."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:g}{unit}"
    return f"{value:g}"


def _memory_row(row: MethodResult, peak: Spread) -> list[str]:
    kind = "range seen" if peak.confidence is None else f"{100 * peak.confidence:.1f}%"
    span = [size(peak.low), size(peak.high), kind] if peak.n > 1 else ["–", "–", "one value"]
    over = [size(part.median) if part else "–" for part in (row.idle_rss_b, row.over_idle_b)]
    return [row.label, size(peak.median), *span, str(peak.n), *over]


def _update_row(row: MethodResult, update_b: int) -> list[str]:
    counts = [row.params_trainable, row.params_total]
    cells = [number(value) if value is not None else "–" for value in counts]
    cache = size(row.cache_b) if row.cache_b is not None else "none"
    return [row.label, size(update_b), number(update_b), *cells, cache]
