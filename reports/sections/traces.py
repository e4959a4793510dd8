"""Traces as they stand on the page: one repetition a cell, drawn, and as data that the browser can zoom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures import Figure
from tunebench.reports.figures.plot import plot_data
from tunebench.reports.figures.traces import not_drawn, trace_figure
from tunebench.reports.formatting.json_value import json_value
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean
from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.downloads import packed
from tunebench.reports.sections.base.groups import Group
from tunebench.reports.sections.base.section import Page, Section, partial

#: Traces on the page at most; those of all cells of a large lab would be too heavy to open.
MAX_TRACES = 48
#: Nor more than this of them; a full-length trace of six noisy channels is 30 kB.
MAX_PACKED_B = 400_000
#: Of these so many are drawn for readers without a script; the others show their numbers.
MAX_DRAWN, MAX_DRAWN_HEAVY = 12, 2


@dataclass(frozen=True)
class TraceView:
    """A trace that the reader can open on the page, or the reason why there is none.

    Attributes:
        ident: its place in the page's address.
        packed: the columns, decoded only when they are shown; None if there is nothing to draw.
        baseline: ident of the baseline's trace under the same conditions, to lay under this one.
    """

    ident: str
    board: str
    title: str
    figure: Figure | None
    problem: str | None
    packed: Markup | None = None
    baseline: str = ""


@dataclass(frozen=True)
class _View:
    traces: Sequence[TraceView]
    traces_left: int


class TracesSection(Section):
    """The section on telemetry: one repetition a cell."""

    ident = "traces"
    nav = "Traces"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("traces")

    def view(self, page: Page) -> _View:
        """Return the traces that the page carries, and how many more there are."""
        return _View(*trace_views(page.groups, page.reader, page.scrub, heavy=page.heavy))


def trace_views(
    groups: Sequence[Group], reader: RunReader, scrub: Scrub, *, heavy: bool = False
) -> tuple[list[TraceView], int]:
    """Return the views, and the number of further cells whose traces are only in the run's directory.

    Args:
        heavy: the page holds much else: fewer are drawn for readers without a script.
    """
    most_drawn = MAX_DRAWN_HEAVY if heavy else MAX_DRAWN
    packed_b = 0
    by_id = {rep.rep_id: rep for rep in reader.repetitions}
    views: list[TraceView] = []
    left = 0
    several = len({group.board_id for group in groups}) > 1
    for group in groups:
        base = next((i for i, row in enumerate(group.rows) if row.is_baseline), None)
        for place, row in enumerate(group.rows):
            for kind, rep in _chosen(row, by_id):
                if len(views) >= MAX_TRACES or packed_b > MAX_PACKED_B:
                    left += 1
                    continue
                ident, draw = f"{kind}-{group.ident}-{place}", len(views) < most_drawn
                view = _view(ident, group, row.label, rep, (reader, scrub), draw=draw, named=several)
                packed_b += len(view.packed or "")
                under = f"{kind}-{group.ident}-{base}" if base not in (None, place) else ""
                views.append(replace(view, baseline=under))
    known = {view.ident for view in views if view.packed}
    return [replace(view, baseline=view.baseline if view.baseline in known else "") for view in views], left


def _chosen(row: MethodResult, by_id: Mapping[str, Repetition]) -> list[tuple[str, Repetition]]:
    """Return the timed repetition whose time is nearest to the median of its cell, and the middle energy repetition."""
    chosen = []
    if row.n and row.wall_s:
        middle = row.wall_s.median
        reps = [by_id[name] for name in row.rep_ids]
        chosen.append(("trace", min(reps, key=lambda rep: abs((rep.wall_s or 0.0) - middle))))
    if row.joules:
        energy = row.joules[0]
        reps = [by_id[name] for name in energy.rep_ids if by_id[name].energy is not None]
        if reps:
            chosen.append(
                ("joules", min(reps, key=lambda rep: abs(_j_per_finetuning(rep) - energy.j.median)))
            )
    return chosen


def _j_per_finetuning(rep: Repetition) -> float:
    return rep.energy.gross_j / (rep.energy.repeats or 1) if rep.energy else 0.0


def _view(
    ident: str,
    group: Group,
    label: str,
    rep: Repetition,
    source: tuple[RunReader, Scrub],
    *,
    draw: bool,
    named: bool,
) -> TraceView:
    (reader, scrub), board = source, clean(group.board_id, 60)
    energy = ", energy repetition" if rep.role == "energy" else ""
    what = f"{clean(group.task, 40)}, block {rep.block + 1}{energy}"
    full_title = f"{clean(label, 40)} on {clean(group.board_id, 40)}, {what}"
    # On a page of one board its name would stand in every line.
    title = full_title if named else f"{clean(label, 40)}, {what}"
    try:
        trace = reader.trace(rep)
    except ResultsError as error:
        return TraceView(ident, board, title, None, scrub(str(error)))
    if trace is None:
        return TraceView(ident, board, title, None, "no trace was stored for this repetition")
    data = plot_data(trace)
    if data is None:
        constant = " ".join(not_drawn(trace)).rstrip(".")
        return TraceView(ident, board, title, None, constant or "no channel was sampled more than once")
    figure = trace_figure(ident, trace, title=full_title, heading="")
    if figure is not None and not draw:
        figure = replace(figure, drawings=[])
    return TraceView(ident, board, title, figure, None, packed(json_value(data)))


SECTION = TracesSection()
