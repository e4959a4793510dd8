"""The LoRAE study as it stands on the page: words, tables and figures made from its block. No markup but SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import DataTable, Figure, Styles
from tunebench.reports.figures.dots import Axis, Dot, DotRow, dots_figure
from tunebench.reports.formatting.units import clean
from tunebench.reports.studies.lorae import sentences
from tunebench.reports.studies.lorae.model import Difference, LoraeStudy, Unit
from tunebench.reports.studies.lorae.tables import cost_table, headline, quality_table
from tunebench.reports.studies.tracks.words import TracksView, tracks_view

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
    tracks: TracksView | None = None


def lorae_view(study: LoraeStudy | None) -> LoraeView | None:
    """Return the section's content, or None for a run without this study."""
    if study is None:
        return None
    return LoraeView(
        headline=headline(study),
        rule=sentences.RULE,
        seeds=sentences.seeds(study.units),
        counted=sentences.COUNTED,
        units=[_unit(f"lorae-u{i}", unit) for i, unit in enumerate(study.units)],
        tracks=tracks_view(study.tracks),
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
    """Draw a row for each method and rank: its main metric less the baseline's, in points; the band is the tolerance."""
    judged = unit.chosen.label if unit.chosen else None
    known = [
        (clean(method.label, 40), difference, method.label == judged)
        for method in unit.methods
        for difference in method.differences[:1]
        if isinstance(difference, Difference) and difference.metric == unit.metric
    ]
    if not known:
        return None
    metric = clean(str(unit.metric), 20)
    base = clean(str(unit.baseline), 40)
    delta = known[0][1].delta
    rows = [
        DotRow(label, [_dot(metric, difference, alone)], (-delta, None, delta))
        for label, difference, alone in known
    ]
    spoken = "; ".join(f"{label} {sentences.points(difference)}" for label, difference, _ in known)
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
                [label, sentences.points(difference), str(difference.n), _word(difference, alone)]
                for label, difference, alone in known
            ],
        ),
    )


def _word(difference: Difference, alone: bool) -> str:
    return sentences.verdict(difference, alone=alone)


def _dot(series: str, difference: Difference, alone: bool) -> Dot:
    word = _word(difference, alone)
    return Dot(
        series=series,
        value=difference.value,
        low=difference.low,
        high=difference.high,
        is_range=difference.interval == "range",
        # The interval is drawn and stands in the tables: beside a long word there is no room for it.
        text=sentences.signed(difference.value),
        word=word,
        word_css=_CSS.get(word, "v-unclear"),
    )
