"""The figures of a report, by section; where a section holds several, the page shows one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.measured import BoardProbe, RepetitionFacts
from tunebench.reports.figures import Figure, Styles
from tunebench.reports.figures.accuracy import accuracy_figure
from tunebench.reports.figures.boards import boards_figure
from tunebench.reports.figures.effects import effects_figure, known
from tunebench.reports.figures.pareto import pareto_figure, points
from tunebench.reports.figures.phases import phases_figure
from tunebench.reports.figures.repetitions import strip_figure
from tunebench.reports.figures.sizes import memory_figure, update_figure
from tunebench.reports.figures.speedup import speedup_domain, speedup_figure
from tunebench.reports.figures.spread import lines, spread_figure
from tunebench.reports.formatting.units import clean
from tunebench.reports.sections.base.groups import Group

#: With more groups or rows than these a page would be too heavy if every figure were drawn for phones too.
_MANY, _MANY_ROWS = 8, 40
#: (name in the page's address, words, figures)
Panel = tuple[str, str, list[Figure]]


def effect_panels(groups: Sequence[Group]) -> list[Panel]:
    """Draw each method against its baseline: in time as a speed-up, and in energy, memory and accuracy."""
    domain = speedup_domain([row for group in groups for row in group.rows])
    half = len(groups) > 1
    panels: list[Panel] = [
        (
            "time",
            "Time",
            [
                _of(
                    g,
                    speedup_figure(
                        f"speed-{g.ident}",
                        g.rows,
                        domain,
                        baseline=_reference(g),
                        heading=g.heading,
                        half=half,
                    ),
                )
                for g in groups
                if any(row.speed_up for row in g.rows)
            ],
        )
    ]
    for name in ("energy", "memory", "accuracy"):
        figures = [
            _of(
                g,
                effects_figure(
                    f"{name}-{g.ident}",
                    g.rows,
                    name,
                    baseline=_reference(g),
                    heading=g.heading,
                    half=half,
                ),
            )
            for g in groups
            if known(g.rows, name)
        ]
        panels.append((name, name.capitalize(), figures))
    return _lighter(panels, groups)


def _reference(group: Group) -> str:
    """Name what a group's rows are held against: without a baseline only an A/A control is, against its twin."""
    return group.baseline if group.baseline is not None else "the A/A control's twin"


def phase_panels(groups: Sequence[Group]) -> list[Panel]:
    """Draw the time of a step by phase: in seconds, and as shares of the method's own step."""
    able = [g for g in groups if any(row.phases for row in g.rows)]
    panels: list[Panel] = [
        (
            name,
            words,
            [
                _of(
                    g,
                    phases_figure(
                        f"{name}-{g.ident}", g.rows, heading=g.heading, share=share, half=len(able) > 1
                    ),
                )
                for g in able
            ],
        )
        for name, words, share in (("phases", "Seconds", False), ("shares", "Shares", True))
    ]
    return _lighter(panels, groups)


def cost_panels(groups: Sequence[Group], styles: Styles) -> list[Panel]:
    """Draw accuracy against energy, and accuracy during training; against time it stands in the page's head."""
    able = [g for g in groups if len(points(g.rows, "energy")) > 1 and _scope(g)]
    half = len(able) > 1
    fronts = [
        _of(
            g,
            pareto_figure(
                f"front-energy-{g.ident}",
                g.rows,
                "energy",
                styles,
                heading=g.heading,
                half=half,
                scope=_scope(g),
            ),
        )
        for g in able
    ]
    able = [g for g in groups if any(row.accuracy and row.wall_s for row in g.rows)]
    half = len(able) > 1
    curves = [
        _of(g, accuracy_figure(f"acc-{g.ident}", g.rows, styles, heading=g.heading, half=half)) for g in able
    ]
    panels: list[Panel] = [("front-energy", "Against energy", fronts), ("curve", "While training", curves)]
    return _lighter(panels, groups)


def _scope(group: Group) -> str:
    """Return the name of the scope of a group's joules; empty if the rows differ in scope."""
    scopes = {row.energy.scope for row in group.rows if row.energy}
    return SCOPE_NAMES[next(iter(scopes))] if len(scopes) == 1 else ""


def size_figures(
    groups: Sequence[Group], environment: Sequence[BoardProbe]
) -> list[tuple[str, str, list[Figure]]]:
    """Return (heading, board, figures): memory with the board's own, and bytes of the update."""
    ram_b = {probe.board_id: probe.fingerprint.get("hardware", {}).get("ram_b") for probe in environment}
    sizes = []
    for g in groups:
        figures = []
        if any(row.peak_rss_b for row in g.rows):
            capacity_b = ram_b.get(g.board_id)
            capacity_b = capacity_b if isinstance(capacity_b, int) and capacity_b > 0 else None
            figures.append(memory_figure(f"mem-{g.ident}", g.rows, heading="", capacity_b=capacity_b))
        if any(row.update_b for row in g.rows):
            figures.append(update_figure(f"upd-{g.ident}", g.rows, heading=""))
        if figures:
            sizes.append((g.heading, g.board, once(figures) if is_heavy(groups) else figures))
    return sizes


def repetition_figures(repetitions: Sequence[RepetitionFacts], styles: Styles) -> list[Figure]:
    """Draw a board's timed repetitions in run order, and how far they lie apart."""
    timed = [rep for rep in repetitions if rep.role == "timed"]
    figures = []
    for index, board_id in enumerate(dict.fromkeys(rep.board_id for rep in timed)):
        own, name = [rep for rep in timed if rep.board_id == board_id], clean(board_id, 60)
        figures.append(replace(strip_figure(f"strip-{index}", own, styles, heading=name), board=name))
        if lines(own):
            figures.append(
                replace(spread_figure(f"spread-{index}", own, styles, heading=f"{name}: spread"), board=name)
            )
    return figures


def board_multiples(groups: Sequence[Group], styles: Styles) -> list[Figure]:
    """Draw one figure for each task that was timed on several boards."""
    tasks: dict[str, list[Group]] = {}
    for group in groups:
        tasks.setdefault(group.task, []).append(group)
    return [
        boards_figure(
            f"boards-{index}",
            [(_panel_name(g, members), g.rows) for g in members],
            styles,
            heading=clean(task, 60),
        )
        for index, (task, members) in enumerate(tasks.items())
        if len({g.board_id for g in members if any(row.wall_s for row in g.rows)}) > 1
    ]


def _panel_name(group: Group, members: Sequence[Group]) -> str:
    alone = sum(member.board_id == group.board_id for member in members) == 1
    return group.board_id if alone else f"{group.board_id}, {group.conditions}"


def _of(group: Group, figure: Figure) -> Figure:
    return replace(figure, board=group.board)


def is_heavy(groups: Sequence[Group]) -> bool:
    """Return whether the page has so much to show that most figures get a single drawing, which scrolls on a phone."""
    return len(groups) > _MANY or sum(len(group.rows) for group in groups) > _MANY_ROWS


def once(figures: Sequence[Figure]) -> list[Figure]:
    """Return the figures with their wide drawing only."""
    return [
        replace(figure, drawings=[("once", drawing) for kind, drawing in figure.drawings if kind == "wide"])
        for figure in figures
    ]


def _lighter(panels: list[Panel], groups: Sequence[Group]) -> list[Panel]:
    if not is_heavy(groups):
        return panels
    return [(name, words, once(figures)) for name, words, figures in panels]
