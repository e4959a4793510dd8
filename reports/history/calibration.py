"""What a lab's gate cries about by mistake, and what it can see: its noise, from its own results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

from tunebench.reports.history import decisions, index
from tunebench.reports.history.gating import RULES
from tunebench.reports.history.noise import PairedNoise, SeriesNoise, paired_noise, series_noise
from tunebench.reports.history.screen import screen
from tunebench.reports.history.series import Night, nights_of, opened, usable
from tunebench.reports.stores.address import Address

SCHEMA = "tunebench.calibration/1"
#: Nights that must have been judged before a month is told from them: a third of it.
MIN_JUDGED_NIGHTS = 10


class FalseAlarms(NamedTuple):
    """Nominations of the gate in a month without any change, and how many of them turn red.

    Attributes:
        nominations_at_most: the upper end of the 95% interval: few nights that saw none do not promise none.
    """

    nominations_a_month: float
    false_alarms_a_month: float
    nominations_at_most: float


@dataclass(frozen=True)
class Drill:
    """The result of a drill: each series' newest night, made worse by ``change`` (relative), is screened.

    Attributes:
        caught: series that the screen nominated.
        learning: series with too few nights to be judged.
        missed: names of the others.
    """

    change: float
    caught: int
    learning: int
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    """The noise of a lab.

    Attributes:
        aa: the A/A controls.
        alarms: None with too few nights that the screen could judge; ``reason`` says so.
        drill: None if none was asked for.
    """

    series: tuple[SeriesNoise, ...]
    aa: tuple[PairedNoise, ...]
    alarms: FalseAlarms | None
    drill: Drill | None

    @property
    def reason(self) -> str | None:
        """Return the reason why there are no alarms."""
        return None if self.alarms else _too_few(self.series)


class SeriesJson(TypedDict):
    """One series in the JSON of ``tunebench calibrate``."""

    series_key: str
    name: str
    repetition: float | None
    night: float | None
    nights: int
    smallest: float | None
    reason: str | None
    nominated: int
    judged: int


class PairedJson(TypedDict):
    """One A/A control in the JSON of ``tunebench calibrate``."""

    board_id: str
    task: str
    n: int
    spread: float | None
    bias: float
    half_width: float | None


class DrillJson(TypedDict):
    """The drill in the JSON of ``tunebench calibrate``."""

    change: float
    caught: int
    learning: int
    missed: list[str]


class CalibrationJson(TypedDict):
    """What ``tunebench calibrate --json`` prints."""

    schema: str
    series: list[SeriesJson]
    aa: list[PairedJson]
    nominations_a_month: float | None
    nominations_a_month_at_most: float | None
    false_alarms_a_month: float | None
    reason: str | None
    drill: DrillJson | None


def calibrate(store: Path | Address, drill: float | None = None) -> Calibration:
    """Index a store of results and estimate its noise.

    Args:
        store: root of the results, or a store that hosts share.
        drill: relative change to try on every newest night; None: none.

    Raises:
        RunNotFound: no run below the store.
    """
    report = index.build(store)
    made, _ = decisions.read(store)
    with opened(report.path) as database:
        noise = series_noise(database, made)
        pairs = paired_noise(database)
        drilled = None
        if drill is not None:
            history = nights_of(database, [estimate.series.series_key for estimate in noise], "time", made)
            drilled = _drill(noise, history, drill)
    return Calibration(tuple(noise), tuple(pairs), false_alarms_a_month(noise), drilled)


def false_alarms_a_month(noise: Sequence[SeriesNoise]) -> FalseAlarms | None:
    """Return nominations per month, from a replay of the stored nights, and how many of them turn red by mistake.

    A nominated night turns red only if ten pairs of the same build differ by more than delta at the bound: for equal
    builds at most 1.1 % of confirmations, by the bound's own confidence. None where no series has had
    ``MIN_JUDGED_NIGHTS`` judged nights: a month is not told from two of them.
    """
    if max((estimate.judged for estimate in noise), default=0) < MIN_JUDGED_NIGHTS:
        return None
    judged = sum(estimate.judged for estimate in noise)
    nominated = sum(estimate.nominated for estimate in noise)
    month = 30 * len(noise)
    # Values of one night go together (a bad board): only its nights are independent, so the interval goes by them.
    nights = max(estimate.judged for estimate in noise)
    share = nominated / judged
    most = month * _upper_end(share * nights, nights)
    return FalseAlarms(month * share, month * share * (1 - 0.9892578125), most)


def _upper_end(successes: float, n: int) -> float:
    """Return the upper end of the 95% interval of a share (Clopper & Pearson, Biometrika 26 (1934) 404).

    >>> round(_upper_end(0, 20), 2)  # none of twenty
    0.17
    """
    from scipy.stats import beta

    return 1.0 if successes >= n else float(beta.ppf(0.975, successes + 1, n - successes))


def _too_few(noise: Sequence[SeriesNoise]) -> str:
    """Return why a month cannot be told."""
    judged = max((estimate.judged for estimate in noise), default=0)
    stored = max((estimate.nights for estimate in noise), default=0)
    if not judged:
        return f"no series has more than 10 nights yet ({stored} at most); the first 10 are what others are held against"
    return (
        f"only {judged} of {stored} nights could be judged, the first 10 are what they are held against;"
        f" a month is not told from fewer than {MIN_JUDGED_NIGHTS}"
    )


def as_json_value(calibration: Calibration) -> CalibrationJson:
    """Return a calibration for scripts."""
    alarms, drill = calibration.alarms, calibration.drill
    return {
        "schema": SCHEMA,
        "series": [_series_json(estimate) for estimate in calibration.series],
        "aa": [_paired_json(estimate) for estimate in calibration.aa],
        "nominations_a_month": alarms.nominations_a_month if alarms else None,
        "nominations_a_month_at_most": alarms.nominations_at_most if alarms else None,
        "false_alarms_a_month": alarms.false_alarms_a_month if alarms else None,
        "reason": calibration.reason,
        "drill": None if drill is None else _drill_json(drill),
    }


def _series_json(estimate: SeriesNoise) -> SeriesJson:
    return {
        "series_key": estimate.series.series_key,
        "name": estimate.series.name,
        "repetition": estimate.repetition,
        "night": estimate.night,
        "nights": estimate.nights,
        "smallest": estimate.smallest,
        "reason": estimate.reason,
        "nominated": estimate.nominated,
        "judged": estimate.judged,
    }


def _paired_json(estimate: PairedNoise) -> PairedJson:
    return {
        "board_id": estimate.board_id,
        "task": estimate.task,
        "n": estimate.n,
        "spread": estimate.spread,
        "bias": estimate.bias,
        "half_width": estimate.half_width,
    }


def _drill_json(drill: Drill) -> DrillJson:
    return {
        "change": drill.change,
        "caught": drill.caught,
        "learning": drill.learning,
        "missed": list(drill.missed),
    }


def _drill(noise: Sequence[SeriesNoise], history: Mapping[str, Sequence[Night]], change: float) -> Drill:
    """Make the newest night of every series worse by ``change`` and screen it against the nights before it."""
    caught = learning = 0
    missed: list[str] = []
    for estimate in noise:
        nights = usable(history[estimate.series.series_key], last=31)
        values = [night.value for night in nights if night.value is not None]
        state = screen(values[:-1], values[-1] * (1 + change), RULES["time"]).state
        if state == "suspect":
            caught += 1
        elif state == "learning":
            learning += 1
        else:
            missed.append(estimate.series.name)
    return Drill(change, caught, learning, tuple(missed))
