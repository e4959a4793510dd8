"""The study's two figures of dots: time saved by each method, and differences of accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tunebench.reports.figures import DataTable, Figure, Styles
from tunebench.reports.figures.dots import Axis, Dot, DotRow, dots_figure
from tunebench.reports.formatting.units import percent
from tunebench.reports.studies.skip2_lora.constants import AGAINST, CANDIDATE, METHODS, REFERENCE
from tunebench.reports.studies.skip2_lora.model import Difference, Method, Published, Reduction, Task

Tasks = Sequence[Task]
#: Percent saved; the axis is logarithmic in the time that remains, where intervals are even and 90 is not near 100.
_TICKS = (-700, -300, -100, -50, 0, 50, 75, 90, 95, 98, 99, 99.5)
_AIM = {"met": "v-same", "missed": "v-slower", "open": "v-unclear"}


def reduction_dots(ident: str, tasks: Tasks, published: Published, sets: Styles) -> Figure | None:
    """Draw the share of LoRA-All's time saved by each method, with the published band behind Skip2."""
    known = [
        (method, task.name, method.reduction) for task in tasks for method in task.methods if method.reduction
    ]
    if not known:
        return None
    titles = list(dict.fromkeys(method.title for method, _, _ in _ordered(known)))
    band = (100 * published.low, 100 * published.reduction_mean, 100 * published.high)
    rows = [
        DotRow(
            title,
            [_saved(name, saved) for method, name, saved in known if method.title == title],
            band if title == CANDIDATE else None,
        )
        for title in titles
    ]
    described = "; ".join(f"{method.title} on {name} {percent(saved.value)}" for method, name, saved in known)
    table = DataTable(
        caption=f"Time saved against {REFERENCE}, paired by block",
        columns=("method", "data set", "saved", "low", "high", "interval", "blocks"),
        rows=[_saved_row(method.title, name, saved) for method, name, saved in known],
    )
    return dots_figure(
        ident,
        f"Time saved against {REFERENCE}",
        f"Share of the fine-tuning time saved, by method and data set. {described}.",
        rows,
        styles=sets,
        axis=Axis(
            tick=lambda value: f"{value:g}%".replace("-", "−"),
            left="← takes longer",
            right="saves more →",
            place=lambda saved: -math.log1p(-saved / 100),
            round_values=_TICKS,
            band=f"published: {published.low:.0%} to {published.high:.0%}, mean dashed",
        ),
        table=table,
    )


_Saved = tuple[Method, str, Reduction]


def _ordered(known: Sequence[_Saved]) -> list[_Saved]:
    order = list(METHODS)
    return sorted(
        known, key=lambda item: order.index(item[0].method) if item[0].method in order else len(order)
    )


def _saved(name: str, saved: Reduction) -> Dot:
    value, low, high = (100 * share for share in (saved.value, saved.low, saved.high))
    text = f"{value:.1f}%  [{low:.1f}, {high:.1f}]" if saved.n > 1 else f"{value:.1f}%  one block"
    return Dot(name, value, low, high, saved.interval == "range", text.replace("-", "−"))


def _saved_row(title: str, name: str, saved: Reduction) -> list[str]:
    values = [percent(share, 2).replace("-", "−") for share in (saved.value, saved.low, saved.high)]
    return [title, name, *_span(values, saved.interval, saved.confidence, saved.n)]


def _span(values: Sequence[str], interval: str, confidence: float | None, n: int) -> list[str]:
    """Return value, ends, kind of the interval and number of blocks; one block has no ends."""
    if n == 1:
        return [values[0], "–", "–", "one block", "1"]
    return [*values, _kind(interval, confidence), str(n)]


def _kind(interval: str, confidence: float | None) -> str:
    is_range = interval == "range" or confidence is None
    return "range seen" if is_range else f"{percent(confidence or 0.0, 0)}, exact Wilcoxon"


def difference_dots(ident: str, tasks: Tasks, aim_points: float, sets: Styles) -> Figure | None:
    """Draw the accuracy of Skip2-LoRA less LoRA-All's and FT-All's, in points, with the aim as a band."""
    known = [
        (against, task.name, difference)
        for against in AGAINST
        for task in tasks
        for difference in task.differences
        if difference.against == against and isinstance(difference, Difference)
    ]
    if not known:
        return None
    rows = [
        DotRow(
            f"minus {against}",
            [_points(name, difference) for other, name, difference in known if other == against],
            (-aim_points, None, aim_points),
        )
        for against in dict.fromkeys(against for against, _, _ in known)
    ]
    described = "; ".join(
        f"minus {against} on {name}: {_signed(difference.points)}" for against, name, difference in known
    )
    table = DataTable(
        caption=f"Accuracy of {CANDIDATE} less that of others, points, paired by block",
        columns=(
            "against",
            "data set",
            "points",
            "low",
            "high",
            "interval",
            "blocks",
            f"within {aim_points:g} points",
        ),
        rows=[
            [
                against,
                name,
                *_span(
                    [_signed(points, 2) for points in (difference.points, difference.low, difference.high)],
                    difference.interval,
                    difference.confidence,
                    difference.n,
                ),
                difference.aim,
            ]
            for against, name, difference in known
        ],
    )
    return dots_figure(
        ident,
        f"Accuracy of {CANDIDATE} less that of {' and of '.join(AGAINST)}",
        f"Differences in points with their intervals. {described}.",
        rows,
        styles=sets,
        axis=Axis(
            tick=lambda value: _signed(value, None),
            left=f"← {CANDIDATE} less accurate",
            right="more accurate →",
            band=f"aim: within {aim_points:g} points",
        ),
        table=table,
    )


def _points(name: str, difference: Difference) -> Dot:
    text = f"{_signed(difference.points, 2)}  [{_signed(difference.low, 2)}, {_signed(difference.high, 2)}]"
    if difference.n == 1:
        text = f"{_signed(difference.points, 2)}  one block"
    return Dot(
        series=name,
        value=difference.points,
        low=difference.low,
        high=difference.high,
        is_range=difference.interval == "range",
        text=text,
        word=difference.aim,
        word_css=_AIM[difference.aim],
    )


def _signed(value: float, digits: int | None = 2) -> str:
    text = f"{value:+g}" if digits is None else f"{value:+.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")
