"""The page of a report: what its sections are made from, and what stands above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tunebench.reports.analysis.measured import Control
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures import Styles
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean, factor, significant
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.findings import contenders, control_words, findings
from tunebench.reports.sections.base.groups import groups_of
from tunebench.reports.sections.base.section import Page
from tunebench.reports.sections.base.trend import Trend
from tunebench.reports.summary import Summary

Rows = Sequence[MethodResult]


def page_of(summary: Summary, reader: RunReader, scrub: Scrub, trend: Trend) -> Page:
    """Return the page: the data that all sections are made from.

    Args:
        summary: text that names a person or a machine is taken out already.
    """
    rows = summary.rows
    styles = Styles(
        [row.label for row in rows] + [rep.label for rep in summary.repetitions],
        baselines=[name for name in summary.baselines.values() if name],
        controls=[row.label for row in rows if row.aa_control],
    )
    return Page(summary, reader, scrub, groups_of(rows), styles, trend)


def header(page: Page) -> dict[str, object]:
    """Return the head of the page: title, validity, A/A control, the fastest method, findings."""
    summary = page.summary
    return {
        "summary": summary,
        "title": _title(summary.rows),
        "meta": _meta(summary),
        "validity": _validity(summary),
        "aa": [_aa(control) for control in summary.aa],
        "aa_state": _aa_state(summary.aa),
        "findings": findings(page.groups),
        "headline": _headline(summary.rows),
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


@dataclass(frozen=True)
class _Bar:
    name: str
    number: int
    x: float
    width: float


@dataclass(frozen=True)
class _Validity:
    usable: int
    total: int
    bars: Sequence[_Bar]


def _validity(summary: Summary) -> _Validity:
    counts = summary.counts.by_class
    classes = [(name, counts[name]) for name in ("valid", "degraded", "invalid", "failed", "skipped")]
    shares = [(name, number) for name, number in classes if number]
    total = sum(number for _, number in shares)
    bars, x = [], 0.0
    for name, number in shares:
        width = 100 * number / total
        bars.append(_Bar(name, number, round(x, 2), round(width, 2)))
        x += width
    return _Validity(counts["valid"] + counts["degraded"], total, bars)


def _aa(control: Control) -> dict[str, str]:
    where = f"{clean(control.board_id, 60)} · {clean(control.task, 60)}"
    times = control.speed_up
    if times is None:
        return {"where": where, "result": control.result, "words": control.missing or ""}
    kind = "range" if times.interval == "range" else "95%"
    interval = f"{kind} {significant(times.low)} to {significant(times.high)}" if times.n > 1 else "one block"
    return {
        "where": where,
        "result": control.result,
        "words": f"{factor(times.factor)}, {interval}, n\u00a0=\u00a0{times.n}"
        + control_words(control.quantities),
    }


def _aa_state(controls: Sequence[Control]) -> str:
    """Return the worst result of all A/A controls: of their times, and of other quantities that failed."""
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
