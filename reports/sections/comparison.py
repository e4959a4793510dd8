"""The section that compares: one row a method, one table for what may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import Accuracy, Median, MethodResult, SpeedUp
from tunebench.reports.formatting.markdown import escaped, lines, table
from tunebench.reports.formatting.table import grid, paragraph
from tunebench.reports.formatting.units import (
    clean,
    factor,
    joules,
    number,
    percent,
    seconds,
    significant,
    size,
)
from tunebench.reports.sections.base.groups import Group, against, conditions, engines, grouped
from tunebench.reports.sections.base.method_words import trained_by
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.sections.base.validity import in_short
from tunebench.reports.summary import Summary

#: Of the text table.
HEADINGS = (
    "method", "n", "median", "interval", "speed-up", "verdict", "peak mem", "energy", "accuracy", "trains",
    "update", "validity",
)  # fmt: skip
#: So few rows of one board are seen at a glance: nobody needs to filter them.
_FEW_ROWS = 12
#: Of the Markdown table.
_MARKDOWN_HEADINGS = (
    "method",
    "speed-up",
    "verdict",
    "time, median",
    "peak memory",
    "energy",
    "accuracy",
    "n",
    "validity",
)


@dataclass(frozen=True)
class _View:
    groups: Sequence[Group]
    filters: bool
    notes: Sequence[tuple[str, str]]


class ComparisonSection(Section):
    """The section that compares: one row a method, one table for what may be compared."""

    ident = "comparison"
    nav = "Comparison"
    text_place = 10

    def template(self) -> str:
        """Return the section's partial."""
        return partial("comparison")

    def view(self, page: Page) -> _View:
        """Return the groups of rows; each knows its columns and what is the same in all of its rows."""
        rows = sum(len(group.rows) for group in page.groups)
        notes = [group.notes for group in page.groups]
        # What every table would say stands once, below the last.
        shared = [note for note in notes[0] if all(note in own for own in notes)] if len(notes) > 1 else []
        several = len({group.board_id for group in page.groups}) > 1
        return _View(page.groups, rows > _FEW_ROWS or several, shared)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return a table for each board, task and set of conditions."""
        return [_text_group(key, rows) for key, rows in grouped(summary.rows).items()]

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return a table for each board, task and set of conditions, as many as fit into the limit."""
        tables: list[str] = []
        members = list(grouped(summary.rows).values())
        for done, rows in enumerate(members):
            part = _group(rows)
            if len(part) > limit:
                tables.append(
                    f"{len(members) - done} more tables are left out: a comment holds no more text."
                )
                break
            tables.append(part)
            limit -= len(part) + 2
        return "\n\n".join(tables)


def _text_group(key: tuple[str, str, str], rows: Sequence[MethodResult]) -> str:
    board, task, shared = (clean(part, 60) for part in key)
    names = [board, task, f"{engines(rows)} on {shared}", against(rows)]
    trained = trained_by(rows)
    head = paragraph("  ·  ".join(names), "  ") + (f"\n{paragraph(trained)}" if trained else "")
    return f"{head}\n{grid(HEADINGS, [_cells(row) for row in rows])}"


def _cells(row: MethodResult) -> list[str]:
    wall, speed, accuracy, energy = row.wall_s, row.speed_up, row.accuracy, row.energy
    mark = " (A/A)" if row.aa_control and "A/A" not in row.label else " (own)" if row.own else ""
    return [
        clean(row.label, 32) + mark,
        str(row.n),
        seconds(wall.median) if wall else "-",
        _interval(wall) if wall else "-",
        _factor(speed) if speed else "baseline" if row.is_baseline else "-",
        speed.verdict if speed else "",
        _memory(row.peak_rss_b, row.over_idle_b) if row.peak_rss_b else "-",
        f"{joules(energy.gross_j.median)} {energy.scope}" if energy else "-",
        _accuracy(accuracy) if accuracy else "-",
        number(row.params_trainable) if row.params_trainable is not None else "-",
        size(row.update_b) if row.update_b is not None else "-",
        in_short(row),
    ]


def _memory(peak: Median, over_idle: Median | None) -> str:
    """Return the peak, and in brackets what of it the fine-tuning adds to an idle interpreter."""
    return size(peak.median) + (f" (idle + {size(over_idle.median)})" if over_idle else "")


def _star(kind: str) -> str:
    return "*" if kind == "range" else ""


def _interval(wall: Median) -> str:
    if wall.n == 1:
        return "one value"
    return f"{seconds(wall.low)} – {seconds(wall.high)}{_star(wall.interval)}"


def _factor(speed: SpeedUp) -> str:
    if speed.n == 1:
        return f"{factor(speed.factor)} one block"
    interval = f"[{significant(speed.low)}, {significant(speed.high)}]{_star(speed.interval)}"
    return f"{factor(speed.factor)} {interval}"


def _accuracy(accuracy: Accuracy) -> str:
    before = percent(accuracy.before_mean) if accuracy.before_mean is not None else "?"
    spread = f" ±{100 * accuracy.after_sd:.1f}" if accuracy.after_sd is not None else ""
    return f"{before} -> {percent(accuracy.after_mean)}{spread}"


def _group(rows: Sequence[MethodResult]) -> str:
    first = rows[0]
    title = f"### {escaped(first.board_id, 40)} · {escaped(first.task, 40)}"
    under = lines(f"{engines(rows)} on {conditions(first)}, {against(rows)}")
    said = [lines(trained, 1000)] if (trained := trained_by(rows)) else []
    cells = [_row(row) for row in rows]
    # What is the same in every row is said once, above: a line of the table has little room.
    same = [
        i for i in range(1, len(_MARKDOWN_HEADINGS)) if len(rows) > 1 and len({row[i] for row in cells}) == 1
    ]
    every = ", ".join(f"{_MARKDOWN_HEADINGS[i]} {cells[0][i]}" for i in same if cells[0][i].strip("–"))
    left = [i for i in range(len(_MARKDOWN_HEADINGS)) if i not in same]
    shown = table([_MARKDOWN_HEADINGS[i] for i in left], [[row[i] for i in left] for row in cells])
    said += [lines(f"In every row: {every}")] if every else []
    return "\n\n".join([title, under, *said, shown])


def _row(row: MethodResult) -> list[str]:
    speed, wall, energy, accuracy = row.speed_up, row.wall_s, row.energy, row.accuracy
    compared = "baseline" if row.is_baseline else "–"
    if speed:
        star = "\u2217" if speed.interval == "range" else ""
        span = f"{significant(speed.low)}–{significant(speed.high)}" if speed.n > 1 else "one block"
        compared = f"{factor(speed.factor)} ({span}){star if speed.n > 1 else ''}"
    return [
        clean(row.label, 40),
        compared,
        speed.verdict.lower() if speed else "",
        seconds(wall.median) if wall else "–",
        (_memory(row.peak_rss_b, row.over_idle_b) if row.peak_rss_b else "–") + _judged(row, "memory"),
        (f"{joules(energy.gross_j.median)} {energy.scope}" if energy else "–") + _judged(row, "energy"),
        (percent(accuracy.after_mean) if accuracy else "–") + _judged(row, "accuracy"),
        str(row.n),
        in_short(row),
    ]


def _judged(row: MethodResult, quantity: str) -> str:
    """Return the verdict on a quantity other than time, if there is one."""
    judged = row.judged(quantity)
    return f", {judged.verdict.lower()}" if judged and judged.verdict != "NO VERDICT" else ""


SECTION = ComparisonSection()
