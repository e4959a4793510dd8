"""Small multiples: one panel a board, all on one scale, so that boards can be read side by side."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult, Spread
from tunebench.reports.figures.base.model import NARROW, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, plain
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, seconds, time_unit

_ROW = 22
_HEAD = 26
_FOOT = 40

#: (board, its rows)
Panel = tuple[str, Sequence[MethodResult]]
#: (board, its rows whose time is known)
_Timed = tuple[str, list[tuple[MethodResult, Spread]]]


def boards_figure(ident: str, panels: Sequence[Panel], styles: Styles, *, heading: str) -> Figure:
    """Draw the median time of every method with its interval; equal methods on equal lines."""
    timed: list[_Timed] = [
        (board, [(row, row.wall_s) for row in rows if row.wall_s]) for board, rows in panels
    ]
    shown = [(board, rows) for board, rows in timed if rows]
    labels = styles.in_order(row.label for _, rows in shown for row, _ in rows)
    table = DataTable(
        caption="Time of a fine-tuning by board and method",
        columns=("board", "method", "median", "low", "high", "n"),
        rows=[
            [clean(board, 60), row.label, *_times(wall), str(row.n)]
            for board, rows in shown
            for row, wall in rows
        ],
    )  # fmt: skip
    return figure(
        ident,
        "Time of a fine-tuning, board by board",
        f"{len(shown)} panels on one logarithmic scale of seconds: {', '.join(clean(b, 40) for b, _ in shown)}.",
        lambda width: _draw(width, shown, labels, styles),
        table=table,
        heading=heading,
    )


def _times(wall: Spread) -> list[str]:
    ends = [seconds(wall.low), seconds(wall.high)] if wall.n > 1 else ["one value", "–"]
    return [seconds(wall.median), *ends]


def _draw(width: int, panels: Sequence[_Timed], labels: Sequence[str], styles: Styles) -> Canvas:
    narrow = width <= NARROW
    across = 1 if narrow else min(3, len(panels))
    left = 104 if narrow else 120
    gap = 18
    wide = (width - left - 10 - gap * (across - 1)) / across
    tall = _HEAD + _ROW * len(labels) + _FOOT
    canvas = Canvas(width, tall * -(-len(panels) // across))
    spans = [wall for _, rows in panels for _, wall in rows]
    low, high = min(wall.low for wall in spans), max(wall.high for wall in spans)
    air = max((high / max(low, 1e-9)) ** 0.05, 1.05)
    unit_s, unit = time_unit(high)
    for index, (board, rows) in enumerate(panels):
        column, line = index % across, index // across
        x, y = left + column * (wide + gap), line * tall
        scale = Scale(max(low, 1e-9) / air, high * air, x, x + wide, log=True)
        canvas.text(x, y + 15, board, "t strong", width=wide)
        bottom = y + _HEAD + _ROW * len(labels)
        marks = log_ticks(scale.low, scale.high, 4)
        for tick in marks:
            canvas.line(scale(tick), y + _HEAD - 2, scale(tick), bottom, "grid")
        canvas.ticks_below(scale, marks, bottom + 16, lambda tick: plain(tick / unit_s), within=(x, x + wide))
        if column == 0:
            for place, label in enumerate(labels):
                canvas.text(0, y + _HEAD + _ROW * place + 15, label, "t", width=left - 10)
        for row, wall in rows:
            _dot(canvas, row, wall, scale, y=y + _HEAD + _ROW * labels.index(row.label) + 11, styles=styles)
    canvas.text(
        width - 10, canvas.height - 4, f"time in {unit}, one log axis for all boards", "tick", anchor="end"
    )
    return canvas


def _dot(canvas: Canvas, row: MethodResult, wall: Spread, scale: Scale, *, y: float, styles: Styles) -> None:
    look = styles.of(row.label)
    canvas.line(scale.start, y, scale.end, y, "grid")
    canvas.line(scale(wall.low), y, scale(wall.high), y, f"error {look.css}")
    hint = f"{row.label} on {row.board_id}: {seconds(wall.median)}"
    canvas.marker(scale(wall.median), y, look.shape, look.css, size=5, hint=hint)
