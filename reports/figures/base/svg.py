"""A few SVG elements, scales and ticks. Everything foreign is escaped here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

from markupsafe import Markup, escape

from tunebench.reports.formatting.units import clean

#: Mean width of a character in our system fonts, in units of the font size.
_CHAR_EM = 0.56
#: Drawings of this width and less are for phones.
_PHONE = 360
#: Size of a tick's label, the height of its line, and the least room between two labels, pixels.
TICK_FONT, _LINE, _GAP = 12.5, 13.0, 4.0


@dataclass
class Canvas:
    """An SVG drawing in the making. Colours come from CSS classes: the page's theme decides."""

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    @property
    def hints(self) -> bool:
        """Return whether tooltips are drawn: a page as narrow as a phone has no pointer to show them."""
        return self.width > _PHONE

    def add(self, markup: str) -> None:
        """Add markup that is safe already."""
        self.parts.append(markup)

    def text(
        self, x: float, y: float, content: str, css: str = "t", *, anchor: str = "start", width: float = 0.0
    ) -> None:
        """Draw text at its baseline; cut to ``width`` pixels if given."""
        shown = fit(content, width) if width else clean(content)
        at = f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.add(f'<text x="{num(x)}" y="{num(y)}" class="{css}"{at}>{escape(shown)}</text>')

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str = "grid", *, dash: str = "") -> None:
        """Draw a straight line."""
        at = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<line x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}" class="{css}"{at}/>')

    def rect(
        self, x: float, y: float, width: float, height: float, css: str, *, hint: str = "", r: float = 0
    ) -> None:
        """Draw a rectangle, with an optional tooltip."""
        inner = f"><title>{escape(clean(hint))}</title></rect>" if hint and self.hints else "/>"
        corner = f' rx="{num(r)}"' if r else ""
        self.add(
            f'<rect x="{num(x)}" y="{num(y)}" width="{num(max(0.0, width))}" height="{num(height)}"{corner} '
            f'class="{css}"{inner}'
        )

    def ticks_below(
        self,
        scale: Callable[[float], float],
        values: Sequence[float],
        y: float,
        say: Callable[[float], str],
        *,
        keep: float = 0.0,
        within: tuple[float, float] | None = None,
    ) -> None:
        """Write values below a horizontal axis; where labels would touch, only every second, third ... is written.

        Args:
            scale: value to x.
            values: in order.
            y: of the labels' baseline.
            say: a label.
            keep: the value that is written whatever else is left out.
            within: no label leaves this stretch; default: the drawing.
        """
        left, right = within or (0.0, self.width)
        labels = []
        for value in values:
            label = say(value)
            wide = text_width(label, TICK_FONT)
            # More air than between lines: neighbours must not read as one number.
            labels.append((max(left + wide / 2, min(right - wide / 2, scale(value))), wide + 4, label))
        for x, label in apart(labels, values, keep):
            self.text(x, y, label, "tick", anchor="middle")

    def ticks_left(
        self, scale: Callable[[float], float], values: Sequence[float], x: float, say: Callable[[float], str]
    ) -> None:
        """Write values left of a vertical axis, right-aligned at ``x``, each a line apart."""
        labels = [(scale(value), _LINE, say(value)) for value in values]
        for y, label in apart(labels, values, 0.0):
            self.text(x, y + 4, label, "tick", anchor="end")

    def polyline(self, points: Sequence[tuple[float, float]], css: str, dash: str = "") -> None:
        """Draw a line through points; draw nothing for fewer than two."""
        if len(points) < 2:
            return
        at = f' stroke-dasharray="{dash}"' if dash else ""
        path = " ".join(f"{num(x)},{num(y)}" for x, y in points)
        self.add(f'<polyline points="{path}" class="{css}"{at}/>')

    def interval(self, low: float, high: float, y: float, css: str, *, cap: float, dashed: bool) -> None:
        """Draw a horizontal line with caps at its ends; dashed between them for a range that is no interval."""
        ends = "".join(f"M{num(x)} {num(y - cap)}V{num(y + cap)}" for x in (low, high))
        if dashed:
            self.line(low, y, high, y, css, dash="4 3")
        body = "" if dashed else f"M{num(low)} {num(y)}H{num(high)}"
        self.add(f'<path d="{body}{ends}" class="{css}"/>')

    def marker(
        self,
        x: float,
        y: float,
        shape: str,
        css: str,
        *,
        size: float = 5.0,
        hint: str = "",
        hollow: bool = False,
    ) -> None:
        """Draw a marker by the name of its shape; the CSS class gives its colour."""
        kind = "hollow" if hollow or shape in _HOLLOW else "solid"
        inner = f"><title>{escape(clean(hint))}</title></path>" if hint and self.hints else "/>"
        path = _SHAPES[shape](size)
        self.add(f'<path d="{path}" transform="translate({num(x)} {num(y)})" class="{css} {kind}"{inner}')

    def dots(self, places: Sequence[tuple[float, float]], shape: str, css: str, size: float) -> None:
        """Draw many equal markers as one path, without tooltips: a tenth of the bytes."""
        kind = "hollow" if shape in _HOLLOW else "solid"
        path = "".join(_DOTS.get(shape, _DOTS["circle"])(x, y, size) for x, y in places)
        self.add(f'<path d="{path}" class="{css} {kind}"/>')

    def render(self, ident: str, title: str, description: str) -> Markup:
        """Return the finished element: role img, with title and description."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {num(self.width)} {num(self.height)}" '
            f'width="{num(self.width)}" height="{num(self.height)}" role="img" '
            f'aria-labelledby="{ident}-t {ident}-d">'
            f'<title id="{ident}-t">{escape(clean(title))}</title>'
            f'<desc id="{ident}-d">{escape(clean(description, 400))}</desc>'
        )
        return Markup(head + "".join(self.parts) + "</svg>")  # noqa: S704 - every part was escaped above


def num(value: float) -> str:
    """Format a coordinate to a tenth of a pixel.

    >>> num(3.0), num(2.25), num(-0.01)
    ('3', '2.2', '0')
    """
    text = f"{value:.1f}"
    text = text.removesuffix(".0")
    return "0" if text == "-0" else text


def fit(content: str, width: float, font: float = 13.0) -> str:
    """Return text shortened to about ``width`` pixels; the cut is shown by an ellipsis."""
    most = max(3, int(width / (font * _CHAR_EM)))
    shown = clean(content)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def text_width(content: str, font: float = 13.0) -> float:
    """Return about how many pixels wide a text is."""
    return len(content) * font * _CHAR_EM


def label_width(labels: Iterable[str]) -> float:
    """Return the room for labels beside the rows of a drawing of half the width: so much that an A/A control's fits."""
    return min(132.0, max([108.0, *(text_width(label, 13.5) + 9 for label in labels)]))


def _polygon(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{num(x)} {num(y)}" for x, y in points) + "Z"


def _circle(r: float) -> str:
    return f"M{num(-r)} 0a{num(r)} {num(r)} 0 1 0 {num(2 * r)} 0a{num(r)} {num(r)} 0 1 0 {num(-2 * r)} 0Z"


_SHAPES: dict[str, Callable[[float], str]] = {
    "circle": _circle,
    "ring": _circle,
    "square": lambda r: _polygon([(-r, -r), (r, -r), (r, r), (-r, r)]),
    "diamond": lambda r: _polygon([(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)]),
    "open-diamond": lambda r: _polygon([(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)]),
    "triangle": lambda r: _polygon([(0, -r * 1.2), (r * 1.15, r * 0.9), (-r * 1.15, r * 0.9)]),
    "down": lambda r: _polygon([(0, r * 1.2), (r * 1.15, -r * 0.9), (-r * 1.15, -r * 0.9)]),
    "right": lambda r: _polygon([(r * 1.3, 0), (-r * 0.9, r * 1.15), (-r * 0.9, -r * 1.15)]),
    "left": lambda r: _polygon([(-r * 1.3, 0), (r * 0.9, r * 1.15), (r * 0.9, -r * 1.15)]),
    "plus": lambda r: f"M{num(-r)} 0H{num(r)}M0 {num(-r)}V{num(r)}",
    "cross": lambda r: f"M{num(-r)} {num(-r)}L{num(r)} {num(r)}M{num(-r)} {num(r)}L{num(r)} {num(-r)}",
}
_HOLLOW = {"ring", "open-diamond", "plus", "cross"}


def _relative(x: float, y: float, steps: str) -> str:
    return f"M{num(x)} {num(y)}{steps}"


#: Shapes as steps from where they begin, so that many make one path.
_DOTS: dict[str, Callable[[float, float, float], str]] = {
    "circle": lambda x, y, r: _relative(
        x - r, y, f"a{num(r)} {num(r)} 0 1 0 {num(2 * r)} 0a{num(r)} {num(r)} 0 1 0 {num(-2 * r)} 0"
    ),
    "square": lambda x, y, r: _relative(x - r, y - r, f"h{num(2 * r)}v{num(2 * r)}h{num(-2 * r)}z"),
    "diamond": lambda x, y, r: _relative(x, y - r, f"l{num(r)} {num(r)}l{num(-r)} {num(r)}l{num(-r)} {num(-r)}z"),
    "triangle": lambda x, y, r: _relative(x, y - r, f"l{num(r)} {num(2 * r)}h{num(-2 * r)}z"),
    "down": lambda x, y, r: _relative(x, y + r, f"l{num(r)} {num(-2 * r)}h{num(-2 * r)}z"),
    "plus": lambda x, y, r: _relative(x - r, y, f"h{num(2 * r)}m{num(-r)} {num(-r)}v{num(2 * r)}"),
    "cross": lambda x, y, r: _relative(
        x - r, y - r, f"l{num(2 * r)} {num(2 * r)}m{num(-2 * r)} 0l{num(2 * r)} {num(-2 * r)}"
    ),
}  # fmt: skip
_DOTS["ring"] = _DOTS["circle"]


@dataclass(frozen=True)
class Scale:
    """A mapping of values to pixels; linear, or logarithmic if ``log``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (self.low, self.high, value)
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(max(value, 1e-300))
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def apart(
    labels: Sequence[tuple[float, float, str]], values: Sequence[float], keep: float
) -> list[tuple[float, str]]:
    """Return (place, text) of as many labels as do not touch: every second, third ... of an even axis.

    Args:
        labels: (middle, extent along the axis, text) in the order of the axis.
        values: of the labels.
        keep: the value that stays if it is one of them; else the first stays.

    >>> apart([(0, 30, "0"), (20, 30, "1"), (40, 30, "2"), (60, 30, "3")], [0, 1, 2, 3], 2)
    [(0, '0'), (40, '2')]
    >>> apart([(0, 20, "1"), (50, 20, "2"), (60, 20, "3"), (100, 20, "9")], [1, 2, 3, 9], 2)
    [(0, '1'), (50, '2'), (100, '9')]
    """
    stay = next((i for i, value in enumerate(values) if value == keep), 0)
    steps = [abs(b[0] - a[0]) for a, b in pairwise(labels)]
    if steps and max(steps) - min(steps) > 0.2 * max(steps):
        chosen = _greedy(labels, stay)
        return [(place, text) for place, _, text in chosen]
    for stride in range(1, len(labels) + 1):
        chosen = list(labels[stay % stride :: stride])
        if all(_free(a, b) for a, b in pairwise(chosen)):
            return [(place, text) for place, _, text in chosen]
    return []


def _greedy(labels: Sequence[tuple[float, float, str]], stay: int) -> list[tuple[float, float, str]]:
    """Return the label that stays, and from there to both ends each next one that has room."""
    chosen = [labels[stay]]
    for label in labels[stay + 1 :]:
        if _free(chosen[-1], label):
            chosen.append(label)
    for label in reversed(labels[:stay]):
        if _free(chosen[0], label):
            chosen.insert(0, label)
    return chosen


def _free(a: tuple[float, float, str], b: tuple[float, float, str]) -> bool:
    return abs(b[0] - a[0]) >= (a[1] + b[1]) / 2 + _GAP and a[2] != b[2]


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values inside [low, high], in steps of 1, 2 or 5 times a power of ten.

    >>> ticks(0, 4.4, 6), ticks(0, 2e-13, 2)
    ([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 1e-13, 2e-13])
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    places = max(12, 2 - math.floor(math.log10(step)))
    return [round(index * step, places) for index in range(first, last + 1)]


_LOG_STEPS = (
    (1, 1.5, 2, 3, 4, 5, 6, 8),
    (1, 1.5, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def log_ticks(low: float, high: float, most: int = 7) -> list[float]:
    """Return round values for a logarithmic axis; linear steps if it spans less than a factor of two.

    >>> log_ticks(0.9, 4.0)
    [1.0, 1.5, 2.0, 3.0, 4.0]
    """
    if high / low < 2:
        return ticks(low, high, most)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _LOG_STEPS:
        values = [float(f"{step}e{power}") for power in powers for step in steps]
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) <= most:
            return inside
    return inside[:: math.ceil(len(inside) / most)]


def plain(value: float) -> str:
    """Return a tick's label: no trailing zeros, never in scientific notation.

    >>> plain(1.50), plain(20.0), plain(0.05), plain(0.00001), plain(2e6)
    ('1.5', '20', '0.05', '0.00001', '2000000')
    """
    return f"{Decimal(f'{value:.6g}'):f}"


def at_the_edge(deviations: Iterable[float | None], most: float) -> str:
    """Say how many values are drawn at a figure's edge because they lie beyond it; empty if none.

    >>> at_the_edge([0.1, None, 0.7, -0.9], 0.5)
    '2 beyond ±50% are drawn at the edge'
    >>> at_the_edge([0.5], 0.5)
    ''
    """
    beyond = sum(value is not None and abs(value) > most for value in deviations)
    return f"{beyond} beyond ±{most:.0%} {'is' if beyond == 1 else 'are'} drawn at the edge" if beyond else ""
