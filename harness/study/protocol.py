"""Protocol 2: the rules by which a study chooses rates and steps, and what it may claim. Pure functions on numbers.

Written down in docs/protocol.md; the report cites that page. In short: every method is searched with the same rates,
runs and steps, on pretraining bases that no suite measures on, on folds of the fine-tuning pool alone; the smallest rate
within one standard error of the best is taken, never one at which a run collapsed; steps stop where doubling them adds
nothing; the candidate and its margin are committed before the test set is seen, once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tunebench.workloads.prepare.bases import FIRST_DEVELOPMENT_BASE

VERSION = 2

#: Fewest folds and development bases of a search.
FOLDS, BASES = 2, 2
#: Learning rates: 0.001 times powers of two, 7.8e-6 to 8.2; such products are exact, so equal rates are equal numbers.
LADDER = tuple(0.001 * 2.0**power for power in range(-7, 14))
#: How many rates a search begins with, for every method; more are added for all where one method needs them.
FIRST_RATES = 5
#: A run whose score is below this share of the best run's on the same base and fold has collapsed, or has learnt nothing.
COLLAPSE_SHARE = 0.5
#: Doubling the steps that adds less (of a score 0..1) is no gain.
PLATEAU = 0.003
#: Points by which a candidate may be worse and is not inferior, of each study; a suite commits its own.
MARGINS: Mapping[str, float] = {"lorae": 1.0, "skip2-lora": 1.5}

#: Track -> keys of training of every workload (:mod:`tunebench.workloads.tasks.training`); cosine warms up over 5%.
TRACKS: Mapping[str, Mapping[str, Any]] = {
    "main": {"optimizer": "adamw", "schedule": "cosine", "clip": 1.0},
    "paper": {"optimizer": "sgd", "schedule": "constant", "clip": None},
}
#: Track -> the rate that the first window is centred at.
CENTRES = {"main": 0.004, "paper": 0.032}

#: What a run was done on: a base and a fold of it.
Cell = Hashable
#: A run's score, 0..1; None: it diverged.
Score = float | None
#: rate -> cell -> score
Scores = Mapping[float, Mapping[Cell, Score]]


def development_bases(count: int = BASES) -> range:
    """Return the bases that rates are chosen on: none of them is ever in a suite."""
    return range(FIRST_DEVELOPMENT_BASE, FIRST_DEVELOPMENT_BASE + count)


def first_window(track: str) -> tuple[float, ...]:
    """Return the rates that a search begins with, the same for every method.

    >>> first_window("main")
    (0.001, 0.002, 0.004, 0.008, 0.016)
    """
    middle = LADDER.index(CENTRES[track])
    return LADDER[middle - FIRST_RATES // 2 : middle + FIRST_RATES // 2 + 1]


@dataclass(frozen=True)
class Choice:
    """What the rule makes of one method's scores.

    Attributes:
        rate: the chosen one; None: ``reason`` says why there is none.
        best: the rate of the highest mean; None where every rate is out.
        mean: mean score at the chosen rate.
        best_mean, error: mean and standard error at the best rate.
        out: rates at which a run collapsed.
        missing: rates that must be scored before the choice stands: neighbours of the best and of the chosen one.
    """

    rate: float | None
    best: float | None = None
    mean: float | None = None
    best_mean: float | None = None
    error: float | None = None
    out: tuple[float, ...] = ()
    missing: tuple[float, ...] = ()
    reason: str = ""

    @property
    def stands(self) -> bool:
        """Return whether a rate is chosen and both its neighbours, and the best one's, were scored."""
        return self.rate is not None and not self.missing and not self.reason


def collapsed_rates(scores: Scores) -> list[float]:
    """Return the rates that are out, ascending: any run at them diverged or collapsed.

    >>> collapsed_rates({0.1: {"a": 0.9, "b": 0.8}, 0.2: {"a": 0.91, "b": 0.1}, 0.4: {"a": None, "b": 0.9}})
    [0.2, 0.4]
    """
    tops: dict[Cell, float] = {}
    for cells in scores.values():
        for cell, score in cells.items():
            if _known(score):
                tops[cell] = max(tops.get(cell, 0.0), float(score or 0.0))
    return sorted(
        rate
        for rate, cells in scores.items()
        if any(
            not _known(score) or float(score or 0.0) < COLLAPSE_SHARE * tops[cell]
            for cell, score in cells.items()
        )
    )


def choose(scores: Scores, ladder: Sequence[float] = LADDER) -> Choice:
    """Return the smallest rate within one standard error of the best, of those at which no run collapsed.

    The standard error is that of the best rate's mean over bases and folds, after each base and fold was freed of its own
    level (its mean over the rates that are in): that one fold is harder than another is no error of comparing rates.

    Args:
        scores: of all rates that were run, each with the same bases and folds.
        ladder: all rates that there are, ascending; an end of it has one neighbour.

    Raises:
        ValueError: rates were run on other bases or folds, or on none, or are not on the ladder.

    Examples:
        >>> made = choose({0.001: {"a": 0.90, "b": 0.88}, 0.002: {"a": 0.95, "b": 0.92}, 0.004: {"a": 0.94, "b": 0.94}})
        >>> made.best, made.rate, made.missing
        (0.004, 0.002, (0.008,))
    """
    cells = {frozenset(of_rate) for of_rate in scores.values()}
    if len(cells) != 1 or not next(iter(cells)):
        raise ValueError("every rate must be scored on the same bases and folds, at least one")
    if strangers := [rate for rate in scores if rate not in ladder]:
        raise ValueError(f"rates that are not on the ladder: {strangers}")
    out = collapsed_rates(scores)
    inside = {rate: scores[rate] for rate in sorted(scores) if rate not in out}
    if not inside:
        lowest = ladder.index(min(scores))
        below = (ladder[lowest - 1],) if lowest else ()
        reason = "" if below else "at least one run collapsed at every rate"
        return Choice(None, out=tuple(out), missing=below, reason=reason)
    means = {rate: _mean([float(score or 0.0) for score in runs.values()]) for rate, runs in inside.items()}
    top = max(means.values())
    best = min(rate for rate, mean in means.items() if mean >= top - _TOLERANCE)
    error = _standard_error(inside, best)
    rate = min(rate for rate, mean in means.items() if mean >= top - error - _TOLERANCE)
    missing = sorted({near for at in (best, rate) for near in _neighbours(at, ladder) if near not in scores})
    return Choice(
        rate, best, means[rate], means[best], error, tuple(out), tuple(missing), _edge(best, rate, ladder)
    )


_TOLERANCE = 1e-12


def _edge(best: float, rate: float, ladder: Sequence[float]) -> str:
    """Return why a choice does not stand that has a neighbour less: nothing tells whether a method learns there."""
    for name, at in (("best", best), ("chosen", rate)):
        if at in (ladder[0], ladder[-1]):
            return f"the {name} rate, {at:g}, is an end of the ladder"
    return ""


def _neighbours(rate: float, ladder: Sequence[float]) -> list[float]:
    at = ladder.index(rate)
    return [ladder[near] for near in (at - 1, at + 1) if 0 <= near < len(ladder)]


def _standard_error(inside: Scores, best: float) -> float:
    """Return the standard error of the best rate's mean, cells freed of their level; 0 for a single cell."""
    cells = list(inside[best])
    if len(cells) < 2:
        return 0.0
    levels = {cell: _mean([float(runs[cell] or 0.0) for runs in inside.values()]) for cell in cells}
    freed = [float(inside[best][cell] or 0.0) - levels[cell] for cell in cells]
    middle = _mean(freed)
    variance = sum((value - middle) ** 2 for value in freed) / (len(freed) - 1)
    return math.sqrt(variance / len(freed))


def _known(score: Score) -> bool:
    return score is not None and math.isfinite(score)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def to_score_next(by_method: Mapping[str, Scores], ladder: Sequence[float] = LADDER) -> list[float]:
    """Return rates that every method must still be scored at: a neighbour that one of them lacks is scored for all.

    So all methods have the same rates and the same number of runs, whichever needed them.
    """
    wanted: set[float] = set()
    for scores in by_method.values():
        wanted.update(rate for rate in choose(scores, ladder).missing)
    return sorted(wanted)


@dataclass(frozen=True)
class Plateau:
    """Where more steps add nothing.

    Attributes:
        steps: the fewest for which doubling adds less than :data:`PLATEAU`; None: not reached by what was run.
        gains: steps -> what doubling them added.
    """

    steps: int | None
    gains: Mapping[int, float] = field(default_factory=dict)


def plateau(scores: Mapping[int, Score], least: float = PLATEAU) -> Plateau:
    """Return the plateau of one method from its mean scores at doubled numbers of steps.

    Means over bases and folds, each of them 0..1; None: a run diverged, so what came before it is no plateau either.

    >>> plateau({72: 0.700, 144: 0.790, 288: 0.792}).steps
    144

    Raises:
        ValueError: a number of steps is not twice the one before.
    """
    counts = sorted(scores)
    if any(later != 2 * earlier for earlier, later in pairwise(counts)):
        raise ValueError(f"numbers of steps must double, got {counts}")
    gains: dict[int, float] = {}
    steps = None
    for earlier, later in pairwise(counts):
        before, after = scores[earlier], scores[later]
        if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
            steps = None
            continue
        gains[earlier] = after - before
        if gains[earlier] >= least - _TOLERANCE:
            steps = None
        elif steps is None:
            steps = earlier
    return Plateau(steps, gains)


def steps_for_all(by_method: Mapping[str, Mapping[int, Score]]) -> int | None:
    """Return the steps that all methods get: the slowest method's plateau; None where one has not reached it.

    >>> steps_for_all({"ft-all": {72: 0.80, 144: 0.80}, "lorae": {72: 0.70, 144: 0.79, 288: 0.791}})
    144
    """
    reached = [plateau(scores).steps for scores in by_method.values()]
    known = [steps for steps in reached if steps is not None]
    return max(known) if known and len(known) == len(reached) else None
