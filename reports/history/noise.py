"""How far a lab's values lie apart although nothing changed: by series, and within blocks.

There are two noises. *Repetition noise* is the spread within a night; more repetitions average it away. *Night noise*
is the spread of the nights' medians beyond that; nothing averages it away within one night, which is why the gate
confirms with pairs of the same night.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np

from tunebench.reports.history.confirm import PAIRS, confirm
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.gating import DELTAS, RULES
from tunebench.reports.history.screen import POWER, screen
from tunebench.reports.history.series import Night, Series, all_series, nights_of, usable
from tunebench.reports.stats.sample import robust_sd

#: A reviewer's number of blocks; the interval of ten is exact and its width is what limits a comparison.
COMPARED_BLOCKS = 10
#: Fewer nights do not tell how nights scatter. Of normal values, the robust spread of 3 lies below a fourth of the true
#: one in a quarter of all cases (5: below a half, 10: below two thirds; 20,000 draws each, numpy, seed 0).
MIN_NIGHTS = 10
#: Fewer blocks do not tell how far one varies.
MIN_BLOCKS = 6

#: Nights before the first one that the replay judges.
_LEARNING = 10
_TRIALS = 400
#: Changes that are tried for the smallest one that is seen, relative.
_STEPS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.10, 0.12, 0.15, 0.20, 0.30, 0.50)


@dataclass(frozen=True)
class SeriesNoise:
    """One series' noise, as standard deviations of the logarithm (about: relative).

    Attributes:
        repetition: within a night; None without two repetitions in any night.
        night: of the nights' medians, less what the repetition noise explains; None from fewer than ``MIN_NIGHTS``.
        nights: nights in the newest segment.
        smallest: smallest slow-down that the gate sees the first night with probability ``POWER``; None: none
            of those tried, or not known.
        reason: why ``smallest`` is not known; None where it is, or where none of those tried is seen.
        nominated: how many of its stored nights the screen nominates.
        judged: nights that the screen could judge.
    """

    series: Series
    repetition: float | None
    night: float | None
    nights: int
    smallest: float | None
    nominated: int
    judged: int
    reason: str | None = None


@dataclass(frozen=True)
class PairedNoise:
    """The A/A control of one board and task: the same method twice a block.

    Attributes:
        n: blocks with both.
        spread: robust standard deviation of the log ratio of one block; None from fewer than ``MIN_BLOCKS``.
        bias: median log ratio; far from zero means that the order or the name decides.
    """

    board_id: str
    task: str
    n: int
    spread: float | None
    bias: float

    @property
    def half_width(self) -> float | None:
        """Return the half-width of an interval of ``COMPARED_BLOCKS`` blocks (normal approximation)."""
        return None if self.spread is None else 1.96 * self.spread / math.sqrt(COMPARED_BLOCKS)


def series_noise(
    database: duckdb.DuckDBPyConnection, decisions: Sequence[Decision] = (), *, seed: int = 0
) -> list[SeriesNoise]:
    """Estimate the time noise of every series with at least two nights, by board, task and label."""
    timed = all_series(database)
    history = nights_of(database, [series.series_key for series in timed], "time", decisions)
    within = _within(database)
    estimates = []
    for series in timed:
        nights = usable(history.get(series.series_key, []), last=10_000)
        if len(nights) >= 2:
            estimates.append(_noise_of(series, nights, within.get(series.series_key), seed))
    return estimates


def _noise_of(series: Series, nights: Sequence[Night], repetition: float | None, seed: int) -> SeriesNoise:
    values = [night.value for night in nights if night.value is not None]
    per_night = float(np.median([night.n for night in nights]))
    nominated, judged = _replay(values)
    reason = None
    if len(values) < MIN_NIGHTS:
        reason = f"{len(values)} nights; {MIN_NIGHTS} are needed to tell how nights scatter"
    elif repetition is None:
        reason = "one repetition a night: how far repetitions lie apart is not known"
    between = None if len(values) < MIN_NIGHTS else _night_noise(values, repetition, per_night)
    smallest = None
    if reason is None and between is not None and repetition is not None:
        smallest = smallest_seen(repetition, between, per_night, seed=seed)
    return SeriesNoise(series, repetition, between, len(values), smallest, nominated, judged, reason)


def _within(database: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Return, by series, the standard deviation of log seconds within a night (robust: the median over nights)."""
    rows = database.execute(
        "SELECT series_key, median(s) FROM (SELECT series_key, run_id, stddev_samp(ln(wall_s)) s FROM repetitions"
        " WHERE role = 'timed' AND outcome = 'ok' AND verdict <> 'invalid' AND wall_s > 0"
        " GROUP BY series_key, run_id HAVING count(*) > 1) GROUP BY series_key"
    ).fetchall()
    return {key: float(value) for key, value in rows}


def _night_noise(values: Sequence[float], repetition: float | None, per_night: float) -> float:
    """Return the noise between nights: the medians' spread less the repetitions' part (variance about pi/2n)."""
    total = robust_sd(np.log(np.asarray(values)))
    explained = (repetition or 0.0) * math.sqrt(math.pi / 2 / max(per_night, 1.0))
    return math.sqrt(max(total**2 - explained**2, 0.0))


def _replay(values: Sequence[float]) -> tuple[int, int]:
    """Screen every stored night that has enough nights before it; return the numbers (nominated, judged)."""
    states = [
        screen(values[max(0, i - 30) : i], values[i], RULES["time"]).state
        for i in range(_LEARNING, len(values))
    ]
    return states.count("suspect"), len(states)


def smallest_seen(repetition: float, night: float, per_night: float, *, seed: int = 0) -> float | None:
    """Return the smallest slow-down that the gate detects on the first night with probability ``POWER``.

    Simulated with the gate's own arithmetic on log-normal noise of the given sizes.
    """
    rng = np.random.default_rng(seed)
    n = max(1, round(per_night))
    median_noise = math.sqrt(night**2 + repetition**2 * math.pi / 2 / n)
    for change in _STEPS:
        detected = 0
        for _ in range(_TRIALS):
            past = np.exp(rng.normal(0, median_noise, 30))
            tonight = float(np.exp(rng.normal(0, median_noise)) * (1 + change))
            if screen(past.tolist(), tonight, RULES["time"]).state != "suspect":
                continue
            baseline = np.exp(rng.normal(0, repetition, PAIRS))
            slower = np.exp(rng.normal(0, repetition, PAIRS)) * (1 + change)
            result = confirm(
                baseline.tolist(), slower.tolist(),
                past_centre=1.0, delta=DELTAS["time"], excess=RULES["time"].excess,
            )  # fmt: skip
            detected += result.verdict == "REGRESSION"
        if detected >= POWER * _TRIALS:
            return change
    return None


def paired_noise(database: duckdb.DuckDBPyConnection) -> list[PairedNoise]:
    """Estimate the noise of a comparison within blocks, from every A/A control below the store."""
    rows = database.execute(
        "SELECT a.board_id, a.task, list(ln(a.wall_s / b.wall_s)) FROM repetitions a JOIN repetitions b ON"
        " a.run_id = b.run_id AND a.board_id = b.board_id AND a.task = b.task AND a.method = b.method"
        " AND a.block = b.block AND a.role = b.role AND a.aa_control AND NOT coalesce(b.aa_control, false)"
        " WHERE a.role = 'timed' AND a.outcome = 'ok' AND b.outcome = 'ok' AND a.verdict <> 'invalid'"
        " AND b.verdict <> 'invalid' AND a.wall_s > 0 AND b.wall_s > 0 GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    estimates = []
    for board_id, task, ratios in rows:
        logs = np.asarray(ratios, dtype=float)
        spread = robust_sd(logs) if len(logs) >= MIN_BLOCKS else None
        estimates.append(PairedNoise(board_id, task, len(logs), spread, float(np.median(logs))))
    return estimates
