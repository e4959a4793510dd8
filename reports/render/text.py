"""The comparison as a plain text table for terminals and logs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tunebench.reports.analysis.measured import Control
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.table import bullets, paragraph, terminal_width, text_width, within_width
from tunebench.reports.formatting.units import clean, factor, significant
from tunebench.reports.sections.base.control_words import control_words
from tunebench.reports.sections.base.groups import counted
from tunebench.reports.sections.base.validity import use_of
from tunebench.reports.sections.registry import in_text_order, sections
from tunebench.reports.summary import Summary


def table(summary: Summary, width: int | None = None) -> str:
    """Return the report as plain text: answers, banner, sections, quantities not measured, and cautions.

    Plain text: no colour; control characters of foreign text are made visible.

    Args:
        summary: of the run.
        width: characters a line at most; default: the terminal's (``COLUMNS``), or 80, never more than 150.
    """
    with text_width(width or terminal_width()):
        return within_width(_table(summary))


def _table(summary: Summary) -> str:
    parts = []
    if summary.answers:
        parts.append("What to use\n" + bullets([answer.line for answer in summary.answers]))
    parts.append(_banner(summary))
    for section in in_text_order(sections()):
        parts += section.text(summary)
    if any(
        interval is not None and interval.interval == "range" and interval.n > 1
        for row in summary.rows
        for interval in (row.wall_s, row.speed_up, *(energy.j for energy in row.joules))
    ):
        parts.append("* range seen: too few values for a 95% interval")
    notes = _notes(summary.rows)
    if notes:
        parts.append("Not measured\n" + bullets(notes))
    if summary.cautions:
        parts.append(
            "What you may not conclude\n" + bullets([caution.message for caution in summary.cautions])
        )
    return "\n\n".join(parts) + "\n"


def _banner(summary: Summary) -> str:
    run, counts = summary.run, summary.counts
    state = "complete" if run.complete else "NOT COMPLETE"
    lines = [
        paragraph(f"{clean(run.run_id, 80)}  ·  {clean(run.suite, 60)}  ·  {state}", "  "),
        f"{counts.recorded} repetitions: {counted(counts.by_class)}",
    ]
    if counts.by_class["degraded"]:
        lines[-1] += f"\ndegraded: {use_of('degraded', reasons=False)} (the reason stands with each)"
    for control in summary.aa:
        where = f"{clean(control.board_id, 60)}, {clean(control.task, 60)}"
        lines.append(paragraph(f"A/A control on {where}: {_aa(control)}", "  "))
    return "\n".join(lines)


def _aa(control: Control) -> str:
    times = control.speed_up
    if times is None:
        return f"{control.result} ({control.missing})"
    star = "*" if times.interval == "range" else ""
    interval = f"[{significant(times.low)}, {significant(times.high)}]{star}" if times.n > 1 else "one block"
    sentence = f"{control.result}, {factor(times.factor)} {interval}, n = {times.n}"
    return sentence + control_words(control.quantities)


def _notes(rows: Sequence[MethodResult]) -> list[str]:
    """Return each reason for a missing value once, with the labels that it applies to."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for what, missing in _MISSING:
            reason = missing(row)
            if reason and (row.n or what == "time"):
                reasons.setdefault(f"{what}: {clean(reason, 300)}", []).append(row.label)
    return [f"{reason} ({_label_list(labels)})" for reason, labels in reasons.items()]


#: (what, why a row does not have it)
_MISSING: tuple[tuple[str, Callable[[MethodResult], str | None]], ...] = (
    ("time", lambda row: row.wall_missing),
    ("energy", lambda row: row.energy_missing),
    ("peak memory", lambda row: row.peak_rss_missing),
    ("accuracy", lambda row: row.accuracy_missing),
)


def _label_list(labels: Sequence[str]) -> str:
    names = [clean(label, 32) for label in dict.fromkeys(labels)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
