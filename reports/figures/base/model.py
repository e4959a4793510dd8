"""What a figure is, and which look each method has in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tunebench.reports.figures.base.svg import Canvas
from tunebench.reports.formatting.table import DataTable

#: Widths of the two drawings, in CSS pixels.
WIDE, NARROW = 860, 344
HALF = 414

_COLOURS = 6
_SHAPES = ("circle", "square", "triangle", "diamond", "down", "plus")
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "10 4", "4 2 1 2")


@dataclass(frozen=True)
class Look:
    """Colour class, marker shape and dash of a label: labels never differ by colour alone."""

    css: str
    shape: str
    dash: str


class Styles:
    """The look of each label, the same in every figure of a report.

    The baseline is drawn in ink and the A/A control in grey, so that colour belongs to the contenders.
    """

    def __init__(
        self, labels: Iterable[str], baselines: Iterable[str] = (), controls: Iterable[str] = ()
    ) -> None:
        baselines, controls = set(baselines), set(controls)
        self._looks: dict[str, Look] = {}
        turn = 0
        for label in dict.fromkeys(labels):
            if label in baselines:
                self._looks[label] = Look("c-base", "circle", "")
            elif label in controls:
                self._looks[label] = Look("c-aa", "ring", "3 3")
            else:
                rounds = turn // _COLOURS
                shape = _SHAPES[(turn + rounds + 1) % len(_SHAPES)]
                self._looks[label] = Look(
                    f"c{turn % _COLOURS}", shape, _DASHES[(turn + rounds) % len(_DASHES)]
                )
                turn += 1

    def in_order(self, labels: Iterable[str]) -> list[str]:
        """Return each label once, in the order of the report."""
        wanted = set(labels)
        return [label for label in self._looks if label in wanted]

    def of(self, label: str) -> Look:
        """Return the look of a label."""
        return self._looks[label]


@dataclass(frozen=True)
class Figure:
    """A figure in its two drawings, with words for those who do not see it; ``notes`` stand below it for everybody."""

    title: str
    drawings: Sequence[tuple[str, Markup]]
    table: DataTable | None = None
    heading: str = ""
    board: str = ""
    notes: Sequence[str] = ()


def figure(
    ident: str,
    title: str,
    description: str,
    draw: Callable[[int], Canvas],
    *,
    table: DataTable | None = None,
    heading: str = "",
    wide: int = WIDE,
    notes: Sequence[str] = (),
) -> Figure:
    """Draw a figure at both widths. ``ident`` must be unique on the page and is never foreign text."""
    drawings = [
        ("wide", draw(wide).render(f"{ident}-w", title, description)),
        ("narrow", draw(NARROW).render(f"{ident}-n", title, description)),
    ]
    return Figure(title=title, drawings=drawings, table=table, heading=heading, notes=notes)
