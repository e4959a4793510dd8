"""The answers as the head of the page shows them: a sentence, its methods in a table, accuracy against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from tunebench.reports.analysis.answers import Answer
from tunebench.reports.analysis.answers.options import Option
from tunebench.reports.analysis.answers.words import option_phrase, points, times
from tunebench.reports.figures import Figure
from tunebench.reports.figures.factor_bar import factor_bars
from tunebench.reports.figures.pareto import pareto_figure
from tunebench.reports.figures.pareto import points as pareto_points
from tunebench.reports.formatting.units import clean, joules, percent, seconds, size
from tunebench.reports.sections.base.groups import Group
from tunebench.reports.sections.base.section import Page
from tunebench.reports.sections.base.symbols import Mark, mark_of

#: state -> the first words of its line in the list of answers; the last two have no method to name after them.
_DO = {
    "use": "Use",
    "use if": "If accuracy allows",
    "keep": "Stay with",
    "open": "No verdict yet",
    "too few": "No verdict yet",
    "withheld": "No answer: A/A control failed",
    "emulated": "No answer on time: emulated",
    "nothing": "No answer",
}


@dataclass(frozen=True)
class MethodLine:
    """One method in the table of an answer.

    Attributes:
        values: name of a quantity -> its number for the chooser, empty where it is not known.
        say: what is told of it if the chooser chooses it.
    """

    name: str
    badges: Sequence[str]
    time: str
    factor: str
    factor_mark: Mark | None
    bar: Markup | None
    accuracy: str
    points: str
    points_mark: Mark | None
    energy: str
    memory: str
    update: str
    values: Sequence[tuple[str, str]]
    say: str
    refused: str
    picked: bool


@dataclass(frozen=True)
class Card:
    """One answer: ``before``, ``name`` and ``after`` make its first sentence."""

    ident: str
    board: str
    where: str
    under: str
    state: str
    do: str
    do_name: str
    before: str
    name: str
    after: str
    others: Sequence[str]
    notes: Sequence[str]
    lead: MethodLine | None
    lines: Sequence[MethodLine]
    baseline: str
    energy_scope: str
    has_memory: bool
    figure: Figure | None


def cards(page: Page) -> list[Card]:
    """Return the answers of a page, in the order of its groups."""
    left = list(page.groups)
    made: list[Card] = []
    for answer in page.summary.answers:
        # Both stand in the order of the rows. Two may fall together once names are taken out of an engine's build.
        here = [group for group in left if (group.board_id, group.task) == (answer.board_id, answer.task)]
        alike = [g for g in page.groups if (g.board_id, g.task) == (answer.board_id, answer.task)]
        group = (here or alike)[0]
        if here:
            left.remove(group)
        made.append(_card(page, answer, group, group.ident if here else f"{group.ident}-{len(made)}"))
    return made


def _card(page: Page, answer: Answer, group: Group, ident: str) -> Card:
    # A page that holds much else has the numbers alone.
    bars = [None for _ in answer.options] if page.heavy else factor_bars(answer.options)
    base = clean(answer.baseline, 40) if answer.baseline else ""
    lines = [
        _line(option, bar, base, picked=option.label == answer.choice)
        for option, bar in zip(answer.options, bars, strict=True)
    ]
    lead = next(
        (
            line
            for option, line in zip(answer.options, lines, strict=True)
            if answer.leading is not None and option.label == answer.leading.label
        ),
        None,
    )
    named = answer.choice or answer.lead
    before, name, after = answer.claim.partition(clean(named, 40)) if named else (answer.claim, "", "")
    scopes = dict.fromkeys(option.energy_scope for option in answer.options if option.energy_scope)
    return Card(
        ident=ident,
        board=group.board,
        where=answer.where,
        under=group.conditions,
        state=answer.state.replace(" ", "-"),
        do=_DO[answer.state],
        do_name=clean(answer.choice, 40) if answer.choice else "",
        before=before,
        name=name,
        after=after,
        others=answer.others,
        notes=answer.notes,
        lead=lead,
        lines=lines,
        baseline=base,
        energy_scope=", ".join(scopes),
        has_memory=any(option.memory_b for option in answer.options),
        figure=_figure(page, group, ident),
    )


def _figure(page: Page, group: Group, ident: str) -> Figure | None:
    if len([point for point in pareto_points(group.rows, "time") if not point.control]) < 2:
        return None
    made = pareto_figure(f"front-time-{ident}", group.rows, "time", page.styles, heading="", half=True)
    if not page.heavy:
        return made
    # The drawing made for phones fits the column beside the answer, too.
    narrow = [("once", drawing) for kind, drawing in made.drawings if kind == "narrow"]
    return replace(made, drawings=narrow)


def _line(option: Option, bar: Markup | None, base: str, *, picked: bool) -> MethodLine:
    badges = ["baseline"] if option.is_baseline else []
    if option.n == 1 and not option.is_baseline:
        badges.append("n = 1")
    return MethodLine(
        name=option.name,
        badges=badges,
        time=seconds(option.time_s) if option.time_s is not None else "–",
        factor=times(option.factor) if option.factor is not None and not option.is_baseline else "",
        factor_mark=None if option.is_baseline else mark_of(option.verdict),
        bar=bar,
        accuracy=percent(option.accuracy) if option.accuracy is not None else "–",
        points=points(option.points) if option.points is not None and not option.is_baseline else "",
        points_mark=None if option.is_baseline else mark_of(option.points_verdict),
        energy=joules(option.energy_j) if option.energy_j is not None else "–",
        memory=size(option.memory_b) if option.memory_b is not None else "–",
        update=size(option.update_b) if option.update_b is not None else "–",
        values=[
            (name, "" if value is None else f"{value:.6g}")
            for name, value in (
                ("time", option.time_s),
                ("points", option.points),
                ("energy", option.energy_j),
                ("memory", option.memory_b),
                ("update", option.update_b),
            )
        ],
        say=_say(option, base),
        refused=clean(option.refused, 200) if option.refused else "",
        picked=picked,
    )


def _say(option: Option, base: str) -> str:
    if not option.is_baseline:
        return option_phrase(option, base)
    parts = ["the baseline", seconds(option.time_s) if option.time_s is not None else ""]
    if option.accuracy is not None:
        parts.append(f"{clean(option.metric, 30)} {percent(option.accuracy)}")
    return ", ".join(part for part in parts if part)
