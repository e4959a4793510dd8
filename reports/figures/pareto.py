"""Accuracy against what it costs: points named, intervals both ways, what nothing beats filled, the frontier as steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunebench.reports.analysis.answers.options import unbeaten
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures.base.labels import placed
from tunebench.reports.figures.base.model import HALF, NARROW, WIDE, Figure, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, log_ticks, plain, ticks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import joules, percent, seconds, time_unit

_PLOT = 216
_LEFT, _RIGHT, _TOP = 50, 16, 24
#: Hollow twin of each filled shape is the same outline; these have no inside, so they say it by a ring.
_NO_INSIDE = ("plus", "cross")


@dataclass(frozen=True)
class Point:
    """A method: its cost and its accuracy with their intervals.

    Attributes:
        cost: median seconds or joules, with ``low`` and ``high``.
        good: mean accuracy, a share of one; ``sd`` over seeds, None for one seed.
        control: the A/A control, which is its twin once more: it beats nobody.
        baseline: what the others are compared with.
        of_one: the cost is one value.
    """

    label: str
    cost: float
    low: float
    high: float
    good: float
    sd: float | None
    n: int
    control: bool = False
    baseline: bool = False
    of_one: bool = False


def points(rows: Sequence[MethodResult], cost: str) -> list[Point]:
    """Return the methods that have both an accuracy and a cost (``time`` or ``energy``)."""
    known = []
    for row in rows:
        spread = row.wall_s if cost == "time" else row.energy.gross_j if row.energy else None
        accuracy = row.accuracy
        if spread and accuracy and spread.low > 0:
            known.append(
                Point(
                    row.label, spread.median, spread.low, spread.high,
                    accuracy.after_mean, accuracy.after_sd, accuracy.n, row.aa_control, row.is_baseline, spread.n == 1,
                )
            )  # fmt: skip
    return known


def frontier(known: Sequence[Point]) -> list[Point]:
    """Return the points that no other point beats or equals in both cost and accuracy; cheapest first.

    >>> a, b, c = (Point(n, x, x, x, y, None, 1) for n, x, y in (("a", 1, 0.8), ("b", 2, 0.9), ("c", 3, 0.85)))
    >>> [point.label for point in frontier([c, b, a])]
    ['a', 'b']
    """
    contenders = [point for point in known if not point.control]
    return [contenders[place] for place in unbeaten([(point.cost, point.good) for point in contenders])]


def pareto_figure(
    ident: str,
    rows: Sequence[MethodResult],
    cost: str,
    styles: Styles,
    *,
    heading: str,
    half: bool,
    scope: str = "",
) -> Figure:
    """Draw cost to the right on a logarithmic axis, held-out accuracy upwards."""
    known = points(rows, cost)
    best = frontier(known)
    words = _cost_words(cost)
    names = ", ".join(point.label for point in best)
    table = DataTable(
        caption=f"Accuracy and {'time' if cost == 'time' else f'energy ({scope})'} of each method",
        columns=("method", "cost, median", "low", "high", "accuracy, mean", "sd", "seeds", "on the frontier"),
        rows=[
            [
                point.label, words(point.cost), *_ends(point, words), percent(point.good, 2),
                "–" if point.sd is None else f"{100 * point.sd:.2f} points", str(point.n),
                "yes" if point in best else "no",
            ]
            for point in known
        ],
    )  # fmt: skip
    return figure(
        ident,
        f"Accuracy against {'seconds' if cost == 'time' else 'joules'} of {_whose(rows)}",
        f"Scatter with intervals. By their centres, no method beats these in both: {names}.",
        lambda width: _draw(width, known, best, styles, cost=cost, scope=scope),
        table=table,
        heading=heading,
        wide=HALF if half else WIDE,
    )


def _whose(rows: Sequence[MethodResult]) -> str:
    """Name what the cost is of: a runtime's rows measure one call."""
    return "one inference" if any(row.inference is not None for row in rows) else "fine-tuning"


def _ends(point: Point, words: Callable[[float], str]) -> tuple[str, str]:
    """Return the ends of a cost's interval; one value has none."""
    return ("one value", "–") if point.of_one else (words(point.low), words(point.high))


def _cost_words(cost: str) -> Callable[[float], str]:
    return seconds if cost == "time" else joules


def _draw(
    width: int, known: Sequence[Point], best: Sequence[Point], styles: Styles, *, cost: str, scope: str
) -> Canvas:
    # The A/A control is its twin once more: drawn, the two would hide each other. It stands in the numbers.
    shown = [point for point in known if not point.control] or list(known)
    bottom = _TOP + _PLOT
    canvas = Canvas(width, bottom + 46)
    air = max((max(p.high for p in shown) / min(p.low for p in shown)) ** 0.06, 1.03)
    across = Scale(
        min(p.low for p in shown) / air, max(p.high for p in shown) * air, _LEFT, width - _RIGHT, log=True
    )
    low = min(p.good - (p.sd or 0) for p in shown)
    high = max(p.good + (p.sd or 0) for p in shown)
    room = max(0.1 * (high - low), 0.004)
    up = Scale(low - room, high + room, bottom, _TOP)
    levels = ticks(up.low, up.high, 6)
    for tick in levels:
        canvas.line(_LEFT, up(tick), width - _RIGHT, up(tick), "grid")
    canvas.ticks_left(up, levels, _LEFT - 8, lambda tick: f"{100 * tick:g}%")
    marks = log_ticks(across.low, across.high, 4 if width <= NARROW else 6)
    for tick in marks:
        canvas.line(across(tick), _TOP, across(tick), bottom, "grid")
    scale, name = time_unit(across.high) if cost == "time" else (1.0, "joules")
    canvas.ticks_below(across, marks, bottom + 20, lambda tick: plain(tick / scale))
    canvas.line(_LEFT, bottom, width - _RIGHT, bottom, "rule")
    canvas.text(0, 11, "accuracy", "tick")
    unit = f"time in {name}, log axis" if cost == "time" else f"joules ({scope}), log axis"
    canvas.text(width - _RIGHT, bottom + 40, unit, "tick", anchor="end")
    if best:
        _steps(canvas, best, across, up)
    for point in shown:
        _point(canvas, point, styles, across, up, best=point in best, words=_cost_words(cost))
    _names(canvas, sorted(shown, key=lambda point: point not in best), across, up)
    return canvas


def _names(canvas: Canvas, shown: Sequence[Point], across: Scale, up: Scale) -> None:
    """Write each point's name beside it."""
    points = [(across(p.cost), up(p.good), f"{p.label} (baseline)" if p.baseline else p.label) for p in shown]
    labels = placed(points, (_LEFT + 2, 0, canvas.width, up.start))
    for (x, y, _), label in zip(points, labels, strict=True):
        if label.far:
            canvas.line(x, y, label.x, label.y - 5, "rule")
        canvas.text(label.x, label.y, label.text, "t strong", anchor=label.anchor)


def _steps(canvas: Canvas, best: Sequence[Point], across: Scale, up: Scale) -> None:
    """Draw the frontier as steps: each point's accuracy holds from its cost up to the cost of the next point."""
    path = [(across(best[0].cost), up(best[0].good))]
    for point, then in pairwise(best):
        path += [(across(then.cost), up(point.good)), (across(then.cost), up(then.good))]
    path.append((across.end, up(best[-1].good)))
    canvas.polyline(path, "frontier", "5 4")


def _point(
    canvas: Canvas,
    point: Point,
    styles: Styles,
    across: Scale,
    up: Scale,
    *,
    best: bool,
    words: Callable[[float], str],
) -> None:
    look, x, y = styles.of(point.label), across(point.cost), up(point.good)
    canvas.line(across(point.low), y, across(point.high), y, f"error {look.css}")
    if point.sd is not None:
        canvas.line(x, up(point.good - point.sd), x, up(point.good + point.sd), f"error {look.css}")
    state = "on the frontier" if best else "beaten"
    hint = f"{point.label}: {percent(point.good)} for {words(point.cost)}, {state}"
    shape = "ring" if best and look.shape in _NO_INSIDE else look.shape
    canvas.marker(x, y, shape, look.css, size=6, hint=hint, hollow=not best)
