"""Which trials of a search nothing beats, which is best within the budget, and which comes nearest to it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tunebench.reports.studies.search.budget import Budget
from tunebench.reports.studies.search.model import Search, Trial


def cost(quantity: str, values: Mapping[str, float]) -> float:
    """Return a value as a cost: less is better, none is worst.

    >>> cost("accuracy", {"accuracy": 0.9}), cost("time", {})
    (-0.9, inf)
    """
    value = values.get(quantity)
    if value is None:
        return math.inf
    return -value if quantity == "accuracy" else value


def front(trials: Sequence[Trial], quantities: Sequence[str]) -> list[int]:
    """Return the numbers of the trials that no other beats in one quantity and equals or beats in all.

    A trial that lacks a value stands in no front.
    """
    known = {
        trial.number: [cost(quantity, trial.values) for quantity in quantities]
        for trial in trials
        if all(quantity in trial.values for quantity in quantities)
    }
    return [
        number for number, costs in known.items() if not any(_beats(other, costs) for other in known.values())
    ]


def _beats(costs: Sequence[float], others: Sequence[float]) -> bool:
    pairs = list(zip(costs, others, strict=True))
    return all(mine <= theirs for mine, theirs in pairs) and any(mine < theirs for mine, theirs in pairs)


def rank(trial: Trial, budget: Budget, aim: str) -> tuple[float, float, float]:
    """Return what trials are ordered by, the best first: distance from the budget, then the aim, then time."""
    return budget.excess(trial.values), cost(aim, trial.values), cost("time", trial.values)


def best(trials: Sequence[Trial], budget: Budget, aim: str) -> Trial | None:
    """Return the best trial within the budget; None: there is none, or none whose aim was measured."""
    able = [trial for trial in trials if budget.excess(trial.values) == 0 and aim in trial.values]
    return min(able, key=lambda trial: rank(trial, budget, aim), default=None)


def nearest(trials: Sequence[Trial], budget: Budget, aim: str) -> Trial | None:
    """Return the trial that misses the budget by least; None: none has all values that it bounds."""
    able = [trial for trial in trials if math.isfinite(budget.excess(trial.values))]
    return min(able, key=lambda trial: rank(trial, budget, aim), default=None)


def within(search: Search) -> list[int]:
    """Return the numbers of the trials within the budget."""
    return [trial.number for trial in search.trials if search.budget.excess(trial.values) == 0]
