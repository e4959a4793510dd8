"""Stop a campaign when its comparisons are decided, without paying for it in false verdicts.

Who looks at the data again and again and stops at the first verdict is wrong more often than each look says. So the
looks are fixed beforehand, by numbers of blocks, and share one budget: look k of K may spend ``a_k`` of it, with
``a_1 + ... + a_K = alpha``, the first one half, each further one half of what is left. At a look Holm's procedure runs
over the methods at ``a_k`` (:func:`tunebench.reports.stats.holm.compare_all`), exact as ever. By Bonferroni's inequality
the probability of any false difference at any look is at most alpha, of any false SAME at most alpha / 2, whatever the
looks have to do with each other. (Boundaries of Pocock, or of O'Brien and Fleming, take the correlation between looks
from a model of independent blocks; a board drifts.) Spending functions: Lan and DeMets, Biometrika 70 (1983) 659.

The first look comes where its share can carry one verdict at all. Large effects end there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunebench.reports.stats.attainable import fewest_blocks
from tunebench.reports.stats.holm import Adjusted, compare_all

#: Probability of any false difference over all looks and methods.
ALPHA_OVER_LOOKS = 0.01
#: Each look has so many times the blocks of the one before.
GROWTH = 1.5
#: The last one at least so many times: a look that sees little more than the one before is not worth its share.
LEAST_GROWTH = 1.25
#: Blocks at which a campaign ends undecided, unless it is told otherwise.
MAX_BLOCKS = 30


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the data: after how many blocks, and what it may spend of the budget."""

    blocks: int
    alpha: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a simulated campaign ended.

    Attributes:
        blocks: after how many blocks.
        looks: the results of each look that was taken, in order.
    """

    blocks: int
    looks: Sequence[Sequence[Adjusted]]

    @property
    def results(self) -> Sequence[Adjusted]:
        """Return what the campaign ended with: the results of its last look."""
        return self.looks[-1]


def plan_looks(
    claims: int, max_blocks: int = MAX_BLOCKS, *, alpha: float = ALPHA_OVER_LOOKS
) -> tuple[Look, ...]:
    """Return the looks of a campaign that compares ``claims`` methods with their baseline.

    Raises:
        ValueError: so few blocks allow no verdict; the message says how many do.

    >>> [(look.blocks, look.alpha) for look in plan_looks(3)]
    [(11, 0.005), (17, 0.0025), (30, 0.0025)]
    >>> [look.blocks for look in plan_looks(3, 12)]    # a last look that comes soon after another takes its place
    [12]
    >>> plan_looks(3, 9)
    Traceback (most recent call last):
        ...
    ValueError: 9 blocks allow no verdict; the first one is possible after 10
    """
    counts = _counts(fewest_blocks(claims, alpha=alpha / 2), max_blocks)
    if len(counts) < 2:
        fewest = fewest_blocks(claims, alpha=alpha)
        if max_blocks < fewest:
            raise ValueError(
                f"{max_blocks} blocks allow no verdict; the first one is possible after {fewest}"
            )
        return (Look(max_blocks, alpha),)
    shares = [alpha / 2**place for place in range(1, len(counts))]
    return tuple(Look(*pair) for pair in zip(counts, [*shares, shares[-1]], strict=True))


def _counts(first: int, last: int) -> list[int]:
    """Return the numbers of blocks, from ``first``, growing, to ``last``, which takes the place of one shortly before."""
    counts = []
    blocks = first
    while blocks < last:
        counts.append(blocks)
        blocks = math.ceil(blocks * GROWTH)
    if counts and last < counts[-1] * LEAST_GROWTH:
        counts.pop()
    return [*counts, last]


def is_decided(results: Iterable[Adjusted]) -> bool:
    """Tell whether each comparison has a clear verdict."""
    return all(result.verdict not in ("UNCLEAR", "NO VERDICT") for result in results)


def run_until_decided(
    baseline_s: Sequence[float],
    candidates_s: Sequence[Sequence[float]],
    looks: Sequence[Look],
    *,
    delta: float,
) -> Stopped:
    """Take the looks one after the other at values that are all there: what simulations do, campaigns as they measure.

    Args:
        baseline_s: the baseline's values, one a block; at least as many as the last look has blocks.
        candidates_s: those of each candidate.
        looks: from :func:`plan_looks`.
        delta: relative difference that does not matter.

    >>> base = [10.0 + 0.1 * (block % 4) for block in range(30)]
    >>> fast = [value / 2 for value in base]
    >>> stopped = run_until_decided(base, [fast], plan_looks(1), delta=0.02)
    >>> stopped.blocks, stopped.results[0].verdict
    (9, 'FASTER')
    """
    taken: list[Sequence[Adjusted]] = []
    for look in looks:
        base = baseline_s[: look.blocks]
        candidates = [values[: look.blocks] for values in candidates_s]
        taken.append(compare_all([base] * len(candidates), candidates, delta=delta, alpha=look.alpha))
        if is_decided(taken[-1]):
            break
    return Stopped(look.blocks, taken)
