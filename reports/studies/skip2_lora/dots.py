"""The study's two figures of dots: time saved by each method, and differences of accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable, Figure, Styles
from tunebench.reports.figures.dots import Axis, Dot, DotRow, dots_figure
from tunebench.reports.formatting.units import percent
from tunebench.reports.studies.skip2_lora.constants import AGAINST, CANDIDATE, REFERENCE, TITLES

Tasks = Sequence[Mapping[str, Any]]
#: Percent saved; the axis is logarithmic in the time that remains, where intervals are even and 90 is not near 100.
_TICKS = (-700, -300, -100, -50, 0, 50, 75, 90, 95, 98, 99, 99.5)
_AIM = {"met": "v-same", "missed": "v-slower", "open": "v-unclear"}


def reduction_dots(ident: str, tasks: Tasks, published: Mapping[str, Any], sets: Styles) -> Figure | None:
    """Share of LoRA-All's time saved by each method on each data set; the published band stands behind Skip2."""
    found = [
        (one, task["name"], one["reduction"]) for task in tasks for one in task["methods"] if one["reduction"]
    ]
    if not found:
        return None
    titles = list(dict.fromkeys(one["title"] for one, _, _ in _ordered(found)))
    band = (100 * published["low"], 100 * published["reduction_mean"], 100 * published["high"])
    rows = [
        DotRow(
            title,
            [_saved(name, saved) for one, name, saved in found if one["title"] == title],
            band if title == TITLES[CANDIDATE] else None,
        )
        for title in titles
    ]
    told = "; ".join(f"{one['title']} on {name} {percent(saved['value'])}" for one, name, saved in found)
    table = DataTable(
        caption=f"Time saved against {TITLES[REFERENCE]}, paired by block",
        columns=("method", "data set", "saved", "low", "high", "interval", "blocks"),
        rows=[_saved_row(one["title"], name, saved) for one, name, saved in found],
    )
    return dots_figure(
        ident,
        f"Time saved against {TITLES[REFERENCE]}",
        f"Share of the fine-tuning time saved, by method and data set. {told}.",
        rows,
        styles=sets,
        axis=Axis(
            tick=lambda value: f"{value:g}%".replace("-", "−"),
            left="← takes longer",
            right="saves more →",
            place=lambda saved: -math.log1p(-saved / 100),
            round_values=_TICKS,
            band=f"published: {published['low']:.0%} to {published['high']:.0%}, mean dashed",
        ),
        table=table,
    )


def _ordered(found: Sequence[tuple[Mapping[str, Any], str, Any]]) -> list[tuple[Mapping[str, Any], str, Any]]:
    order = list(TITLES)
    return sorted(
        found, key=lambda item: order.index(item[0]["method"]) if item[0]["method"] in order else len(order)
    )


def _saved(name: str, saved: Mapping[str, Any]) -> Dot:
    value, low, high = (100 * saved[key] for key in ("value", "low", "high"))
    told = f"{value:.1f}%  [{low:.1f}, {high:.1f}]" if saved["n"] > 1 else f"{value:.1f}%  one block"
    return Dot(name, value, low, high, saved["interval"] == "range", told.replace("-", "−"))


def _saved_row(title: str, name: str, saved: Mapping[str, Any]) -> list[str]:
    values = [percent(saved[key], 2).replace("-", "−") for key in ("value", "low", "high")]
    return [title, name, *values, _kind(saved), str(saved["n"])]


def _kind(found: Mapping[str, Any]) -> str:
    return (
        "range seen" if found["interval"] == "range" else f"{percent(found['confidence'], 0)}, exact Wilcoxon"
    )


def difference_dots(ident: str, tasks: Tasks, aim_points: float, sets: Styles) -> Figure | None:
    """Accuracy of Skip2-LoRA less LoRA-All's and FT-All's, in points, with the aim as a band."""
    found = [
        (one["against"], task["name"], one)
        for against in AGAINST
        for task in tasks
        for one in task["differences"]
        if one["against"] == against and one["missing"] is None
    ]
    if not found:
        return None
    rows = [
        DotRow(
            f"minus {TITLES[against]}",
            [_points(name, one) for other, name, one in found if other == against],
            (-aim_points, None, aim_points),
        )
        for against in dict.fromkeys(against for against, _, _ in found)
    ]
    told = "; ".join(f"minus {TITLES[a]} on {name}: {_signed(one['points'])}" for a, name, one in found)
    table = DataTable(
        caption=f"Accuracy of {TITLES[CANDIDATE]} less that of others, points, paired by block",
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
                TITLES[against],
                name,
                *(_signed(one[key], 2) for key in ("points", "low", "high")),
                _kind(one),
                str(one["n"]),
                one["aim"],
            ]
            for against, name, one in found
        ],
    )
    return dots_figure(
        ident,
        f"Accuracy of {TITLES[CANDIDATE]} less that of {' and of '.join(TITLES[name] for name in AGAINST)}",
        f"Differences in points with their intervals. {told}.",
        rows,
        styles=sets,
        axis=Axis(
            tick=lambda value: _signed(value, None),
            left=f"← {TITLES[CANDIDATE]} less accurate",
            right="more accurate →",
            band=f"aim: within {aim_points:g} points",
        ),
        table=table,
    )


def _points(name: str, one: Mapping[str, Any]) -> Dot:
    told = f"{_signed(one['points'], 2)}  [{_signed(one['low'], 2)}, {_signed(one['high'], 2)}]"
    if one["n"] == 1:
        told = f"{_signed(one['points'], 2)}  one block"
    return Dot(
        series=name,
        value=one["points"],
        low=one["low"],
        high=one["high"],
        is_range=one["interval"] == "range",
        told=told,
        word=one["aim"],
        word_css=_AIM[one["aim"]],
    )


def _signed(value: float, digits: int | None = 2) -> str:
    text = f"{value:+g}" if digits is None else f"{value:+.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")
