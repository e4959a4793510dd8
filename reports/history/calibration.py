"""How noisy a lab is, from its own results: what its gate will cry about by mistake, and what it can see.

Two noises are told apart. *Repetition noise* is the spread within a night; more repetitions average it away. *Night
noise* is the spread of the nights' medians beyond that; nothing averages it away within one night, which is why the
gate confirms with pairs of the same night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tunebench.reports.history import decisions, index
from tunebench.reports.history.confirm import PAIRS, confirm
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.gating import DELTAS, RULES
from tunebench.reports.history.screen import screen
from tunebench.reports.history.series import Series, all_series, nights_of, opened, usable

_MAD_SCALE = 1.4826
#: Nights before the first one that the replay judges.
_LEARNING = 10
_TRIALS = 400
#: Changes that are tried for the smallest one that is seen, relative.
_STEPS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.30, 0.50)
POWER = 0.8


@dataclass(frozen=True)
class SeriesNoise:
    """One series' noise, as standard deviations of the logarithm (about: relative).

    Attributes:
        repetition: within a night; None without two repetitions in any night.
        night: of the nights' medians, less what the repetition noise explains.
        nights: nights in the newest segment.
        smallest: smallest slow-down that the gate sees the first night with probability ``POWER``; None: none
            of those tried.
        nominated: share of its stored nights that the screen nominates.
        judged: nights that the screen could judge.
    """

    series: Series
    repetition: float | None
    night: float | None
    nights: int
    smallest: float | None
    nominated: int
    judged: int


@dataclass(frozen=True)
class PairedNoise:
    """The A/A control of one board and task: the same method twice a block.

    Attributes:
        n: blocks with both.
        spread: robust standard deviation of the log ratio of one block.
        bias: median log ratio; far from zero means that the order or the name decides.
    """

    board_id: str
    task: str
    n: int
    spread: float
    bias: float


def series_noise(
    database: duckdb.DuckDBPyConnection, decisions: Sequence[Decision] = (), *, seed: int = 0
) -> list[SeriesNoise]:
    """The time noise of every series with at least two nights, by board, task and label."""
    every = all_series(database)
    past = nights_of(database, [one.series_key for one in every], "time", decisions)
    within = _within(database)
    found = []
    for one in every:
        kept = usable(past.get(one.series_key, []), last=10_000)
        values = [night.value for night in kept if night.value is not None]
        if len(values) < 2:
            continue
        repetition = within.get(one.series_key)
        per_night = float(np.median([night.n for night in kept]))
        night = _night_noise(values, repetition, per_night)
        nominated, judged = _replay(values)
        smallest = smallest_seen(repetition or 0.0, night, per_night, seed=seed)
        found.append(SeriesNoise(one, repetition, night, len(values), smallest, nominated, judged))
    return found


def _within(database: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Series -> pooled standard deviation of log seconds within a night (robust: median over nights)."""
    rows = database.execute(
        "SELECT series_key, median(s) FROM (SELECT series_key, run_id, stddev_samp(ln(wall_s)) s FROM repetitions"
        " WHERE role = 'timed' AND outcome = 'ok' AND verdict <> 'invalid' AND wall_s > 0"
        " GROUP BY series_key, run_id HAVING count(*) > 1) GROUP BY series_key"
    ).fetchall()
    return {key: float(value) for key, value in rows}


def _night_noise(values: Sequence[float], repetition: float | None, per_night: float) -> float:
    """Spread of the medians less the share of the repetitions (the median of n has variance about pi/2n)."""
    logs = np.log(np.asarray(values))
    total = _MAD_SCALE * float(np.median(np.abs(logs - np.median(logs))))
    explained = (repetition or 0.0) * math.sqrt(math.pi / 2 / max(per_night, 1.0))
    return math.sqrt(max(total**2 - explained**2, 0.0))


def _replay(values: Sequence[float]) -> tuple[int, int]:
    """What the screen says of every stored night that has enough nights before it."""
    states = [
        screen(values[max(0, i - 30) : i], values[i], RULES["time"]).state
        for i in range(_LEARNING, len(values))
    ]
    return states.count("suspect"), len(states)


def smallest_seen(repetition: float, night: float, per_night: float, *, seed: int = 0) -> float | None:
    """Smallest slow-down that screen and confirmation see the first night with probability ``POWER``.

    Simulated with the gate's own arithmetic on log-normal noise of the given sizes.
    """
    rng = np.random.default_rng(seed)
    n = max(1, round(per_night))
    median_noise = math.sqrt(night**2 + repetition**2 * math.pi / 2 / n)
    for change in _STEPS:
        seen = 0
        for _ in range(_TRIALS):
            past = np.exp(rng.normal(0, median_noise, 30))
            tonight = float(np.exp(rng.normal(0, median_noise)) * (1 + change))
            if screen([float(one) for one in past], tonight, RULES["time"]).state != "suspect":
                continue
            baseline = np.exp(rng.normal(0, repetition, PAIRS))
            slower = np.exp(rng.normal(0, repetition, PAIRS)) * (1 + change)
            result = confirm(
                [float(one) for one in baseline], [float(one) for one in slower],
                past_centre=1.0, delta=DELTAS["time"], excess=RULES["time"].excess,
            )  # fmt: skip
            seen += result.verdict == "REGRESSION"
        if seen >= POWER * _TRIALS:
            return change
    return None


def paired_noise(database: duckdb.DuckDBPyConnection) -> list[PairedNoise]:
    """The noise of a comparison within blocks, from every A/A control below the store."""
    rows = database.execute(
        "SELECT a.board_id, a.task, list(ln(a.wall_s / b.wall_s)) FROM repetitions a JOIN repetitions b ON"
        " a.run_id = b.run_id AND a.board_id = b.board_id AND a.task = b.task AND a.method = b.method"
        " AND a.block = b.block AND a.role = b.role AND a.aa_control AND NOT coalesce(b.aa_control, false)"
        " WHERE a.role = 'timed' AND a.outcome = 'ok' AND b.outcome = 'ok' AND a.verdict <> 'invalid'"
        " AND b.verdict <> 'invalid' AND a.wall_s > 0 AND b.wall_s > 0 GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    found = []
    for board_id, task, ratios in rows:
        values = np.asarray(ratios, dtype=float)
        centre = float(np.median(values))
        spread = _MAD_SCALE * float(np.median(np.abs(values - centre)))
        found.append(PairedNoise(board_id, task, len(values), spread, centre))
    return found


def false_alarms_a_month(noise: Sequence[SeriesNoise]) -> tuple[float, float] | None:
    """Nominations a month as replayed on the stored nights, and the rate of false reds that they leave.

    A nominated night turns red only if ten pairs of the same build differ by more than delta at the bound: for equal
    builds at most 1.1 % of confirmations, by the bound's own confidence. None without a judged night.
    """
    judged = sum(one.judged for one in noise)
    if not judged:
        return None
    nominated = 30 * len(noise) * sum(one.nominated for one in noise) / judged
    return nominated, nominated * (1 - 0.9892578125)


#: A reviewer's number of blocks; the interval of ten is exact and its width is what limits a comparison.
_BLOCKS = 10


def calibrate(store: Path, drill: float | None = None) -> dict[str, Any]:
    """Everything the command prints, as plain values."""
    report = index.build(store)
    made, _ = decisions.read(store)
    with opened(report.path) as database:
        noise = series_noise(database, made)
        pairs = paired_noise(database)
        drilled = None
        if drill is not None:
            past = nights_of(database, [one.series.series_key for one in noise], "time", made)
            drilled = _drill(noise, past, drill)
    alarms = false_alarms_a_month(noise)
    return {
        "schema": "tunebench.calibration/1",
        "series": [_row(one) for one in noise],
        "aa": [_pair_row(one) for one in pairs],
        "nominations_a_month": alarms[0] if alarms else None,
        "false_alarms_a_month": alarms[1] if alarms else None,
        "reason": None if alarms else "no series has more than 10 nights yet",
        "drill": drilled,
    }


def _row(one: SeriesNoise) -> dict[str, Any]:
    value = asdict(one)
    del value["series"]
    return {"series_key": one.series.series_key, "name": one.series.name, **value}


def _pair_row(one: PairedNoise) -> dict[str, Any]:
    """With the half-width of a ten-block interval (normal approximation): what a comparison can tell apart."""
    return {**asdict(one), "half_width": 1.96 * one.spread / math.sqrt(_BLOCKS)}


def _drill(noise: list[SeriesNoise], past: dict[str, Any], change: float) -> dict[str, Any]:
    """Hold every newest night, made worse, against the nights before it."""
    caught = learning = 0
    missed: list[str] = []
    for one in noise:
        kept = [
            night.value for night in usable(past[one.series.series_key], last=31) if night.value is not None
        ]
        state = screen(kept[:-1], kept[-1] * (1 + change), RULES["time"]).state
        caught += state == "suspect"
        learning += state == "learning"
        if state not in ("suspect", "learning"):
            missed.append(one.series.name)
    return {"change": change, "caught": caught, "learning": learning, "missed": missed}
