"""Put names beside the points of a scatter so that they cover neither one another nor a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures.base.svg import fit, text_width

_FONT = 13.0
_HEIGHT = 15.0
#: (pixels right, pixels down, anchor) of a name's baseline, from its point; the first that is free is taken.
_PLACES: tuple[tuple[float, float, str], ...] = (
    (11, 4.5, "start"), (11, -9, "start"), (11, 18, "start"), (-11, 4.5, "end"), (-11, -9, "end"), (-11, 18, "end"),
    (0, -13, "middle"), (0, 24, "middle"), (14, -26, "start"), (14, 36, "start"), (-14, -26, "end"), (-14, 36, "end"),
    (0, -34, "middle"), (0, 46, "middle"), (14, -46, "start"), (14, 56, "start"), (-14, -46, "end"), (-14, 56, "end"),
)  # fmt: skip
#: Pixels that a point's marker needs to each side.
_MARKER = 8.0
#: From this many pixels up or down a thin line leads from the name to its point.
_FAR = 25.0

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A name and where it is drawn; ``far``: a line must lead to its point."""

    text: str
    x: float
    y: float
    anchor: str
    far: bool


def placed(points: Sequence[tuple[float, float, str]], room: Box, taken: Sequence[Box] = ()) -> list[Label]:
    """Return a place for the name of each point, in the points' order.

    Args:
        points: (x, y, name), in pixels, those that matter most first: they choose first.
        room: left, top, right, bottom of the drawing: names stay inside.
        taken: what names must not cover, besides the points.

    >>> [label.anchor for label in placed([(10, 50, "a"), (195, 50, "b")], (0, 0, 200, 100))]
    ['start', 'end']
    """
    covered = [(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y, _ in points] + list(taken)
    labels = []
    for index, (x, y, name) in enumerate(points):
        text = fit(name, (room[2] - room[0]) * 0.6, _FONT)
        others = [box for place, box in enumerate(covered) if place != index]
        ranked = [
            (_cost(_box(x + right, y + down, text, anchor), room, others), place)
            for place, (right, down, anchor) in enumerate(_PLACES)
        ]
        right, down, anchor = _PLACES[min(ranked)[1]]
        covered.append(_box(x + right, y + down, text, anchor))
        labels.append(Label(text, x + right, y + down, anchor, abs(down) > _FAR))
    return labels


def _box(x: float, y: float, text: str, anchor: str) -> Box:
    width = text_width(text, _FONT)
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return left, y - _HEIGHT + 3, left + width, y + 3


def _cost(box: Box, room: Box, others: Sequence[Box]) -> float:
    """Return how many square pixels of a name lie outside the room (which weighs most) or on something else."""
    inside = _shared(box, room)
    outside = (box[2] - box[0]) * (box[3] - box[1]) - inside
    return 4 * outside + sum(_shared(box, other) for other in others)


def _shared(box: Box, other: Box) -> float:
    wide = min(box[2], other[2]) - max(box[0], other[0])
    high = min(box[3], other[3]) - max(box[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0
