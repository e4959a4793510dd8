"""Search until the board seconds are spent: propose, measure, keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.harness.search.sampler import Known, propose
from tunebench.harness.search.space import Point, Space
from tunebench.harness.search.state import SearchState
from tunebench.harness.search.trial import Bench
from tunebench.reports.analysis.quantities import Quantity
from tunebench.reports.studies.search.budget import Budget
from tunebench.reports.studies.search.front import best
from tunebench.reports.studies.search.model import Search, Trial

#: Called after each trial with the search so far.
AfterTrial = Callable[[Search], None]
#: So many trials without a value in what is bounded, and none with one, end a search: the board does not tell it.
_ALL_MISSING = 2


@dataclass(frozen=True)
class Goal:
    """What is sought.

    Attributes:
        budget: what points may cost at most and must reach at least.
        aim: what the best point within it is best in.
        board_s_limit: no trial begins that would bring the board's work above it, seconds.
        seed: of the proposals.
    """

    budget: Budget
    aim: Quantity
    board_s_limit: float
    seed: int = 0

    @property
    def needs_energy(self) -> bool:
        """Return whether joules decide anything."""
        return "energy" in (self.aim, *self.budget.quantities)


def run_search(space: Space, goal: Goal, bench: Bench, folder: Path, after_trial: AfterTrial) -> Search:
    """Measure points until the board seconds are spent or all points are known.

    Args:
        space: what may be measured.
        goal: what is sought.
        bench: where it is measured.
        folder: where the search is kept; one that was stopped goes on.
        after_trial: told of each trial, those of an earlier process included.

    Raises:
        UsageError: the folder holds another search, or the board does not tell what the budget bounds.
        Interrupted, BoardLost: the search goes on when the same is asked again.
    """
    state = SearchState(folder, space, bench.board.id, goal.seed)
    with state.held():
        search = Search(
            space.task, bench.board.id, goal.budget, goal.aim, len(space.points()), goal.board_s_limit, ()
        )
        while (point := _next(space, goal, state, search.trials)) is not None:
            number = len(search.trials) + 1
            trial = bench.measure(number, point, space.suite_at(point), state.root_of(number))
            trials = (*search.trials, trial)
            chosen = best(trials, goal.budget, goal.aim)
            search = replace(search, trials=trials, chosen=None if chosen is None else chosen.number)
            after_trial(search)
            _refuse_untold(search)
    return search


def _next(space: Space, goal: Goal, state: SearchState, trials: tuple[Trial, ...]) -> Point | None:
    """Return the point of the next trial, written down; None: the search is at its end."""
    if len(trials) < len(state.points):
        return state.points[len(trials)]
    spent_s = math.fsum(trial.board_s for trial in trials)
    # A trial that is begun is finished; one more may take what the longest took.
    if trials and spent_s + max(trial.board_s for trial in trials) > goal.board_s_limit:
        return None
    known = [Known(point, trial.values) for point, trial in zip(state.points, trials, strict=True)]
    point = propose(space, known, goal.budget, goal.aim, goal.seed)
    if point is not None:
        state.begin(point)
    return point


def _refuse_untold(search: Search) -> None:
    """Refuse to go on where the board does not tell what is asked for, whatever it runs.

    Raises:
        UsageError: names the quantity and the reason.
    """
    if len(search.trials) < _ALL_MISSING:
        return
    for quantity in (search.aim, *search.budget.quantities):
        reasons = {trial.missing.get(quantity) for trial in search.trials if quantity not in trial.values}
        if len(reasons) == 1 and all(quantity not in trial.values for trial in search.trials):
            raise UsageError(f"{search.board_id}: no {quantity} is measured: {next(iter(reasons))}")
