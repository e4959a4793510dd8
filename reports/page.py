"""What stands on the page of a report: words, tables and figures, made from a summary. No markup but SVG."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reports.comparison import COLUMNS, Row, comparison_row, notes
from reports.evidence import GLOSSARY, board_facts, failures, method_facts, validity_rows
from reports.figures import DataTable, Figure, Styles
from reports.figures.accuracy import accuracy_figure
from reports.figures.phases import phases_figure
from reports.figures.sizes import memory_figure, update_figure
from reports.figures.speedup import speedup_domain, speedup_figure
from reports.figures.strip import strip_figure
from reports.figures.traces import trace_figure
from reports.joules import joules_table
from reports.joules import notes as joules_notes
from reports.lasting import lasting_table
from reports.layout import ResultsError
from reports.overall_words import overall_tables
from reports.reader import RunReader
from reports.records import Repetition
from reports.study.view import study_view
from reports.text import engines, grouped
from reports.units import clean, factor, percent, significant
from reports.verdict_words import control_words, reasons, verdict_table

Rows = Sequence[Mapping[str, Any]]

#: Traces drawn at most; a page with all cells of a large lab would be too heavy to open.
MAX_TRACES = 48


@dataclass(frozen=True)
class Group:
    """Rows that may be compared with each other: one board, one task, one set of conditions."""

    ident: str
    board_id: str
    task: str
    conditions: str
    baseline: str | None
    rows: Rows
    table: Sequence[Row]
    notes: Sequence[tuple[str, str]]

    @property
    def heading(self) -> str:
        """Board and task; the conditions stand in the table's caption and rows."""
        return f"{clean(self.board_id, 60)} · {clean(self.task, 60)}"


@dataclass(frozen=True)
class TraceView:
    """A trace to unfold, or the reason why there is none."""

    title: str
    figure: Figure | None
    problem: str | None


def page(summary: Mapping[str, Any], reader: RunReader) -> dict[str, Any]:
    """Everything the template needs."""
    rows: Rows = summary["rows"]
    groups = _groups(rows)
    styles = Styles(
        [row["label"] for row in rows] + [rep["label"] for rep in summary["repetitions"]],
        baselines=[name for name in summary["baselines"].values() if name],
        controls=[row["label"] for row in rows if row["aa_control"]],
    )
    return {
        "summary": summary,
        "title": _title(rows),
        "meta": _meta(summary),
        "validity": _validity(summary),
        "aa": [_aa(one) for one in summary["aa"]],
        "aa_state": _aa_state(summary["aa"]),
        "findings": [sentence for group in groups if (sentence := _finding(group)) is not None],
        "headline": _headline(rows),
        "study": study_view(summary["study"], styles),
        "groups": groups,
        "columns": COLUMNS,
        "glossary": GLOSSARY,
        "joules": joules_table(rows),
        "joules_notes": joules_notes(rows),
        "sustained": lasting_table(rows),
        "verdicts": verdict_table(rows),
        "reasons": reasons(rows),
        "overall": overall_tables(summary),
        "speedups": _speedups(groups),
        "phases": [
            phases_figure(f"phases-{g.ident}", g.rows, heading=g.heading)
            for g in groups
            if any(row["phases"] for row in g.rows)
        ],
        "accuracies": _accuracies(groups, styles),
        "sizes": _sizes(groups),
        "strips": _strips(summary, styles),
        "traces": _traces(groups, reader),
        "boards": [board_facts(one) for one in summary["environment"]],
        "validity_rows": validity_rows(rows),
        "failures": failures(reader),
        "method": method_facts(summary, reader),
        "command": shlex.join(summary["run"]["command"]) if summary["run"]["command"] else None,
    }


def _groups(rows: Rows) -> list[Group]:
    return [
        Group(
            ident=f"g{index}",
            board_id=board_id,
            task=task,
            conditions=f"{engines(members)} on {conditions}",
            baseline=members[0]["baseline"],
            rows=members,
            table=[comparison_row(row) for row in members],
            notes=notes(members),
        )
        for index, ((board_id, task, conditions), members) in enumerate(grouped(rows).items())
    ]


def _title(rows: Rows) -> str:
    boards = list(dict.fromkeys(row["board_id"] for row in rows))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    if not rows:
        return "Nothing recorded yet"
    what = f"Fine-tuning {clean(tasks[0], 60)}" if len(tasks) == 1 else f"Fine-tuning, {len(tasks)} tasks"
    where = clean(boards[0], 60) if len(boards) == 1 else f"{len(boards)} boards"
    return f"{what} on {where}"


def _meta(summary: Mapping[str, Any]) -> list[str]:
    run = summary["run"]
    blocks = run["blocks"]
    parts = [
        f"suite {run['suite']}" if run["suite"] else "",
        f"{blocks} block{'s' if blocks != 1 else ''}" if blocks else "",
        _day(run["started_utc"]),
        f"lab {run['lab']}" if run["lab"] else "",
        f"tunebench {run['tunebench']}" if run["tunebench"] else "",
    ]
    return [part for part in parts if part]


def _day(utc: str | None) -> str:
    try:
        return datetime.fromisoformat(str(utc)).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def _validity(summary: Mapping[str, Any]) -> dict[str, Any]:
    counts = summary["counts"]
    classes = [(name, counts[name]) for name in ("valid", "degraded", "invalid", "failed", "skipped")]
    shares = [(name, number) for name, number in classes if number]
    total = sum(number for _, number in shares)
    bars, x = [], 0.0
    for name, number in shares:
        width = 100 * number / total
        bars.append({"name": name, "number": number, "x": round(x, 2), "width": round(width, 2)})
        x += width
    usable = counts["valid"] + counts["degraded"]
    return {"usable": usable, "total": total, "bars": bars, "planned": counts["planned"]}


def _aa(one: Mapping[str, Any]) -> dict[str, str]:
    where = f"{clean(one['board_id'], 60)} · {clean(one['task'], 60)}"
    if "factor" not in one:
        return {"where": where, "result": one["result"], "words": one["missing"] or ""}
    kind = "range" if one["interval"] == "range" else "95%"
    interval = f"{kind} {significant(one['low'])} to {significant(one['high'])}"
    return {
        "where": where,
        "result": one["result"],
        "words": f"{factor(one['factor'])}, {interval}, n\u00a0=\u00a0{one['n']}"
        + control_words(one["quantities"]),
    }


def _aa_state(results: Sequence[Mapping[str, Any]]) -> str:
    """The worst of all A/A controls: of their times, and of whatever else they failed in."""
    found = [one["result"] for one in results]
    others = [told["result"] for one in results for told in one["quantities"].values()]
    found += [result for result in others if result == "failed"]
    return next((state for state in ("failed", "unclear", "no verdict", "passed") if state in found), "none")


def _contenders(rows: Rows) -> list[Mapping[str, Any]]:
    known = [row for row in rows if row["speed_up"] and not row["aa_control"]]
    return sorted(known, key=lambda row: -row["speed_up"]["factor"])


def _headline(rows: Rows) -> dict[str, str] | None:
    best = next(iter(_contenders(rows)), None)
    if best is None:
        return None
    speed = best["speed_up"]
    return {
        "factor": factor(speed["factor"]),
        "label": clean(best["label"], 40),
        "baseline": clean(str(best["baseline"]), 40),
        "where": f"{clean(best['board_id'], 40)}, {clean(best['task'], 40)}",
        "verdict": speed["verdict"].lower(),
    }


def _finding(group: Group) -> str | None:
    """One sentence a group: who was fastest, how sure that is, and what it cost in accuracy."""
    best = next(iter(_contenders(group.rows)), None)
    if best is None:
        return None
    speed, name, where = best["speed_up"], clean(best["label"], 40), group.heading
    base = clean(str(group.baseline), 40)
    span = f"{significant(speed['low'])} to {significant(speed['high'])}"
    if speed["withheld"]:
        told = f"{where}: no verdict on times is given, since the A/A control failed"
    elif speed["verdict"] == "NO VERDICT":
        told = (
            f"{where}: over {speed['n']} block{'s' if speed['n'] != 1 else ''}, {name} ran "
            f"{factor(speed['factor'])} as fast as {base} (range {span}; too few blocks for a verdict)"
        )
    elif speed["verdict"] == "FASTER":
        told = (
            f"{where}: {name} is {factor(speed['factor'])} as fast as {base} "
            f"(95% interval {span}, {speed['n']} blocks)"
        )
    else:
        told = (
            f"{where}: no method is shown to be faster than {base}; nearest is {name} (95% interval {span})"
        )
    return f"{told}. {_accuracy_words(best, group)}".rstrip()


def _accuracy_words(best: Mapping[str, Any], group: Group) -> str:
    base = next((row for row in group.rows if row["is_baseline"]), None)
    if not base or not base["accuracy"] or not best["accuracy"]:
        return ""
    after, reference = best["accuracy"]["after_mean"], base["accuracy"]["after_mean"]
    metric, base_name = clean(best["accuracy"]["metric"], 30), clean(str(group.baseline), 40)
    return f"It ends at {metric} {percent(after)}, {base_name} at {percent(reference)}."


def _speedups(groups: Sequence[Group]) -> list[Figure]:
    domain = speedup_domain([row for group in groups for row in group.rows])
    return [
        speedup_figure(f"speed-{g.ident}", g.rows, domain, baseline=str(g.baseline), heading=g.heading)
        for g in groups
        if any(row["speed_up"] for row in g.rows)
    ]


def _accuracies(groups: Sequence[Group], styles: Styles) -> list[Figure]:
    able = [g for g in groups if any(row["accuracy"] and row["wall_s"] for row in g.rows)]
    half = len(able) > 1
    return [accuracy_figure(f"acc-{g.ident}", g.rows, styles, heading=g.heading, half=half) for g in able]


def _sizes(groups: Sequence[Group]) -> list[tuple[str, list[Figure]]]:
    found = []
    for g in groups:
        figures = []
        if any(row["peak_rss_b"] for row in g.rows):
            figures.append(memory_figure(f"mem-{g.ident}", g.rows, heading=""))
        if any(row["update_b"] for row in g.rows):
            figures.append(update_figure(f"upd-{g.ident}", g.rows, heading=""))
        if figures:
            found.append((g.heading, figures))
    return found


def _strips(summary: Mapping[str, Any], styles: Styles) -> list[Figure]:
    timed = [rep for rep in summary["repetitions"] if rep["role"] == "timed"]
    boards = list(dict.fromkeys(rep["board_id"] for rep in timed))
    return [
        strip_figure(
            f"strip-{index}",
            [rep for rep in timed if rep["board_id"] == board_id],
            styles,
            heading=clean(board_id, 60),
        )
        for index, board_id in enumerate(boards)
    ]


def _traces(groups: Sequence[Group], reader: RunReader) -> list[TraceView]:
    views: list[TraceView] = []
    for g in groups:
        for place, row in enumerate(g.rows):
            if row["n"] and len(views) < MAX_TRACES:
                views.append(_trace_view(f"trace-{g.ident}-{place}", g, row, reader))
            if row["joules"] and len(views) < MAX_TRACES:
                views.append(_energy_view(f"joules-{g.ident}-{place}", g, row, reader))
    return views


def _trace_view(ident: str, group: Group, row: Mapping[str, Any], reader: RunReader) -> TraceView:
    """The repetition whose time is nearest to the median of its cell."""
    middle = row["wall_s"]["median"]
    ids = set(row["rep_ids"])
    reps = [rep for rep in reader.repetitions if rep.rep_id in ids]
    rep = min(reps, key=lambda one: abs((one.wall_s or 0.0) - middle))
    return _view(ident, group, rep, reader)


def _energy_view(ident: str, group: Group, row: Mapping[str, Any], reader: RunReader) -> TraceView:
    """The energy repetition in the middle of its cell: fine-tuning after fine-tuning, and what they draw."""
    one = row["joules"][0]
    ids = set(one["rep_ids"])
    reps = [rep for rep in reader.repetitions if rep.rep_id in ids and rep.energy is not None]
    middle = one["j"]["median"]
    rep = min(
        reps,
        key=lambda rep: abs((rep.energy.gross_j / (rep.energy.repeats or 1) if rep.energy else 0.0) - middle),
    )
    return _view(ident, group, rep, reader)


def _view(ident: str, group: Group, rep: Repetition, reader: RunReader) -> TraceView:
    where = f"{clean(group.board_id, 40)}, {clean(group.task, 40)}"
    energy = ", energy repetition" if rep.role == "energy" else ""
    title = f"{clean(rep.label, 40)} on {where}, block {rep.block + 1}{energy}"
    try:
        trace = reader.trace(rep)
    except ResultsError as error:
        return TraceView(title, None, str(error))
    if trace is None:
        return TraceView(title, None, "no trace was stored for this repetition")
    figure = trace_figure(ident, trace, title=title, heading="")
    return TraceView(title, figure, None if figure else "no channel was sampled more than once")


__all__ = ["DataTable", "Group", "TraceView", "page"]
