"""The nightly gate's judgement of one run: screen every series, confirm what is nominated, list what is missing.

Pure but for the index that it reads; who measures the pairs is handed in. Exit codes, in order of precedence:
1 a confirmed regression, 4 infrastructure (a board or a record is missing or damaged), 3 unclear, 0 nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Literal

import duckdb

from tunebench.reports.history.confirm import Confirmation, confirm
from tunebench.reports.history.decisions import Decision, quarantined
from tunebench.reports.history.screen import Rule, Screening, screen
from tunebench.reports.history.series import Metric, Night, Series, all_series, nights_of, usable

NightVerdict = Literal[
    "REGRESSION", "BOARD", "TRANSIENT", "UNCLEAR", "IMPROVED", "OK", "LEARNING",
    "MISSING", "NEW", "RENAMED", "INVALID", "OFFLINE", "DAMAGED", "QUARANTINED",
]  # fmt: skip

#: Direction and tolerance a metric.
RULES: dict[Metric, Rule] = {
    "time": Rule(),
    "energy": Rule(excess=0.035),
    "memory": Rule(excess=0.02),
    "accuracy": Rule(excess=0.01, worse="down", absolute=True, floor=0.001),
}
#: A change within this does not matter (accuracy: absolute, 0-1).
DELTAS: dict[Metric, float] = {"time": 0.02, "energy": 0.03, "memory": 0.01, "accuracy": 0.005}
#: A series that was there in one of so many runs before is missed.
LOOK_BACK = 7
#: Most series that are confirmed on one board in a night; the worst go first, the rest stay unclear.
MAX_CONFIRMED = 12
#: If so large a share of a board's confirmations say BOARD, the rest of its nominated series are not UNCLEAR.
_MOST = 0.8

#: Measures the pairs of one nominated series and metric: (pinned build's values, tonight's), paired.
Confirmer = Callable[[Series, Metric], "Pairs"]


@dataclass(frozen=True)
class Pairs:
    """Values measured back to back; empty with a reason if that was not possible."""

    baseline: Sequence[float] = ()
    tonight: Sequence[float] = ()
    reason: str | None = None


@dataclass(frozen=True)
class NightFinding:
    """One line of the gate's verdict."""

    verdict: NightVerdict
    board_id: str
    name: str
    series_key: str | None = None
    metric: Metric | None = None
    tonight: float | None = None
    screening: Screening | None = None
    confirmation: Confirmation | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class Judgement:
    """The gate's verdict on a run."""

    run_id: str
    findings: list[NightFinding] = field(default_factory=list)
    screened: int = 0
    learning: int = 0
    confirmed: int = 0

    @property
    def exit_code(self) -> int:
        """By precedence: 1 regression, 4 infrastructure, 3 unclear, 0."""
        seen = {finding.verdict for finding in self.findings}
        if "REGRESSION" in seen:
            return 1
        if seen & {"OFFLINE", "DAMAGED", "INVALID"}:
            return 4
        return 3 if seen & {"UNCLEAR", "MISSING"} else 0


@dataclass(frozen=True)
class _Nominee:
    series: Series
    metric: Metric
    screening: Screening
    tonight: float
    centre: float


def judge(
    database: duckdb.DuckDBPyConnection,
    run_id: str,
    *,
    decisions: Sequence[Decision] = (),
    confirmer: Confirmer | None = None,
    damaged: int = 0,
    metrics: Sequence[Metric] = ("time", "energy", "memory", "accuracy"),
) -> Judgement:
    """Judge one indexed run.

    Args:
        database: an open index (:func:`tunebench.reports.history.series.opened`) that holds the run.
        run_id: the run to judge.
        decisions: of people: accepted changes, boards in quarantine.
        confirmer: measures pairs on the boards; None: nominated series stay UNCLEAR.
        damaged: lines of the run that are no record.
        metrics: what to screen.
    """
    judgement = Judgement(run_id)
    if damaged:
        reason = f"{damaged} lines of reps.jsonl are no record; see `tunebench report`"
        judgement.findings.append(NightFinding("DAMAGED", "", run_id, reason=reason))
    present = _series_of(database, run_id)
    nominees: list[_Nominee] = []
    for metric in metrics:
        past = nights_of(database, list(present), metric, decisions)
        for key, one in present.items():
            nominee = _screen_series(one, metric, past.get(key, []), judgement)
            if nominee is not None:
                nominees.append(nominee)
    judgement.findings += _absent(database, run_id, present, decisions)
    _confirm_all(nominees, confirmer, judgement)
    return judgement


def _series_of(database: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, Series]:
    keys = database.execute(
        "SELECT DISTINCT series_key FROM repetitions WHERE run_id = ? AND role IN ('timed', 'energy')",
        [run_id],
    ).fetchall()
    wanted = {row[0] for row in keys}
    every = all_series(database, role="timed") + all_series(database, role="energy")
    return {one.series_key: one for one in every if one.series_key in wanted}


def _screen_series(
    one: Series, metric: Metric, found: Sequence[Night], judgement: Judgement
) -> _Nominee | None:
    """Screen one metric of one series; what needs no confirmation is noted at once."""
    tonight = next((night for night in found if night.run_id == judgement.run_id), None)
    if tonight is None or (tonight.n == 0 and metric != "time"):
        return None  # not a quantity of this series: energy on a board without a sensor

    def note(verdict: NightVerdict, reason: str, held: Screening | None = None) -> None:
        judgement.findings.append(
            NightFinding(
                verdict, one.board_id, one.name, one.series_key, metric, tonight.value, held, reason=reason
            )
        )

    if tonight.excluded:
        if metric == "time":
            note("QUARANTINED", tonight.excluded)
        return None
    if tonight.value is None:
        note("INVALID", f"only {tonight.n} of {tonight.n_all} repetitions are valid")
        return None
    past = [night.value for night in usable(found, before_run=judgement.run_id) if night.value is not None]
    held = screen(past, tonight.value, RULES[metric])
    judgement.screened += 1
    if held.state == "suspect":
        return _Nominee(one, metric, held, tonight.value, median(past))
    if held.state == "learning":
        judgement.learning += 1
        if len(found) == 1 and metric == "time":
            note("NEW", "seen for the first time", held)
    elif held.state == "better":
        note("IMPROVED", "better than its last nights; accept it to make it the yardstick", held)
    return None


def _confirm_all(nominees: Sequence[_Nominee], confirmer: Confirmer | None, judgement: Judgement) -> None:
    """Confirm the nominated series, the worst first; what is over the limit shares its board's fate if it has one."""
    ranked = sorted(nominees, key=lambda one: -(one.screening.z or 0.0))
    told: dict[str, list[NightVerdict]] = {}
    left: list[_Nominee] = []
    for one in ranked:
        board = told.setdefault(one.series.board_id, [])
        if confirmer is None:
            reason = "nominated by the screen; no boards were given to confirm it on"
            judgement.findings.append(_nominated(one, "UNCLEAR", reason))
        elif len(board) >= MAX_CONFIRMED:
            left.append(one)
        else:
            finding = _confirmed(one, confirmer(one.series, one.metric))
            judgement.confirmed += 1
            judgement.findings.append(finding)
            board.append(finding.verdict)
    for one in left:
        board = told[one.series.board_id]
        sick = board.count("BOARD") >= _MOST * len(board)
        reason = f"one of many on this board; {len(board)} were measured again" + (
            f" and {board.count('BOARD')} of them are the board's doing"
            if sick
            else f", no more than {MAX_CONFIRMED} are"
        )
        judgement.findings.append(_nominated(one, "BOARD" if sick else "UNCLEAR", reason))


def _confirmed(one: _Nominee, pairs: Pairs) -> NightFinding:
    if pairs.reason is not None:
        return _nominated(one, "UNCLEAR", pairs.reason)
    rule = RULES[one.metric]
    result = confirm(
        pairs.baseline,
        pairs.tonight,
        past_centre=one.centre,
        delta=DELTAS[one.metric],
        excess=rule.excess,
        worse=rule.worse,
        absolute=rule.absolute,
    )
    return _nominated(one, result.verdict, result.reason, result)


def _nominated(
    one: _Nominee, verdict: NightVerdict, reason: str, confirmation: Confirmation | None = None
) -> NightFinding:
    return NightFinding(
        verdict,
        one.series.board_id,
        one.series.name,
        one.series.series_key,
        one.metric,
        one.tonight,
        one.screening,
        confirmation,
        reason,
    )


def _absent(
    database: duckdb.DuckDBPyConnection,
    run_id: str,
    present: dict[str, Series],
    decisions: Sequence[Decision],
) -> list[NightFinding]:
    """Boards and series that recent runs of the same suite had and this one has not."""
    before = _recent_runs(database, run_id)
    if not before:
        return []
    marks = ", ".join("?" * len(before))
    keys = {
        row[0]
        for row in database.execute(
            f"SELECT DISTINCT series_key FROM repetitions WHERE role = 'timed' AND run_id IN ({marks})",
            before,
        ).fetchall()
    }
    every = {one.series_key: one for one in all_series(database)}
    since = _started(database, before[-1])
    accepted = {one.series_key for one in decisions if one.kind == "accept" and one.t_utc > since}
    missing = [every[key] for key in sorted(keys - set(present)) if key in every and key not in accepted]
    boards_here = {one.board_id for one in present.values()}
    findings: list[NightFinding] = []
    now = _started(database, run_id)
    for board in sorted({one.board_id for one in missing} - boards_here):
        if quarantined(decisions, board, now):
            continue
        findings.append(
            NightFinding("OFFLINE", board, board, reason="measured in recent runs, not in this one")
        )
    old_keys = {row[0] for row in database.execute(
        f"SELECT DISTINCT series_key FROM repetitions WHERE run_id IN ({marks})", before).fetchall()}  # fmt: skip
    fresh = [one for one in present.values() if one.series_key not in old_keys and one.role == "timed"]
    for one in missing:
        if one.board_id not in boards_here:
            continue
        twin = _twin(one, fresh)
        if twin is not None:
            reason = (
                f"its identity changed (now {twin.name}, {twin.series_key[:12]}); its history does not go on"
            )
            findings.append(NightFinding("RENAMED", one.board_id, one.name, one.series_key, reason=reason))
        else:
            reason = (
                "measured in recent runs, not in this one; `tunebench accept` it if it was removed on purpose"
            )
            findings.append(NightFinding("MISSING", one.board_id, one.name, one.series_key, reason=reason))
    return findings


def _twin(one: Series, fresh: Sequence[Series]) -> Series | None:
    """The new series that looks like a missing one: the same row, or the same method under another label."""
    same = [new for new in fresh if (new.board_id, new.task) == (one.board_id, one.task)]
    for alike in ("label", "method"):
        found = [new for new in same if getattr(new, alike) == getattr(one, alike)]
        if len(found) == 1:
            return found[0]
    return None


def _recent_runs(database: duckdb.DuckDBPyConnection, run_id: str) -> list[str]:
    rows = database.execute(
        "SELECT o.run_id FROM runs o, runs t WHERE t.run_id = ? AND o.lab = t.lab AND o.suite = t.suite"
        " AND (o.started_utc, o.run_id) < (t.started_utc, t.run_id) ORDER BY o.started_utc DESC, o.run_id DESC LIMIT ?",
        [run_id, LOOK_BACK],
    ).fetchall()
    return [row[0] for row in rows]


def _started(database: duckdb.DuckDBPyConnection, run_id: str) -> str:
    row = database.execute("SELECT started_utc FROM runs WHERE run_id = ?", [run_id]).fetchone()
    return str(row[0] or "") if row else ""
