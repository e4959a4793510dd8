"""Say before anything is measured whether a verdict is possible, and from how many blocks on.

An exact test of n blocks has a smallest p-value: every block on the same side. Holm's procedure tests the nearest of m
claims at alpha / m. Where the smallest p-value is larger than that, no data whatever can give a verdict.
"""

from __future__ import annotations

from typing import Literal

from tunebench.reports.stats.paired import MIN_BLOCKS
from tunebench.reports.stats.signed_rank import min_values

Quantity = Literal["time", "energy", "memory", "accuracy"]

#: Probability of any false claim among the methods of one family.
ALPHA = 0.05
#: Resamples behind an accuracy; the Monte Carlo error of a 2.5% tail is then 0.35 points of probability.
RESAMPLES = 2000


def smallest_p(blocks: int, quantity: Quantity = "time") -> float:
    """Return the smallest p-value that so many blocks can have; 1 below six blocks, where nothing is tested.

    Time, energy and memory are judged by a signed-rank test: 2 * 0.5**n, whatever its ranks are capped at. An accuracy is
    judged by a bootstrap over blocks and items, whose resamples are the limit: 2 / (resamples + 1) at best. (Where the
    methods never disagree, or disagree alike in every block and item, its interval has no width and p is 0.)

    >>> smallest_p(6), smallest_p(8), smallest_p(5)
    (0.03125, 0.0078125, 1.0)
    >>> round(smallest_p(6, "accuracy"), 6)
    0.001
    """
    if blocks < MIN_BLOCKS:
        return 1.0
    return 2.0 / (RESAMPLES + 1) if quantity == "accuracy" else 2 * 0.5**blocks


def verdict_possible(blocks: int, claims: int, quantity: Quantity = "time", *, alpha: float = ALPHA) -> bool:
    """Tell whether any data of so many blocks could give one of ``claims`` methods a verdict.

    >>> [verdict_possible(blocks, 3) for blocks in (3, 6, 7, 8)]
    [False, False, True, True]
    >>> verdict_possible(6, 3, "accuracy")
    True
    """
    return claims > 0 and smallest_p(blocks, quantity) <= alpha / claims * (1 + 1e-9)


def fewest_blocks(claims: int, *, alpha: float = ALPHA) -> int:
    """Return the fewest blocks whose signed-rank test can give one of ``claims`` methods a verdict.

    What allows one verdict allows all: the claims that follow are tested at larger levels.

    >>> [fewest_blocks(claims) for claims in (1, 2, 3, 4, 6, 25)]
    [6, 7, 7, 8, 8, 10]
    >>> fewest_blocks(3, alpha=0.005)
    11
    """
    return max(MIN_BLOCKS, min_values(1 - alpha / max(1, claims)))
