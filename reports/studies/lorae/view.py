"""The LoRAE study as it stands on the page: words, tables and figures made from its block. No markup but SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.reports.figures import DataTable, Figure, Styles
from tunebench.reports.figures.dots import Axis, Dot, DotRow, dots_figure
from tunebench.reports.formatting.units import clean
from tunebench.reports.studies.lorae import sentences
from tunebench.reports.studies.lorae.tables import cost_table, headline, quality_table

Unit = Mapping[str, Any]
_CSS = {"SAME": "v-same", "HIGHER": "v-faster", "LOWER": "v-slower"}


@dataclass(frozen=True)
class UnitView:
    """One task on one board."""

    ident: str
    name: str
    where: str
    notes: Sequence[str]
    differences: Figure | None
    quality: DataTable
    cost: DataTable


@dataclass(frozen=True)
class LoraeView:
    """The section."""

    headline: DataTable
    rule: str
    seeds: str
    counted: str
    units: Sequence[UnitView]


def lorae_view(study: Mapping[str, Any] | None) -> LoraeView | None:
    """The section's content, or None for a run that is no such study."""
    if study is None:
        return None
    return LoraeView(
        headline=headline(study),
        rule=sentences.RULE,
        seeds=sentences.SEEDS,
        counted=sentences.COUNTED,
        units=[_unit(f"lorae-u{i}", unit) for i, unit in enumerate(study["units"])],
    )


def _unit(ident: str, unit: Unit) -> UnitView:
    return UnitView(
        ident=ident,
        name=sentences.task_name(unit),
        where=sentences.place(unit),
        notes=sentences.notes(unit),
        differences=differences(f"{ident}-d", unit),
        quality=quality_table(unit),
        cost=cost_table(unit),
    )


def differences(ident: str, unit: Unit) -> Figure | None:
    """A row a method and rank: its main metric less the baseline's, in points, with the band that does not matter."""
    judged = unit["chosen"]["label"] if unit["chosen"] else None
    found = [
        (one, told)
        for one in unit["methods"]
        for told in one["differences"][:1]
        if not told["missing"] and told["metric"] == unit["metric"]
    ]
    if not found:
        return None
    metric = clean(unit["metric"], 20)
    base = clean(unit["baseline"], 40)
    delta = found[0][1]["delta"]
    rows = [
        DotRow(clean(one["label"], 40), [_dot(metric, told, one["label"] == judged)], (-delta, None, delta))
        for one, told in found
    ]
    spoken = "; ".join(f"{clean(one['label'], 40)} {sentences.points(told)}" for one, told in found)
    return dots_figure(
        ident,
        f"{metric} less that of {base}, points",
        f"Differences in points with their intervals, paired by block. {spoken}.",
        rows,
        styles=Styles([metric]),
        axis=Axis(
            tick=lambda value: f"{value:+g}".replace("-", "−") if value else "0",
            left=f"← less than {base}",
            right="more →",
            band=f"within {delta:g} point{'s' if delta != 1 else ''}",
        ),
        table=DataTable(
            f"{metric} less that of {base}, points, paired by block",
            ("method", "points, interval", "blocks", "verdict"),
            [
                [
                    clean(one["label"], 40),
                    sentences.points(told),
                    str(told["n"]),
                    _word(told, one["label"] == judged),
                ]
                for one, told in found
            ],
        ),
    )


def _word(told: Mapping[str, Any], alone: bool) -> str:
    return sentences.verdict(told, alone=alone)


def _dot(series: str, told: Mapping[str, Any], alone: bool) -> Dot:
    word = _word(told, alone)
    return Dot(
        series=series,
        value=told["value"],
        low=told["low"],
        high=told["high"],
        is_range=told["interval"] == "range",
        # The interval is drawn and stands in the tables: beside a long word there is no room for it.
        told=sentences.signed(told["value"]),
        word=word,
        word_css=_CSS.get(word, "v-unclear"),
    )
