"""The head of the page: what the run is, how far it may be trusted, what to use, what not to conclude."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.measured import Caution, Control
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.units import clean, factor, significant
from tunebench.reports.sections.base.answer_cards import Card, cards
from tunebench.reports.sections.base.control_words import control_words
from tunebench.reports.sections.base.section import Page
from tunebench.reports.sections.base.validity import use_of
from tunebench.reports.summary import Summary

#: Cautions that stand open; the others are folded.
OPEN_CAUTIONS = 2
_CLASSES = ("valid", "degraded", "invalid", "failed", "skipped")
_AA_CSS = {"passed": "is-passed", "failed": "is-failed", "unclear": "is-unclear"}


@dataclass(frozen=True)
class Chip:
    """A state in two or three words; ``details`` unfold."""

    ident: str
    what: str
    state: str
    css: str
    details: Sequence[str]


@dataclass(frozen=True)
class Head:
    """All that stands above the navigation."""

    title: str
    meta: Sequence[str]
    chips: Sequence[Chip]
    cards: Sequence[Card]
    open_cautions: Sequence[Caution]
    folded_cautions: Sequence[Caution]
    limits: Sequence[str]


def head_of(page: Page) -> Head:
    """Return the head of a page."""
    summary = page.summary
    made = cards(page)
    return Head(
        title=_title(summary.rows),
        meta=_meta(summary),
        chips=[
            chip
            for chip in (_complete(summary), _validity(summary), _aa(summary.aa), _energy(summary))
            if chip
        ],
        cards=made,
        open_cautions=summary.cautions[:OPEN_CAUTIONS],
        folded_cautions=summary.cautions[OPEN_CAUTIONS:],
        limits=_limits(made),
    )


def _limits(made: Sequence[Card]) -> list[str]:
    """Return the quantities by which one can choose: those that any method has a number for."""
    names = ("points", "energy", "memory", "update")
    known = {name for card in made for line in card.lines for name, value in line.values if value}
    return [name for name in names if name in known]


def _title(rows: Sequence[MethodResult]) -> str:
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


def _complete(summary: Summary) -> Chip | None:
    if summary.run.complete:
        return None
    planned = f" of {summary.counts.planned} planned" if summary.counts.planned else ""
    words = f"{summary.counts.recorded}{planned} repetitions are recorded; resume it with --resume."
    return Chip("incomplete", "run", "not complete", "is-degraded", [words])


def _validity(summary: Summary) -> Chip:
    counts = summary.counts.by_class
    total = sum(counts[name] for name in _CLASSES)
    usable = counts["valid"] + counts["degraded"]
    details = [f"{counts[name]} {name}: {use_of(name, reasons=False)}" for name in _CLASSES if counts[name]]
    css = "is-valid" if usable == total == counts["valid"] else "is-degraded" if usable else "is-invalid"
    return Chip("validity", "repetitions", f"{usable} of {total} usable", css, details)


def _aa(controls: Sequence[Control]) -> Chip:
    state = _aa_state(controls)
    details = [f"{_where(control)}: {_aa_words(control)}" for control in controls]
    if not controls:
        details = ["How far two runs of the same method differ is not known."]
    return Chip(
        "aa", "A/A control", "none run" if state == "none" else state, _AA_CSS.get(state, ""), details
    )


def _where(control: Control) -> str:
    return f"{clean(control.board_id, 60)} · {clean(control.task, 60)}"


def _aa_words(control: Control) -> str:
    times = control.speed_up
    if times is None:
        return f"{control.result}, {clean(control.missing or '', 200)}".rstrip(", ")
    kind = "range" if times.interval == "range" else "95%"
    interval = f"{kind} {significant(times.low)} to {significant(times.high)}" if times.n > 1 else "one block"
    size = f"{factor(times.factor)}, {interval}, n\u00a0=\u00a0{times.n}"
    return f"{control.result}, {size}{control_words(control.quantities)}"


def _aa_state(controls: Sequence[Control]) -> str:
    """Return the worst result of all A/A controls: of their times, and of other quantities that failed."""
    results = [control.result for control in controls]
    others = [quantity.result for control in controls for quantity in control.quantities.values()]
    results += [result for result in others if result == "failed"]
    return next(
        (state for state in ("failed", "unclear", "no verdict", "passed") if state in results), "none"
    )


def _energy(summary: Summary) -> Chip | None:
    if not summary.rows:
        return None
    scopes = dict.fromkeys(SCOPE_NAMES[row.energy.scope] for row in summary.rows if row.energy)
    if scopes:
        sources = dict.fromkeys(clean(row.energy.source, 30) for row in summary.rows if row.energy)
        return Chip("energy-scope", "energy", ", ".join(scopes), "", [f"measured by {', '.join(sources)}"])
    reasons = dict.fromkeys(clean(row.energy_missing or "", 300) for row in summary.rows)
    return Chip("energy-scope", "energy", "not measured", "", [reason for reason in reasons if reason][:3])
