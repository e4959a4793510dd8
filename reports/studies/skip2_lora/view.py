"""The study as it stands on the page: words, tables and figures made from its block. No markup but SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import DataTable, Figure, Styles
from tunebench.reports.figures.base.svg import plain
from tunebench.reports.figures.curves import Line, curves_figure
from tunebench.reports.formatting.table import CellText
from tunebench.reports.formatting.units import clean, percent, significant
from tunebench.reports.studies.skip2_lora.constants import CANDIDATE, REFERENCE
from tunebench.reports.studies.skip2_lora.dots import difference_dots, reduction_dots
from tunebench.reports.studies.skip2_lora.model import NoDifference, Study, Task, Unit
from tunebench.reports.studies.skip2_lora.sentences import conditions, name_of, reservation
from tunebench.reports.studies.skip2_lora.tables import accuracy_table, madds_table, phases_table
from tunebench.reports.studies.tracks.words import TracksView, tracks_view


@dataclass(frozen=True)
class HeadlineRow:
    """One board, engine and build in the headline's table; the first cell is the mean over its data sets."""

    name: str
    where: str
    note: str
    cells: Sequence[CellText]


@dataclass(frozen=True)
class UnitView:
    """Everything about one board, engine and build."""

    ident: str
    name: str
    where: str
    note: str
    missing: Sequence[str]
    reduction: Figure | None
    accuracy: DataTable | None
    differences: Figure | None
    phases: DataTable | None
    curves: Sequence[tuple[str, Sequence[Figure]]]
    madds: DataTable | None
    bounds: str
    explanation: str | None


@dataclass(frozen=True)
class StudyView:
    """The section."""

    candidate: str
    reference: str
    published: str
    published_mean: str
    published_span: str
    dependence: str
    aim: str
    data_sets: Sequence[str]
    headline: Sequence[HeadlineRow]
    units: Sequence[UnitView]
    tracks: TracksView | None = None


def study_view(study: Study | None, styles: Styles) -> StudyView | None:
    """Return the section's content, or None for a run without this study.

    Args:
        study: the block of the summary.
        styles: the looks of the page's methods, by label.
    """
    if study is None:
        return None
    units = study.units
    names = list(dict.fromkeys(task.name for unit in units for task in unit.tasks))
    sets = Styles(names)
    published = study.published
    return StudyView(
        candidate=CANDIDATE,
        reference=REFERENCE,
        published=published.label,
        published_mean=percent(published.reduction_mean),
        published_span=f"{percent(published.low, 0)} to {percent(published.high, 0)}",
        dependence=study.dependence,
        aim=f"{study.aim_points:g}",
        data_sets=[clean(name, 40) for name in names],
        headline=[_headline(unit, names) for unit in units],
        units=[_unit(f"study-u{i}", unit, study, styles, sets) for i, unit in enumerate(units)],
        tracks=tracks_view(study.tracks),
    )


def _headline(unit: Unit, names: Sequence[str]) -> HeadlineRow:
    tasks = {task.name: task for task in unit.tasks}
    average, over = unit.headline.reduction_mean, len(unit.headline.datasets)
    if average is None:
        mean = CellText("–", "not known", missing=True)
    else:
        mean = CellText(percent(average), f"over {over} data set{'s' if over != 1 else ''}")
    cells = [mean, *(_saving(tasks.get(name)) for name in names)]
    return HeadlineRow(name_of(unit), conditions(unit), reservation(unit) or "", cells)


def _saving(task: Task | None) -> CellText:
    if task is None or task.reduction is None:
        return CellText("–", "not run" if task is None else "not known", missing=True)
    saved = task.reduction
    if saved.n == 1:
        return CellText(percent(saved.value), "one block")
    kind = "range seen" if saved.confidence is None else percent(saved.confidence, 0)
    span = f"{100 * saved.low:.1f} – {100 * saved.high:.1f}"
    return CellText(percent(saved.value), f"{kind} {span}", f"n = {saved.n}")


def _unit(ident: str, unit: Unit, study: Study, styles: Styles, sets: Styles) -> UnitView:
    tasks = unit.tasks
    return UnitView(
        ident=ident,
        name=name_of(unit),
        where=conditions(unit),
        note=reservation(unit) or "",
        missing=_missing(tasks),
        reduction=reduction_dots(f"{ident}-r", tasks, study.published, sets),
        accuracy=accuracy_table(tasks),
        differences=difference_dots(f"{ident}-d", tasks, study.aim_points, sets),
        phases=phases_table(tasks),
        curves=[
            (clean(task.name, 60), figures)
            for i, task in enumerate(tasks)
            if (figures := _curves(f"{ident}-c{i}", task, styles))
        ],
        madds=madds_table(tasks),
        bounds=", ".join(
            f"{percent(task.bound)} on {clean(task.name, 40)}" for task in tasks if task.bound is not None
        ),
        explanation=unit.explanation,
    )


def _missing(tasks: Sequence[Task]) -> list[str]:
    """Say which figures of the study this unit lacks; equal gaps are listed once."""
    gaps: dict[str, list[str]] = {}
    for task in tasks:
        measured = {method.method for method in task.methods}
        absent = list(task.missing_methods)
        absent += [method.title for method in task.methods if not method.n]
        if absent:
            gaps.setdefault(f"not measured: {', '.join(clean(name, 40) for name in absent)}", []).append(
                clean(task.name, 40)
            )
        for gap in task.differences:
            if isinstance(gap, NoDifference) and {CANDIDATE, gap.against} <= measured:
                sentence = f"no accuracy difference to {gap.against}: {clean(gap.missing, 200)}"
                gaps.setdefault(sentence, []).append(clean(task.name, 40))
        if task.reduction is None:
            gaps.setdefault(f"no reduction: {clean(str(task.reduction_missing), 200)}", []).append(
                clean(task.name, 40)
            )
        elif task.reduction.unequal_work:
            sentence = f"the reduction is not the method's alone, {', '.join(task.reduction.unequal_work)}"
            gaps.setdefault(clean(sentence, 200), []).append(clean(task.name, 40))
    return [f"{', '.join(names)}: {sentence}." for sentence, names in gaps.items()]


def _curves(ident: str, task: Task, styles: Styles) -> list[Figure]:
    methods = task.methods
    losses = [
        Line(method.label, [(i + 1.0, value) for i, value in enumerate(method.losses)], method.losses_n)
        for method in methods
        if method.losses
    ]
    accuracies = [
        Line(method.label, [(float(e), value) for e, value in method.accuracies], method.accuracies_n)
        for method in methods
        if method.accuracies
    ]
    figures = []
    if losses:
        figures.append(
            curves_figure(
                f"{ident}-l", "Training loss", losses, styles, say=significant, tick=plain, log=True
            )
        )
    if accuracies:
        title = "Held-out accuracy (instrumented)"
        figures.append(
            curves_figure(f"{ident}-a", title, accuracies, styles, say=percent, tick=_percent_tick)
        )
    return figures


def _percent_tick(value: float) -> str:
    return f"{100 * value:g}%"
