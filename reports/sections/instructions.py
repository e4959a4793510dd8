"""The section on instructions: what the CPU counted of a fine-tuning, and how far it lies apart, beside the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tunebench.reports.analysis.row import Instructions, MethodResult, Spread
from tunebench.reports.figures import DataTable, Figure
from tunebench.reports.figures.two_spreads import TwoSpreads, two_spreads_figure
from tunebench.reports.formatting.table import bullets, grid, paragraph
from tunebench.reports.formatting.units import clean, percent, significant
from tunebench.reports.sections.base.groups import Group
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Instructions of one fine-tuning in user space, medians over the repetitions that stand in the times. "
    "Spread is the interquartile range over the median. IPC is instructions a cycle; misses are of the cache "
    "(usually the last level) in 1000 instructions."
)
HEADINGS = (
    "board", "task", "method", "n", "instructions", "a step", "their spread", "spread of time", "IPC",
    "misses",
)  # fmt: skip
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
#: From here on counts are called scaled.
_WHOLE = 0.999


@dataclass(frozen=True)
class _View:
    table: DataTable
    figures: Sequence[Figure]
    notes: Sequence[str]


class InstructionsSection(Section):
    """The section on instructions; left out where nothing was counted: the environment says why."""

    ident = "instructions"
    nav = "Instructions"
    text_place = 45

    def template(self) -> str:
        """Return the section's partial."""
        return partial("instructions")

    def view(self, page: Page) -> _View | None:
        """Return a row a method that was counted, and for each group how far counts and times lie apart."""
        rows = page.summary.rows
        cells = _cells(rows)
        if not cells:
            return None
        figures = [drawn for group in page.groups if (drawn := _figure(group)) is not None]
        return _View(DataTable(CAPTION, HEADINGS, cells), page.lighter(figures), _notes(rows))

    def text(self, summary: Summary) -> Sequence[str]:
        """Return a row a method that was counted."""
        cells = _cells(summary.rows)
        if not cells:
            return []
        blocks = [paragraph(CAPTION), grid(HEADINGS, cells, keys=3)]
        notes = _notes(summary.rows)
        return ["\n".join([*blocks, bullets(notes)] if notes else blocks)]


def _cells(rows: Sequence[MethodResult]) -> list[list[str]]:
    return [_row(row, row.pmu) for row in rows if row.pmu is not None]


def _row(row: MethodResult, pmu: Instructions) -> list[str]:
    count, misses = pmu.instructions, pmu.cache_misses
    rate = 1000 * misses.median / count.median if count and misses else None
    return [
        clean(row.board_id, 40),
        clean(row.task, 40),
        clean(row.label, 32),
        str(pmu.n),
        _count(count) + ("*" if pmu.running < _WHOLE else ""),
        _count(pmu.per_step),
        _apart(count),
        _apart(row.wall_s),
        f"{pmu.ipc.median:.2f}" if pmu.ipc else "-",
        significant(rate) if rate is not None else "-",
    ]


def _count(count: Spread | None) -> str:
    """Return a median count with its unit.

    >>> _count(None)
    '-'
    """
    if count is None:
        return "-"
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if count.median >= scale), (1.0, ""))
    return f"{significant(count.median / scale, 4)} {unit}".rstrip()


def relative(spread: Spread | None) -> float | None:
    """Return the interquartile range over the median; None with fewer than two values."""
    return spread.iqr / spread.median if spread is not None and spread.n > 1 and spread.median > 0 else None


def _apart(spread: Spread | None) -> str:
    share = relative(spread)
    return "-" if share is None else percent(share, 2)


def _figure(group: Group) -> Figure | None:
    """Draw both spreads of each method of a group; None where fewer than two repetitions were counted."""
    lines = []
    for row in group.rows:
        counts = relative(row.pmu.instructions) if row.pmu else None
        times = relative(row.wall_s)
        if counts is not None and times is not None:
            lines.append(TwoSpreads(row.label, times, counts))
    if not lines:
        return None
    drawn = two_spreads_figure(f"instructions-{group.ident}", lines, heading=group.heading)
    return replace(drawn, board=group.board)


def _notes(rows: Sequence[MethodResult]) -> list[str]:
    """Say what the counts do not hold, and why some are missing; each sentence once."""
    notes = []
    least = min((row.pmu.running for row in rows if row.pmu), default=1.0)
    if least < _WHOLE:
        notes.append(
            f"* Counters took turns with others at the CPU and ran for {percent(least)} of the time or more: scaled to"
            " all of it."
        )
    if any(row.pmu and row.device != "cpu" for row in rows):
        notes.append("Of methods that train on a GPU these are the CPU's instructions only.")
    if any(row.pmu and row.threads > 1 for row in rows):
        notes.append("Threads that wait for each other by turning round count while they wait.")
    missing: dict[str, list[str]] = {}
    for row in rows:
        if row.pmu is None and row.pmu_missing and row.wall_s is not None:
            missing.setdefault(clean(row.pmu_missing, 300).rstrip("."), []).append(clean(row.label, 32))
    notes += [
        f"Not counted: {reason} ({', '.join(dict.fromkeys(names))})." for reason, names in missing.items()
    ]
    return notes


SECTION = InstructionsSection()
