"""Set the smallest weights to zero in rounds, more in each, and train between them: dynamic pruning.

The share grows by the cubic schedule of Zhu and Gupta, To Prune, or Not to Prune, arXiv 1710.01878: fast at first, while
there are many small weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import STEPS, Key
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.train import trained
from tunebench.workloads.compress.transforms import prune_magnitude

KEYS = {"ratio": Key(None, 0, 1), "rounds": Key(3, 2, 100, integer=True)}
#: its steps are spent between its rounds: the chain trains nothing behind it
OWN_STEPS = True


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Prune and train in turn; the last round leaves the given share of zeros.

    Raises:
        TransformError: fewer steps than rounds.
    """
    rounds, steps = keys["rounds"], keys[STEPS]
    if context.source is None or steps < rounds:
        raise TransformError(
            f"prune gradual trains between its {rounds} rounds: give it at least as many 'steps'"
        )
    for done in range(1, rounds + 1):
        share = keys["ratio"] * (1 - (1 - done / rounds) ** 3)
        state = prune_magnitude.apply(state, {"ratio": share}, context)
        of_round = steps * done // rounds - steps * (done - 1) // rounds
        state = trained(
            state,
            context.source,
            steps=of_round,
            batch=context.batch,
            rate=context.rate,
            seed=context.seed + done,
        )
    return state
