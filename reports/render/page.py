"""What stands on the page of a report: words, tables and figures, made from a summary. No markup but SVG."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tunebench.reports.analysis.measured import Control
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures import Figure, Styles
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.units import clean, factor, significant
from tunebench.reports.render.downloads import downloads
from tunebench.reports.render.panels import (
    board_multiples,
    cost_panels,
    effect_panels,
    is_heavy,
    once,
    phase_panels,
    repetition_figures,
    size_figures,
)
from tunebench.reports.render.traces import trace_views
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.changes import board_differences
from tunebench.reports.sections.comparison import COLUMNS, SORTING
from tunebench.reports.sections.energy import joules_table
from tunebench.reports.sections.energy import notes as joules_notes
from tunebench.reports.sections.environment import (
    GLOSSARY,
    board_facts,
    failures,
    method_facts,
    validity_rows,
)
from tunebench.reports.sections.findings import contenders, findings
from tunebench.reports.sections.groups import groups_of
from tunebench.reports.sections.overall import overall_tables
from tunebench.reports.sections.sustained import lasting_table
from tunebench.reports.sections.trends import Trend
from tunebench.reports.sections.verdicts import control_words, reasons, verdict_table
from tunebench.reports.studies.lorae.view import lorae_view
from tunebench.reports.studies.skip2_lora.view import study_view
from tunebench.reports.summary import Summary

Rows = Sequence[MethodResult]


def page(summary: Summary, reader: RunReader, scrub: Scrub, trend: Trend) -> dict[str, Any]:
    """Everything the template needs; text that names a person or a machine is taken out first."""
    summary = scrubbed(summary, scrub)
    rows: Rows = summary.rows
    groups = groups_of(rows)
    styles = Styles(
        [row.label for row in rows] + [rep.label for rep in summary.repetitions],
        baselines=[name for name in summary.baselines.values() if name],
        controls=[row.label for row in rows if row.aa_control],
    )
    heavy = is_heavy(groups)
    lighter: Callable[[Sequence[Figure]], Sequence[Figure]] = once if heavy else list
    traces, traces_left = trace_views(groups, reader, scrub, heavy=heavy)
    return {
        "summary": summary,
        "title": _title(rows),
        "meta": _meta(summary),
        "validity": _validity(summary),
        "aa": [_aa(one) for one in summary.aa],
        "aa_state": _aa_state(summary.aa),
        "findings": findings(groups),
        "headline": _headline(rows),
        "study": study_view(summary.study, styles),
        "lorae": lorae_view(summary.lorae),
        "groups": groups,
        "columns": COLUMNS,
        "sorting": SORTING,
        "glossary": GLOSSARY,
        "joules": joules_table(rows),
        "joules_notes": joules_notes(rows),
        "sustained": lasting_table(rows),
        "verdicts": verdict_table(rows),
        "reasons": reasons(rows),
        "overall": overall_tables(summary),
        "effects": effect_panels(groups),
        "phases": phase_panels(groups),
        "costs": cost_panels(groups, styles),
        "sizes": size_figures(groups, summary.environment),
        "repetitions": lighter(repetition_figures(summary.repetitions, styles)),
        "multiples": lighter(board_multiples(groups, styles)),
        "traces": traces,
        "traces_left": traces_left,
        "downloads": downloads(summary),
        "trend": replace(trend, figures=lighter(trend.figures)),
        "differences": board_differences(summary.environment),
        "boards": [board_facts(one) for one in summary.environment],
        "validity_rows": validity_rows(rows),
        "failures": failures(reader, scrub),
        "method": method_facts(summary, reader),
        "command": shlex.join(summary.run.command) if summary.run.command else None,
    }


def _title(rows: Rows) -> str:
    boards = list(dict.fromkeys(row.board_id for row in rows))
    tasks = list(dict.fromkeys(row.task for row in rows))
    if not rows:
        return "Nothing recorded yet"
    what = f"Fine-tuning {clean(tasks[0], 60)}" if len(tasks) == 1 else f"Fine-tuning, {len(tasks)} tasks"
    where = clean(boards[0], 60) if len(boards) == 1 else f"{len(boards)} boards"
    return f"{what} on {where}"


def _meta(summary: Summary) -> list[str]:
    run = summary.run
    blocks = run.blocks
    parts = [
        f"suite {run.suite}" if run.suite else "",
        f"{blocks} block{'s' if blocks != 1 else ''}" if blocks else "",
        _day(run.started_utc),
        f"tunebench {run.tunebench}" if run.tunebench else "",
    ]
    return [part for part in parts if part]


def _day(utc: str | None) -> str:
    try:
        return datetime.fromisoformat(str(utc)).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def _validity(summary: Summary) -> dict[str, Any]:
    counts = summary.counts.by_class
    classes = [(name, counts[name]) for name in ("valid", "degraded", "invalid", "failed", "skipped")]
    shares = [(name, number) for name, number in classes if number]
    total = sum(number for _, number in shares)
    bars, x = [], 0.0
    for name, number in shares:
        width = 100 * number / total
        bars.append({"name": name, "number": number, "x": round(x, 2), "width": round(width, 2)})
        x += width
    usable = counts["valid"] + counts["degraded"]
    return {"usable": usable, "total": total, "bars": bars, "planned": summary.counts.planned}


def _aa(control: Control) -> dict[str, str]:
    where = f"{clean(control.board_id, 60)} · {clean(control.task, 60)}"
    times = control.speed_up
    if times is None:
        return {"where": where, "result": control.result, "words": control.missing or ""}
    kind = "range" if times.interval == "range" else "95%"
    interval = f"{kind} {significant(times.low)} to {significant(times.high)}"
    return {
        "where": where,
        "result": control.result,
        "words": f"{factor(times.factor)}, {interval}, n\u00a0=\u00a0{times.n}"
        + control_words(control.quantities),
    }


def _aa_state(controls: Sequence[Control]) -> str:
    """Return the worst of all A/A controls: of their times, and of whatever else they failed in."""
    results = [control.result for control in controls]
    others = [quantity.result for control in controls for quantity in control.quantities.values()]
    results += [result for result in others if result == "failed"]
    return next(
        (state for state in ("failed", "unclear", "no verdict", "passed") if state in results), "none"
    )


def _headline(rows: Rows) -> dict[str, str] | None:
    known = contenders(rows)
    if not known:
        return None
    best, speed = known[0]
    return {
        "factor": factor(speed.factor),
        "label": clean(best.label, 40),
        "baseline": clean(str(best.baseline), 40),
        "where": f"{clean(best.board_id, 40)}, {clean(best.task, 40)}",
        "verdict": speed.verdict.lower(),
    }
