"""Judge one run of a lab: screen every series, confirm what is nominated, list what is missing.

Reads nothing but the index; the pairs of a confirmation are measured by a function that is handed in. Exit codes, in
order of precedence: 1 a confirmed regression, 4 infrastructure (a board or a record is missing or damaged), 3 unclear,
0 nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from statistics import median
from typing import Literal

import duckdb

from tunebench.reports.history.clock import LAST_UTC, ClockView, clock_view
from tunebench.reports.history.confirm import Confirmation, confirm
from tunebench.reports.history.corroboration import change_of, change_of_pairs, words
from tunebench.reports.history.decisions import Decision, quarantined
from tunebench.reports.history.screen import Rule, Screening, Sight, screen, sight_of
from tunebench.reports.history.segments import Night, learning_nights, usable
from tunebench.reports.history.series import INSTRUCTIONS, Metric, Series, all_series, nights_of, turns

NightVerdict = Literal[
    "REGRESSION", "BOARD", "TRANSIENT", "UNCLEAR", "IMPROVED", "OK", "LEARNING",
    "MISSING", "NEW", "RENAMED", "INVALID", "OFFLINE", "DAMAGED", "QUARANTINED", "SWAPPED", "CLOCK",
]  # fmt: skip

#: Direction and tolerance of each metric.
RULES: dict[Metric, Rule] = {
    "time": Rule(),
    "energy": Rule(excess=0.035),
    "memory": Rule(excess=0.02),
    "accuracy": Rule(excess=0.01, worse="down", absolute=True, floor=0.001),
}
#: A change within this does not matter (accuracy: absolute, 0-1).
DELTAS: dict[Metric, float] = {"time": 0.02, "energy": 0.03, "memory": 0.01, "accuracy": 0.005}
#: A series that one of so many runs before has measured is missed.
LOOK_BACK = 7
#: A series with so many nights, none of which could be judged, is no new series any more: something keeps it learning.
LEARNING_NIGHTS = 14
#: Most series that are confirmed on one board in a night; the worst go first, the rest stay unclear.
MAX_CONFIRMED = 12
#: If so large a share of a board's confirmations say BOARD, the rest of its nominated series are not UNCLEAR.
_MOST = 0.8

#: Measures the pairs of one nominated series and metric: (pinned build's values, tonight's), paired.
Confirmer = Callable[[Series, Metric], "Pairs"]


@dataclass(frozen=True)
class Pairs:
    """Values measured back to back; empty with a reason if that was not possible.

    Attributes:
        instructions: of the same pairs, (pinned build's, tonight's), where both were counted.
    """

    baseline: Sequence[float] = ()
    tonight: Sequence[float] = ()
    reason: str | None = None
    instructions: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class NightFinding:
    """One line of the gate's judgement.

    Attributes:
        tonight: the night's value in the metric's unit.
        screening: what the screen said; None where it was not asked.
        confirmation: what the pairs said; None where none were measured.
        instructions: relative change of instructions beside a nominated time, more is > 0; says why, decides nothing.
    """

    verdict: NightVerdict
    board_id: str
    name: str
    series_key: str | None = None
    metric: Metric | None = None
    tonight: float | None = None
    screening: Screening | None = None
    confirmation: Confirmation | None = None
    reason: str = ""
    instructions: float | None = None

    @property
    def nominated(self) -> bool:
        """Return whether the screen asks to measure this again."""
        return self.screening is not None and self.screening.state == "suspect"


@dataclass
class Judgement:
    """The gate's verdict on a run.

    Attributes:
        screened: values that were held against past nights.
        learning: of these, how many had too few nights before them.
        confirmed: series that were measured again on their boards.
        passed: values that were screened and are no finding, those still learning among them.
        sight: how small a change of time would have been seen; None where none was asked for.
    """

    run_id: str
    findings: list[NightFinding] = field(default_factory=list)
    screened: int = 0
    learning: int = 0
    confirmed: int = 0
    passed: list[NightFinding] = field(default_factory=list)
    sight: Sight | None = None

    @property
    def exit_code(self) -> int:
        """Return the exit code, by precedence: 1 regression, 4 infrastructure, 3 unclear, 0."""
        verdicts = {finding.verdict for finding in self.findings}
        if "REGRESSION" in verdicts:
            return 1
        if verdicts & {"OFFLINE", "DAMAGED", "INVALID"}:
            return 4
        return 3 if verdicts & {"UNCLEAR", "MISSING", "LEARNING"} else 0


@dataclass(frozen=True)
class _Nominee:
    series: Series
    metric: Metric
    screening: Screening
    tonight: float
    centre: float
    instructions: float | None = None


def judge(
    database: duckdb.DuckDBPyConnection,
    run_id: str,
    *,
    decisions: Sequence[Decision] = (),
    confirmer: Confirmer | None = None,
    damaged: int = 0,
    metrics: Sequence[Metric] = ("time", "energy", "memory", "accuracy"),
    now: datetime | None = None,
) -> Judgement:
    """Judge one indexed run.

    Args:
        database: an open index (:func:`tunebench.reports.history.series.opened`) that holds the run.
        run_id: the run to judge.
        decisions: of people: accepted changes, boards in quarantine.
        confirmer: measures pairs on the boards; None: nominated series stay UNCLEAR.
        damaged: lines of the run that are no record.
        metrics: what to screen.
        now: what the clock here says; default: this machine's.
    """
    clock = clock_view(database, run_id, now)
    judgement = Judgement(run_id)
    if damaged:
        reason = f"{damaged} lines of reps.jsonl are no record; the run's report names them"
        judgement.findings.append(NightFinding("DAMAGED", "", run_id, reason=reason))
    present = _series_of(database, run_id)
    nominees: list[_Nominee] = []
    yardsticks: list[list[float]] = []
    for metric in metrics:
        past = nights_of(database, list(present), metric, decisions, newest=run_id if clock.last else None)
        for key, series in present.items():
            nights = past.get(key, [])
            nominee = _screen_series(series, metric, nights, judgement)
            if nominee is not None:
                nominees.append(nominee)
            if metric == "time" and series.role == "timed" and _counts(nights, run_id):
                yardsticks.append(_values(nights, run_id))
    judgement.sight = sight_of(yardsticks, RULES["time"])
    judgement.findings += _absent(database, run_id, present, decisions, clock)
    slower = [nominee.series.series_key for nominee in nominees if nominee.metric == "time"]
    counts = nights_of(database, slower, INSTRUCTIONS, decisions, newest=run_id if clock.last else None)
    nominees = [_corroborated(nominee, counts, run_id) for nominee in nominees]
    _confirm_all(nominees, confirmer, judgement)
    judgement.findings += _swapped(database, run_id, clock)
    judgement.findings += [NightFinding("CLOCK", "", run_id, reason=words) for words in clock.words]
    return judgement


def _swapped(database: duckdb.DuckDBPyConnection, run_id: str, clock: ClockView) -> list[NightFinding]:
    """Return a finding for each board whose fingerprint goes to and fro."""
    return [
        NightFinding(
            "SWAPPED",
            turn.board_id,
            turn.board_id,
            reason=f"its {turn.tier} went to and fro in its last {turn.nights} nights ({turn.kinds} of them): machines or"
            " systems take turns under this id. Each is held against its own nights; give each an id of its own",
        )
        for turn in turns(database, run_id, newest=clock.last)
    ]


def _series_of(database: duckdb.DuckDBPyConnection, run_id: str) -> dict[str, Series]:
    keys = database.execute(
        "SELECT DISTINCT series_key FROM repetitions WHERE run_id = ? AND role IN ('timed', 'energy')",
        [run_id],
    ).fetchall()
    wanted = {row[0] for row in keys}
    known = all_series(database, role="timed") + all_series(database, role="energy")
    return {series.series_key: series for series in known if series.series_key in wanted}


def _screen_series(
    series: Series, metric: Metric, nights: Sequence[Night], judgement: Judgement
) -> _Nominee | None:
    """Screen one metric of one series; a finding that needs no confirmation is recorded at once."""
    tonight = next((night for night in nights if night.run_id == judgement.run_id), None)
    if tonight is None or (tonight.n == 0 and metric != "time"):
        return None  # not a quantity of this series: energy on a board without a sensor

    def note(verdict: NightVerdict, reason: str, screening: Screening | None = None) -> None:
        judgement.findings.append(
            NightFinding(
                verdict,
                series.board_id,
                series.name,
                series.series_key,
                metric,
                tonight.value,
                screening,
                reason=reason,
            )
        )

    if tonight.excluded:
        if metric == "time":
            note("QUARANTINED", tonight.excluded)
        return None
    if tonight.value is None:
        note("INVALID", f"only {tonight.n} of {tonight.n_all} repetitions are valid")
        return None
    past = _values(nights, judgement.run_id)
    screening = screen(past, tonight.value, RULES[metric])
    judgement.screened += 1
    if screening.state == "suspect":
        return _Nominee(series, metric, screening, tonight.value, median(past))
    if screening.state == "learning":
        judgement.learning += 1
        why = _learns_too_long(nights, judgement.run_id, past)
        if len(nights) == 1 and metric == "time":
            note("NEW", "seen for the first time", screening)
        elif why and not any(
            finding.verdict == "LEARNING" and finding.series_key == series.series_key
            for finding in judgement.findings
        ):
            note("LEARNING", why, screening)
        else:
            reason = f"learning: {screening.n} of {RULES[metric].min_nights} nights"
            judgement.passed.append(_passed(series, metric, tonight.value, screening, reason))
    elif screening.state == "better":
        note("IMPROVED", "better than its last nights; accept it to make it the yardstick", screening)
    else:
        judgement.passed.append(_passed(series, metric, tonight.value, screening, "like its last nights"))
    return None


def _passed(
    series: Series, metric: Metric, tonight: float, screening: Screening, reason: str
) -> NightFinding:
    return NightFinding(
        "OK", series.board_id, series.name, series.series_key, metric, tonight, screening, reason=reason
    )


def _corroborated(nominee: _Nominee, counts: dict[str, list[Night]], run_id: str) -> _Nominee:
    """Put tonight's instructions against those of the past nights beside a nominated time."""
    nights = counts.get(nominee.series.series_key, []) if nominee.metric == "time" else []
    tonight = next((night.value for night in nights if night.run_id == run_id), None)
    return replace(nominee, instructions=change_of(_values(nights, run_id), tonight))


def _values(nights: Sequence[Night], run_id: str) -> list[float]:
    """Return the past medians that a run is held against."""
    return [night.value for night in usable(nights, before_run=run_id) if night.value is not None]


def _counts(nights: Sequence[Night], run_id: str) -> bool:
    """Return whether a run has a night of this series that is judged."""
    return any(night.run_id == run_id and night.value is not None and not night.excluded for night in nights)


def _learns_too_long(nights: Sequence[Night], run_id: str, past: Sequence[float]) -> str | None:
    """Return why a series is still learning that should not be any more; None where it may be."""
    needed = RULES["time"].min_nights
    if len(past) >= needed:
        # It has its nights, and they are no yardstick: the screen knows no relative change of nothing.
        why = f"the median of its last {len(past)} nights is 0: no relative change can be told"
        return why if len(past) + 1 >= LEARNING_NIGHTS else None
    learning = learning_nights(nights, run_id)
    if len(learning) < LEARNING_NIGHTS:
        return None
    changes = Counter(night.opened_by.partition(":")[0] for night in learning if night.opened_by)
    causes = "".join(f"; {what}: {number} times" for what, number in changes.most_common(2))
    return (
        f"still learning after {len(learning)} nights: {len(past)} of the {needed} that it needs are comparable with"
        f" tonight, the others lie in {len({night.segment for night in learning}) - 1} other segments{causes}."
        " Until then no slow-down is seen"
    )


def _confirm_all(nominees: Sequence[_Nominee], confirmer: Confirmer | None, judgement: Judgement) -> None:
    """Confirm the nominated series, the worst first.

    What is over a board's limit is judged by its board's other confirmations, if most of these say BOARD.
    """
    ranked = sorted(nominees, key=lambda nominee: -(nominee.screening.z or 0.0))
    verdicts: dict[str, list[NightVerdict]] = {}
    over_limit: list[_Nominee] = []
    for nominee in ranked:
        of_board = verdicts.setdefault(nominee.series.board_id, [])
        if confirmer is None:
            reason = "nominated by the screen; no boards were given to confirm it on"
            judgement.findings.append(_nominated(nominee, "UNCLEAR", reason))
        elif len(of_board) >= MAX_CONFIRMED:
            over_limit.append(nominee)
        else:
            finding = _confirmed(nominee, confirmer(nominee.series, nominee.metric))
            judgement.confirmed += 1
            judgement.findings.append(finding)
            of_board.append(finding.verdict)
    for nominee in over_limit:
        of_board = verdicts[nominee.series.board_id]
        board_to_blame = of_board.count("BOARD") >= _MOST * len(of_board)
        reason = f"one of many on this board; {len(of_board)} were measured again" + (
            f" and {of_board.count('BOARD')} of them are the board's doing"
            if board_to_blame
            else f", no more than {MAX_CONFIRMED} are"
        )
        judgement.findings.append(_nominated(nominee, "BOARD" if board_to_blame else "UNCLEAR", reason))


def _confirmed(nominee: _Nominee, pairs: Pairs) -> NightFinding:
    if pairs.reason is not None:
        return _nominated(nominee, "UNCLEAR", pairs.reason)
    rule = RULES[nominee.metric]
    result = confirm(
        pairs.baseline,
        pairs.tonight,
        past_centre=nominee.centre,
        delta=DELTAS[nominee.metric],
        excess=rule.excess,
        worse=rule.worse,
        absolute=rule.absolute,
    )
    if nominee.metric == "time" and result.verdict == "REGRESSION":
        # Both builds were measured tonight: what differs between them is the build's doing alone.
        change = change_of_pairs(
            [old for old, _ in pairs.instructions], [new for _, new in pairs.instructions]
        )
        nominee = nominee if change is None else replace(nominee, instructions=change)
    return _nominated(nominee, result.verdict, result.reason, result)


def _nominated(
    nominee: _Nominee, verdict: NightVerdict, reason: str, confirmation: Confirmation | None = None
) -> NightFinding:
    series = nominee.series
    regressed = confirmation is not None and verdict == "REGRESSION"
    slower = confirmation.change if confirmation is not None and regressed else nominee.screening.change
    beside = words(nominee.instructions, slower, series.threads) if nominee.metric == "time" else ""
    return NightFinding(
        verdict,
        series.board_id,
        series.name,
        series.series_key,
        nominee.metric,
        nominee.tonight,
        nominee.screening,
        confirmation,
        "; ".join(filter(None, [reason, beside])),
        nominee.instructions,
    )


def _absent(
    database: duckdb.DuckDBPyConnection,
    run_id: str,
    present: dict[str, Series],
    decisions: Sequence[Decision],
    clock: ClockView,
) -> list[NightFinding]:
    """Return a finding for each board and series that recent runs of the same suite measured and this run did not."""
    before = _recent_runs(database, run_id, clock)
    if not before:
        return []
    measured, timed = _series_keys(database, before), _series_keys(database, before, role="timed")
    known = {series.series_key: series for series in all_series(database)}
    since = _started(database, before[-1])
    accepted = {
        decision.series_key for decision in decisions if decision.kind == "accept" and decision.t_utc > since
    }
    missing = [known[key] for key in sorted(timed - set(present)) if key in known and key not in accepted]
    boards_here = {series.board_id for series in present.values()}
    now = LAST_UTC if clock.last else _started(database, run_id)
    findings = [
        NightFinding("OFFLINE", board, board, reason="measured in recent runs, not in this one")
        for board in sorted({series.board_id for series in missing} - boards_here)
        if not quarantined(decisions, board, now)
    ]
    fresh = [
        series for series in present.values() if series.series_key not in measured and series.role == "timed"
    ]
    findings += [_missing(series, fresh) for series in missing if series.board_id in boards_here]
    return findings


def _missing(series: Series, fresh: Sequence[Series]) -> NightFinding:
    """Return the finding for a series that is not measured any more; ``fresh``: series seen for the first time."""
    twin = _twin(series, fresh)
    verdict: NightVerdict = "MISSING"
    reason = "measured in recent runs, not in this one; accept it if it was removed on purpose"
    if twin is not None:
        verdict = "RENAMED"
        reason = f"its identity changed (now {twin.name}, {twin.series_key[:12]}); its history does not go on"
    return NightFinding(verdict, series.board_id, series.name, series.series_key, reason=reason)


def _series_keys(
    database: duckdb.DuckDBPyConnection, run_ids: Sequence[str], *, role: str | None = None
) -> set[str]:
    """Return the keys of all series that some runs measured; ``role``: only with repetitions of that role."""
    marks = ", ".join("?" * len(run_ids))
    query = f"SELECT DISTINCT series_key FROM repetitions WHERE run_id IN ({marks})"
    if role is not None:
        query += " AND role = ?"
    rows = database.execute(query, [*run_ids, *([role] if role else [])]).fetchall()
    return {row[0] for row in rows}


def _twin(missing: Series, fresh: Sequence[Series]) -> Series | None:
    """Return the new series that looks like a missing one: the same label, or else the same method."""
    nearby = [
        series for series in fresh if (series.board_id, series.task) == (missing.board_id, missing.task)
    ]
    for name in ("label", "method"):
        alike = [series for series in nearby if getattr(series, name) == getattr(missing, name)]
        if len(alike) == 1:
            return alike[0]
    return None


def _recent_runs(database: duckdb.DuckDBPyConnection, run_id: str, clock: ClockView) -> list[str]:
    """Return the last runs of the same lab and suite before a run, the newest first."""
    rows = database.execute(
        "SELECT o.run_id FROM runs o, runs t WHERE t.run_id = ? AND o.lab = t.lab AND o.suite = t.suite"
        " AND o.run_id <> t.run_id AND (? OR (o.order_utc, o.run_id) < (t.order_utc, t.run_id))"
        " ORDER BY o.order_utc DESC, o.run_id DESC LIMIT ?",
        [run_id, clock.last, LOOK_BACK],
    ).fetchall()
    return [row[0] for row in rows]


def _started(database: duckdb.DuckDBPyConnection, run_id: str) -> str:
    row = database.execute("SELECT order_utc FROM runs WHERE run_id = ?", [run_id]).fetchone()
    return str(row[0] or "") if row else ""
