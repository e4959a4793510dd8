"""The section on environment and validity: what a sceptical reader checks, in words made from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from tunebench.reports.analysis.measured import BoardProbe
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean, clean_block, size
from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import ResultsError, rep_class
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.changes import Since, board_differences
from tunebench.reports.sections.base.section import Page, Section, partial

#: Failed repetitions whose log is shown.
_MAX_LOGS = 12
_LOG_CHARS = 3000
_TIERS = ("hardware", "firmware", "os", "python")


@dataclass(frozen=True)
class BoardFacts:
    """One board of the environment section."""

    name: str
    kind: str
    note: str
    tiers: list[tuple[str, list[tuple[str, str]]]]
    sensors: list[str]
    missing: list[tuple[str, str]]
    changed: list[tuple[str, str, str]]
    problem: str | None


@dataclass(frozen=True)
class Failure:
    """A repetition that stands in no number, with the end of its log."""

    title: str
    reason: str
    log: Markup | None


@dataclass(frozen=True)
class _View:
    differences: DataTable | None
    since: Since
    boards: Sequence[BoardFacts]
    validity_rows: Sequence[tuple[str, str, str, str]]
    failures: Sequence[Failure]


class EnvironmentSection(Section):
    """The section on environment and validity: what differs, what is missing, what failed."""

    ident = "environment"
    nav = "Environment"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("environment")

    def view(self, page: Page) -> _View:
        """Return facts of the boards and reasons of the repetitions."""
        environment = page.summary.environment
        return _View(
            differences=board_differences(environment),
            since=page.trend.since,
            boards=[board_facts(probe) for probe in environment],
            validity_rows=validity_rows(page.summary.rows),
            failures=failures(page.reader, page.scrub),
        )


def board_facts(probe: BoardProbe) -> BoardFacts:
    """Describe a board in words; a loopback or emulated board is named as such."""
    note = ""
    if probe.kind == "loopback":
        note = "Loopback: the host's own machine, reached over SSH. Times on a shared machine are degraded."
    elif probe.emulated:
        note = "Emulated: its times are the emulator's, not a board's."
    fingerprint = probe.fingerprint
    tiers = [*(tier for tier in _TIERS if tier in fingerprint), *sorted(set(fingerprint) - set(_TIERS))]
    return BoardFacts(
        name=clean(probe.board_id, 60),
        kind=", ".join(str(part) for part in (probe.kind, probe.model, probe.power_mode) if part),
        note=note,
        tiers=[(tier, [(key, _value(key, v)) for key, v in fingerprint[tier].items()]) for tier in tiers],
        sensors=[_sensor(channel) for channel in probe.channels],
        missing=[(name, reason) for name, reason in sorted(probe.missing.items())],
        changed=[(f"{c.tier}.{c.key}", str(c.before), str(c.after)) for c in probe.changed],
        problem=probe.problem,
    )


def _value(key: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and key.endswith("_b"):
        return size(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "not known" if value is None else str(value)


def _sensor(channel: Mapping[str, object]) -> str:
    known = (channel.get("id"), channel.get("unit"), channel.get("scope"), channel.get("source"))
    return " · ".join(clean(str(part), 60) for part in known if part)


def validity_rows(rows: Sequence[MethodResult]) -> list[tuple[str, str, str, str]]:
    """Return rows (reason, code, repetitions, where), each reason once."""
    reasons: dict[tuple[str, str], tuple[int, dict[str, None]]] = {}
    for row in rows:
        for reason in row.reasons:
            times, where = reasons.setdefault((reason.code, reason.message), (0, {}))
            where[f"{clean(row.label, 40)} on {clean(row.board_id, 40)}"] = None
            reasons[reason.code, reason.message] = (times + reason.n, where)
    return [
        (message, code, str(times), _name_list(list(where)))
        for (code, message), (times, where) in reasons.items()
    ]


def _name_list(names: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def failures(reader: RunReader, scrub: Scrub = str) -> list[Failure]:
    """Return repetitions that failed or were judged invalid, the first dozen with the end of their log."""
    lost = [rep for rep in reader.repetitions if rep_class(rep) in ("failed", "invalid")]
    return [_failure(rep, reader, scrub, with_log=index < _MAX_LOGS) for index, rep in enumerate(lost)]


def _failure(rep: Repetition, reader: RunReader, scrub: Scrub, *, with_log: bool) -> Failure:
    title = f"{clean(rep.label, 40)} on {clean(rep.board_id, 40)}, {rep.role}, block {rep.block + 1}"
    messages = "; ".join(reason.message for reason in rep.reasons)
    reason = f"{rep.outcome if rep.outcome != 'ok' else rep.verdict}: {rep.outcome_reason or messages or 'no reason'}"
    log: Markup | None = None
    try:
        text = reader.log(rep) if with_log else None
        log = None if text is None else Markup(escape(scrub(clean_block(text, _LOG_CHARS))))  # noqa: S704 - escaped
    except ResultsError as error:
        reason = f"{reason} (its log cannot be read: {error})"
    return Failure(title, scrub(reason), log)


SECTION = EnvironmentSection()
