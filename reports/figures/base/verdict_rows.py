"""Rows of a figure of verdicts, at three widths: a label, an interval with its marker, a value and a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.model import HALF, NARROW
from tunebench.reports.figures.base.svg import TICK_FONT, Canvas, Scale, label_width, text_width

_ROW = 28
#: A narrow row has its words above its interval.
_WORDS_ABOVE = 26
_AXIS = 46


@dataclass(frozen=True, slots=True)
class Frame:
    """An empty drawing with room for rows and an axis below them.

    Attributes:
        left, right: pixels beside the axis.
        bottom: lower edge of the rows.
    """

    canvas: Canvas
    row_height: int
    left: float
    right: float
    bottom: float

    @property
    def narrow(self) -> bool:
        return self.canvas.width <= NARROW


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """What is drawn of one verdict.

    Attributes:
        value: the figure with its interval, as text; ``value_right``: where it begins, in pixels from the right edge.
        short: value and verdict where there is no room for the interval; ``narrow``: those of a narrow drawing.
        shape, css: of the marker and the interval.
        low, high: ends of the interval; both are left out of one block.
        hint: what the marker says when it is pointed at.
    """

    label: str
    value: str
    value_right: float
    short: str
    narrow: str
    verdict: str
    shape: str
    css: str
    point: float
    low: float
    high: float
    n: int
    interval: str
    hint: str


def frame(width: int, labels: Sequence[str], words: Sequence[str], right: float) -> Frame:
    """Return the drawing for rows of these labels and short words.

    Args:
        width: of the drawing, in pixels.
        labels: one a row.
        words: one a row; they stand at the right of a small drawing.
        right: pixels that a wide drawing has at the right.
    """
    row_height = _ROW + (_WORDS_ABOVE if width <= NARROW else 0)
    margins: tuple[float, float] = (150, right)
    if width <= NARROW:
        margins = (8, 8)
    elif width <= HALF:
        margins = (label_width(labels), max(map(text_width, words)) + 10)
    bottom = len(labels) * row_height
    return Frame(Canvas(width, bottom + _AXIS), row_height, *margins, bottom + 4)


def draw_row(frame: Frame, scale: Scale, row: VerdictRow, index: int) -> None:
    """Draw a verdict into the row of this index."""
    canvas, top = frame.canvas, index * frame.row_height
    y = top + (38 if frame.narrow else 14)
    if frame.narrow:
        room = canvas.width - 24 - text_width(row.narrow, TICK_FONT)
        canvas.text(8, top + 20, row.label, "t strong", width=room)
        canvas.text(canvas.width - 8, top + 20, row.narrow, "tick", anchor="end")
    elif canvas.width <= HALF:
        # The interval is drawn, and stands in the table: for its numbers there is no room.
        canvas.text(0, y + 4.5, row.label, "t strong", width=scale.start - 8)
        canvas.text(canvas.width, y + 4.5, row.short, f"tick {row.css} word", anchor="end")
    else:
        canvas.text(0, y + 4.5, row.label, "t strong", width=138)
        canvas.text(canvas.width - row.value_right, y + 4.5, row.value, "t num")
        canvas.text(canvas.width, y + 4.5, row.verdict.lower(), f"t {row.css} word", anchor="end")
    if row.n > 1:
        ends = scale(row.low), scale(row.high)
        canvas.interval(*ends, y, f"interval {row.css}", cap=5, dashed=row.interval == "range")
    canvas.marker(scale(row.point), y, row.shape, row.css, size=5.5, hint=row.hint)
