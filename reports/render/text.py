"""The comparison as a plain text table for terminals and logs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from tunebench.reports.analysis.measured import Control
from tunebench.reports.analysis.row import Accuracy, Median, MethodResult, SpeedUp
from tunebench.reports.formatting.table import grid
from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, significant, size
from tunebench.reports.sections.energy import joules_lines
from tunebench.reports.sections.energy import notes as joules_notes
from tunebench.reports.sections.groups import counted, engines, grouped
from tunebench.reports.sections.overall import overall_lines
from tunebench.reports.sections.sustained import lasting_lines
from tunebench.reports.sections.verdicts import control_words, reasons, verdict_lines
from tunebench.reports.studies.lorae.text import lorae_lines
from tunebench.reports.studies.skip2_lora.text import study_lines
from tunebench.reports.summary import Summary

_WIDTH = 110

HEADINGS = (
    "method", "n", "median", "interval", "speed-up", "verdict", "peak mem", "energy", "accuracy", "trains",
    "update", "validity",
)  # fmt: skip


def table(summary: Summary) -> str:
    """Banner, one table a board, task and set of conditions, and what may not be concluded.

    Plain text: no colour; control characters of foreign text are made visible.
    """
    parts = [_banner(summary)]
    for key, rows in grouped(summary.rows).items():
        board, task, shared = (clean(part, 60) for part in key)
        names = [
            board,
            task,
            f"{engines(rows)} on {shared}",
            f"baseline {clean(str(rows[0].baseline), 40)}",
        ]
        parts.append("  ·  ".join(names) + "\n" + grid(HEADINGS, [_cells(row) for row in rows]))
    judged = verdict_lines(summary.rows, grid)
    if judged is not None:
        parts.append(judged)
        why = [f"{which}: {sentence}" for which, sentence in reasons(summary.rows)]
        if why:
            parts.append("Why verdicts are open\n" + _bullets(why))
    parts += overall_lines(summary, grid)
    spent = joules_lines(summary.rows, grid)
    if spent is not None:
        parts.append(spent + "\n" + _bullets(joules_notes(summary.rows)))
    warm = lasting_lines(summary.rows, grid)
    if warm is not None:
        parts.append(warm)
    if summary.study is not None:
        parts.append(study_lines(summary.study, _padded))
    if summary.lorae is not None:
        parts.append(lorae_lines(summary.lorae, _padded))
    if any(
        interval is not None and interval.interval == "range" and interval.n > 1
        for row in summary.rows
        for interval in (row.wall_s, row.speed_up, *(energy.j for energy in row.joules))
    ):
        parts.append("* range seen: too few values for a 95% interval")
    notes = _notes(summary.rows)
    if notes:
        parts.append("Not measured\n" + _bullets(notes))
    if summary.cautions:
        parts.append(
            "What you may not conclude\n" + _bullets([caution.message for caution in summary.cautions])
        )
    return "\n\n".join(parts) + "\n"


def _banner(summary: Summary) -> str:
    run, counts = summary.run, summary.counts
    state = "complete" if run.complete else "NOT COMPLETE"
    lines = [
        f"{clean(run.run_id, 80)}  ·  {clean(run.suite, 60)}  ·  {state}",
        f"{counts.recorded} repetitions: {counted(counts.by_class)}",
    ]
    for control in summary.aa:
        where = f"{clean(control.board_id, 60)}, {clean(control.task, 60)}"
        lines.append(f"A/A control on {where}: {_aa(control)}")
    return "\n".join(lines)


def _aa(control: Control) -> str:
    times = control.speed_up
    if times is None:
        return f"{control.result} ({control.missing})"
    interval = f"[{significant(times.low)}, {significant(times.high)}]{_star(times.interval)}"
    sentence = f"{control.result}, {factor(times.factor)} {interval}, n = {times.n}"
    return sentence + control_words(control.quantities)


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
        size(row.peak_rss_b.median) if row.peak_rss_b else "-",
        f"{significant(energy.gross_j.median)} J {energy.scope}" if energy else "-",
        _accuracy(accuracy) if accuracy else "-",
        number(row.params_trainable) if row.params_trainable is not None else "-",
        size(row.update_b) if row.update_b is not None else "-",
        row.verdict + (f" ({clean(row.reasons[0].code, 30)})" if row.reasons else ""),
    ]


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


def _notes(rows: Sequence[MethodResult]) -> list[str]:
    """Each reason for a missing value once, with the labels it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        for what, missing in _MISSING:
            reason = missing(row)
            if reason and (row.n or what == "time"):
                reasons.setdefault(f"{what}: {clean(reason, 300)}", []).append(row.label)
    return [f"{reason} ({_some(labels)})" for reason, labels in reasons.items()]


#: (what, why a row does not have it)
_MISSING: tuple[tuple[str, Callable[[MethodResult], str | None]], ...] = (
    ("time", lambda row: row.wall_missing),
    ("energy", lambda row: row.energy_missing),
    ("peak memory", lambda row: row.peak_rss_missing),
    ("accuracy", lambda row: row.accuracy_missing),
)


def _some(labels: Sequence[str]) -> str:
    names = [clean(label, 32) for label in dict.fromkeys(labels)]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _bullets(sentences: Sequence[str]) -> str:
    return "\n".join(textwrap.fill(f"- {text}", _WIDTH, subsequent_indent="  ") for text in sentences)


def _padded(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A grid of rows that may end early."""
    return grid(headings, [[*row, *[""] * (len(headings) - len(row))] for row in rows])
