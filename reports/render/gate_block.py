"""The gate's verdict on the night of a run, as its report begins with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tunebench.reports.analysis.answers import Regressed
from tunebench.reports.formatting.output import OutputError, write_output
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean
from tunebench.reports.history.gate_text import as_json_value, figures, judgement_of, ordered
from tunebench.reports.history.gating import Judgement, NightFinding
from tunebench.reports.records import Repetition

#: Findings shown; a night with more has another trouble than these.
_SHOWN = 12
#: Verdicts that end a night as failed, and those that only tell.
_FAILED = {"REGRESSION", "OFFLINE", "DAMAGED", "INVALID"}
_OPEN = {"UNCLEAR", "MISSING", "LEARNING"}
_TITLES = {1: "Regression", 4: "Not all could be judged", 3: "Unclear", 0: "Nothing found"}


@dataclass(frozen=True)
class GateLine:
    """A finding as it is shown; ``css`` colours its verdict."""

    verdict: str
    css: str
    name: str
    details: str


@dataclass(frozen=True)
class GateBlock:
    """What stands above everything else on the page.

    Attributes:
        title: the night in two words.
        night: its date and time, so that a row of open pages can be told apart; empty where it is not known.
        sight: what the gate would have seen.
        rest: findings that are not shown.
    """

    title: str
    night: str
    css: str
    sight: str
    lines: list[GateLine]
    rest: int
    screened: int
    confirmed: int


def gate_block(judgement: Judgement, started_utc: str | None, scrub: Scrub) -> GateBlock:
    """Return the verdict on a night for the page; names of people and machines are taken out."""
    findings = ordered(judgement)
    code = judgement.exit_code
    return GateBlock(
        title=_TITLES.get(code, "Judged"),
        night=_night(started_utc),
        css={1: "is-failed", 4: "is-failed", 3: "is-unclear"}.get(code, "is-passed"),
        sight=judgement.sight.sentence if judgement.sight is not None else "",
        lines=[
            GateLine(
                finding.verdict,
                "is-failed"
                if finding.verdict in _FAILED
                else "is-unclear"
                if finding.verdict in _OPEN
                else "",
                scrub(clean(finding.name, 120)),
                scrub(clean("; ".join(filter(None, [figures(finding), finding.reason])), 300)),
            )
            for finding in findings[:_SHOWN]
        ],
        rest=max(0, len(findings) - _SHOWN),
        screened=judgement.screened,
        confirmed=judgement.confirmed,
    )


def _night(started_utc: str | None) -> str:
    """Return the date and time of a night.

    >>> _night("2026-11-29T02:00:00Z"), _night(None)
    ('29 November 2026, 02:00 UTC', '')
    """
    try:
        return datetime.fromisoformat(str(started_utc)).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def regressed(judgement: Judgement | None, repetitions: Iterable[Repetition]) -> Regressed:
    """Return (board, task, label) -> what became worse, for the answers: what regressed is never told as fast first."""
    if judgement is None:
        return {}
    places = {rep.series_key: (rep.board_id, rep.task, rep.label) for rep in repetitions}
    worse: dict[tuple[str, str, str], str] = {}
    for finding in judgement.findings:
        place = places.get(finding.series_key or "")
        if finding.verdict == "REGRESSION" and place is not None:
            words = _worse(finding)
            worse[place] = f"{worse[place]}; {words}" if place in worse else words
    return worse


def _worse(finding: NightFinding) -> str:
    """Return how much worse a series became, and than what: the pinned build where pairs tell it."""
    pairs, screening = finding.confirmation, finding.screening
    change, against = (pairs.change, "the pinned build") if pairs is not None else (None, "")
    if change is None and screening is not None:
        change, against = screening.change, "its last nights"
    if change is None:
        return f"{finding.metric} worse"
    if finding.metric == "accuracy":
        # Of pairs, worse is above 0; the screen keeps the sign of the difference.
        return f"accuracy {-abs(100 * change):.1f} points against {against}"
    return f"{finding.metric} {change:+.1%} against {against}"


def place_of(run_dir: Path) -> Path:
    """Return where the judgement of a run is kept: beside its directory, which is write-once."""
    return run_dir.with_name(f"{run_dir.name}.gate.json")


def keep(judgement: Judgement, run_dir: Path) -> bool:
    """Keep a judgement where later reports of the run find it; return whether that was possible."""
    text = json.dumps(as_json_value(judgement), indent=1)
    try:
        write_output(place_of(run_dir), text.encode(), "--run")
    except OutputError:
        return False
    return True


def stored_judgement(run_dir: Path, run_id: str) -> Judgement | None:
    """Return the judgement that was kept for a run; None without one, or if what lies there is none of this run."""
    try:
        judgement = judgement_of(json.loads(place_of(run_dir).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
    return judgement if judgement.run_id == run_id else None
