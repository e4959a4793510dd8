"""Propose the next point by optuna: each row once, then a tree-structured Parzen estimator over what was measured.

Nothing of optuna is kept: every proposal is made from the trials so far, with a seed of its own, so a search that was
stopped asks what it would have asked.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.harness.errors import UsageError
from tunebench.harness.search.space import Point, Space
from tunebench.reports.studies.search.budget import Budget
from tunebench.reports.studies.search.front import cost

#: So often a proposal that was measured before is asked for anew; then one that was not is drawn.
_TRIES = 8
#: What a point costs that misses the budget, or has no value; only the order matters.
_MISSED, _FAILED = 1e6, 1e9


@dataclass(frozen=True)
class Known:
    """A point that was measured, and its values."""

    point: Point
    values: Mapping[str, float]


def check_optuna() -> None:
    """Refuse a search where optuna is not installed.

    Raises:
        UsageError: says how to install it.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("a search needs optuna: pip install 'tunebench[search]'") from None


def propose(space: Space, known: Sequence[Known], budget: Budget, aim: str, seed: int) -> Point | None:
    """Return the next point to measure, never one that was; None: all were.

    Args:
        space: what may be proposed.
        known: trials so far, in their order.
        budget: points within it are sought.
        aim: quantity that the best of them is best in.
        seed: of the search.
    """
    points = space.points()
    # Trials of a space that was larger are kept, and tell nothing of this one.
    known = [trial for trial in known if trial.point in set(points)]
    measured = {trial.point for trial in known}
    unmeasured = [point for point in points if point not in measured]
    if not unmeasured:
        return None
    tried_rows = {trial.point.values[0] for trial in known}
    for row in space.rows:
        if (space.row_dimension, row) not in tried_rows:
            of_row = [point for point in points if point.values[0][1] == row]
            return of_row[len(of_row) // 2]
    for attempt in range(_TRIES):
        point = _ask(space, known, budget, aim, seed=_seed(seed, len(known), attempt))
        if point not in measured:
            return point
    return random.Random(_seed(seed, len(known), _TRIES)).choice(unmeasured)  # noqa: S311 - a draw, no secret


def _seed(seed: int, number: int, attempt: int) -> int:
    return (seed * 1_000_003 + number * 101 + attempt) % 2**32


def _ask(space: Space, known: Sequence[Known], budget: Budget, aim: str, *, seed: int) -> Point:
    """Return what optuna proposes after these trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = _distributions(space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = optuna.samplers.TPESampler(multivariate=True, n_startup_trials=1, seed=seed)
        study = optuna.create_study(sampler=sampler)
        for trial in known:
            study.add_trial(
                optuna.trial.create_trial(
                    params=_places(space, trial.point),
                    distributions=distributions,
                    value=_loss(trial.values, budget, aim),
                )
            )
        places = study.ask(distributions).params
    row = space.rows[places[space.row_dimension]]
    values = [(name, space.values[name][places[name]]) for name in space.dimensions_of(row)]
    return Point(((space.row_dimension, row), *values))


def _distributions(space: Space) -> dict[str, Any]:
    """Return optuna's form of the space: the place of the row, which has no order, and of each dimension's value.

    Every dimension stands in every trial, so that what one row teaches of the epochs counts for the others.
    """
    from optuna.distributions import CategoricalDistribution, IntDistribution

    rows = CategoricalDistribution(list(range(len(space.rows))))
    return {
        space.row_dimension: rows,
        **{name: IntDistribution(0, len(values) - 1) for name, values in space.values.items()},
    }


def _places(space: Space, point: Point) -> dict[str, int]:
    """Return the place of each value; of a dimension that means nothing there the first."""
    given = point.as_dict()
    return {
        space.row_dimension: space.rows.index(str(given[space.row_dimension])),
        **{name: values.index(given[name]) if name in given else 0 for name, values in space.values.items()},
    }


def _loss(values: Mapping[str, float], budget: Budget, aim: str) -> float:
    """Return what optuna is to make small: the aim within the budget, above all of these the distance from it."""
    excess, value = budget.excess(values), cost(aim, values)
    if not math.isfinite(excess) or not math.isfinite(value):
        return _FAILED
    return value if excess == 0 else _MISSED * (1 + min(excess, 100.0))
