"""The best quality within a budget, from a curve of recorded points, and budgets that several runs can share.

Nothing between two points is guessed: what counts is the best point that was reached within the budget, and before the
first one what the run began with. The best is chosen by the test items themselves, so it is no estimate for new ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

#: Further budgets would make a table that nobody reads.
MOST_BUDGETS = 4
_STEPS = (1.0, 2.0, 5.0, 10.0)


def best_within(
    values: Sequence[float], qualities: Sequence[float], budget: float, before: float | None = None
) -> float | None:
    """Return the best quality of the points whose value (seconds, joules) lies within the budget.

    Args:
        values: of the points, not falling.
        qualities: of the points, more is better.
        budget: what may be spent.
        before: quality at the start, which costs nothing; None: not known.

    Returns:
        None where nothing was reached within the budget and the quality at the start is not known.

    Raises:
        ValueError: lengths differ, or values fall.

    >>> best_within([10.0, 20.0, 30.0], [0.8, 0.9, 0.85], 30.0)
    0.9
    >>> best_within([10.0, 20.0, 30.0], [0.8, 0.9, 0.85], 5.0, before=0.7)
    0.7
    >>> best_within([10.0], [0.6], 10.0, before=0.7), best_within([10.0], [0.6], 5.0)
    (0.7, None)
    """
    if len(values) != len(qualities):
        raise ValueError(f"{len(values)} values for {len(qualities)} qualities")
    if any(later < earlier for earlier, later in itertools.pairwise(values)):
        raise ValueError("values must not fall along a curve")
    reached = [quality for value, quality in zip(values, qualities, strict=True) if value <= budget]
    return max([*reached, *([] if before is None else [before])], default=None)


def round_budgets(spent: Iterable[float], most: int = MOST_BUDGETS) -> list[float]:
    """Return budgets of one, two or five times a power of ten, each just enough for some of the runs.

    >>> round_budgets([62.2, 334.3, 920.9, 61.0])
    [100.0, 500.0, 1000.0]
    >>> round_budgets([0.001, 0.01, 0.1, 1.0, 10.0, 0.0])
    [0.001, 0.01, 1.0, 10.0]
    """
    return _spread({_round_up(value) for value in spent if value > 0}, most)


def memory_budgets(peaks_b: Iterable[float], most: int = MOST_BUDGETS) -> list[float]:
    """Return budgets of bytes as boards have them: powers of two, each just enough for some of the runs.

    >>> [budget / 2**20 for budget in memory_budgets([609 * 2**20, 1098 * 2**20, 1024 * 2**20])]
    [1024.0, 2048.0]
    """
    return _spread({2.0 ** math.ceil(math.log2(peak)) for peak in peaks_b if peak > 0}, most)


def _round_up(value: float) -> float:
    scale = 10.0 ** math.floor(math.log10(value))
    # Powers of ten are not exact below one: what is a budget by itself must not become the next one.
    return next(float(f"{step * scale:.3g}") for step in _STEPS if value <= step * scale * (1 + 1e-9))


def _spread(budgets: set[float], most: int) -> list[float]:
    """Return budgets in order; of more than so many, the ends and what lies evenly between them."""
    ordered = sorted(budgets)
    if len(ordered) <= most:
        return ordered
    places = [round(at * (len(ordered) - 1) / (most - 1)) for at in range(most)]
    return [ordered[place] for place in places]
