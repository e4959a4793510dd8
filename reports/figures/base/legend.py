"""Legends: swatches for areas, line and marker for methods; wrapped to the drawing's width."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.figures.base.model import Styles
from tunebench.reports.figures.base.svg import Canvas, num, text_width

_LINE = 22.0
_MOST = 160.0


def swatches_height(names: Sequence[str], width: float) -> float:
    """Return the height of :func:`swatches` in pixels."""
    return _LINE * (1 + max((line for _, line in _places(names, width, 18, 18)), default=-1))


def swatches(canvas: Canvas, entries: Sequence[tuple[str, str]]) -> None:
    """Draw a coloured square and a name for each (name, class)."""
    places = _places([name for name, _ in entries], canvas.width, 18, 18)
    for (name, css), (x, line) in zip(entries, places, strict=True):
        canvas.rect(x, line * _LINE + 2, 12, 12, f"bar {css}", r=2)
        canvas.text(x + 18, line * _LINE + 12.5, name.replace("_", " "), "tick", width=_MOST)


def methods_height(labels: Sequence[str], width: float) -> float:
    """Return how many pixels :func:`methods` takes."""
    return _LINE * (1 + max((line for _, line in _places(labels, width, 34, 20)), default=-1))


def methods(canvas: Canvas, labels: Sequence[str], styles: Styles, *, lines: bool = True) -> None:
    """Draw marker and name of each method, on a piece of its line if the figure draws lines."""
    places = _places(labels, canvas.width, 34, 20)
    for label, (x, line) in zip(labels, places, strict=True):
        look, y = styles.of(label), line * _LINE + 9
        if lines:
            dash = f' stroke-dasharray="{look.dash}"' if look.dash else ""
            canvas.add(f'<path d="M{num(x)} {num(y)}h26" class="curve {look.css}"{dash}/>')
        canvas.marker(x + 13, y, look.shape, look.css, size=4.5)
        canvas.text(x + 34 if lines else x + 24, y + 4.5, label, "tick", width=_MOST)


def _places(names: Sequence[str], width: float, before: float, after: float) -> list[tuple[float, int]]:
    places, x, line = [], 0.0, 0
    for name in names:
        needed = before + min(_MOST, text_width(name, 12.5)) + after
        if x and x + needed > width:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += needed
    return places
