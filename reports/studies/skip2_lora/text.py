"""The study in the text table: the headline, its accuracy and what it depends on, in a few lines."""

from __future__ import annotations

from tunebench.reports.formatting.table import Grid, paragraph
from tunebench.reports.formatting.units import clean, percent
from tunebench.reports.studies.skip2_lora.constants import AGAINST, CANDIDATE, REFERENCE
from tunebench.reports.studies.skip2_lora.model import Difference, NoDifference, Study, Task, Unit
from tunebench.reports.studies.skip2_lora.sentences import name_of, reservation
from tunebench.reports.studies.tracks.words import track_lines


def study_lines(study: Study, grid: Grid) -> str:
    """Return plain text, a few lines for each board, engine and build; ``grid`` lays out headings and rows in columns."""
    aim = f"{study.aim_points:g}"
    headings = ("ours", "data set", "saved", "95% interval", *(f"minus {name}" for name in AGAINST))
    parts = [
        f"Skip2-LoRA study: time saved by {CANDIDATE} against {REFERENCE}, and its accuracy less "
        f"others' in points (aim: within {aim})",
        grid(headings, [row for unit in study.units for row in _rows(unit)], keys=2),
        *(f"{name_of(unit)}: {reason}" for unit in study.units if (reason := reservation(unit))),
        study.published.label,
        study.dependence,
    ]
    lines = [paragraph(parts[0]), parts[1], *map(paragraph, parts[2:])]
    return "\n".join([*lines, *track_lines(study.tracks, grid)])


def _rows(unit: Unit) -> list[list[str]]:
    mean, name = unit.headline.reduction_mean, name_of(unit)
    rows = [[name, *_task(task)] for task in unit.tasks]
    return [*rows, [name, "mean", percent(mean) if mean is not None else "-"]]


def _task(task: Task) -> list[str]:
    saved = task.reduction
    cells = [clean(task.name, 40)]
    if saved is None:
        cells += ["-", clean(str(task.reduction_missing), 60)]
    else:
        span = f"[{100 * saved.low:.1f}, {100 * saved.high:.1f}]"
        cells += [percent(saved.value), "one block" if saved.n == 1 else span + _star(saved.interval)]
    return [*cells, *(_difference(difference) for difference in task.differences)]


def _difference(difference: Difference | NoDifference) -> str:
    if isinstance(difference, NoDifference):
        return f"- ({clean(difference.missing, 60)})"
    span = f"[{difference.low:+.1f}, {difference.high:+.1f}]{_star(difference.interval)}"
    if difference.n == 1:
        span = "one block"
    return f"{difference.points:+.1f} {span} {difference.aim}"


def _star(kind: str) -> str:
    return "*" if kind == "range" else ""
