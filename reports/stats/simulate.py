"""Simulate campaigns on a drifting board: what the statistics are tried on before they are believed.

One simulated campaign runs M methods for B blocks on one board, one repetition after the other. Each repetition
takes ``ratio of its method x warm-up x jitter x (outlier?)``:

- **warm-up**: the board slows down by ``warm_up`` in all, exponentially with a time constant of ``warm_up_reps``;
- **jitter**: exp of a stationary AR(1) process over the repetitions in the order in which they ran, with marginal
  standard deviation ``jitter`` and correlation ``phi`` between neighbours: slow wander and fast noise in one;
- **outliers**: each repetition is, with probability ``outliers``, slower by a factor drawn uniformly from
  ``outlier_low`` to ``outlier_high`` (something else ran on the board).

The order inside a block is random, as in a real campaign; ``order="sequential"`` runs all blocks of the first method,
then all of the second, to show what that does. The figures are those of research on boards in labs; they are made
up, and rank methods rather than predict a lab's own rates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tunebench.reports.stats.paired import Comparison, ComparisonVerdict, compare
from tunebench.reports.stats.signed_rank import Floats

Order = Literal["blocks", "sequential"]


@dataclass(frozen=True)
class DriftingBoard:
    """The disturbances of a board, as shares of the true time.

    Attributes:
        warm_up: how much slower it is when warm.
        warm_up_reps: after so many repetitions 63% of the warm-up is done.
        jitter: marginal standard deviation of the AR(1) process.
        phi: its correlation from one repetition to the next.
        outliers: share of repetitions that something else slows down.
        outlier_low: by at least this factor,
        outlier_high: at most by this one.
    """

    warm_up: float = 0.04
    warm_up_reps: float = 10.0
    jitter: float = 0.015
    phi: float = 0.6
    outliers: float = 0.03
    outlier_low: float = 1.05
    outlier_high: float = 1.5


#: The board of the acceptance figures: warm-up 4%, AR(1) 1.5%, 3% outliers.
TYPICAL = DriftingBoard()


@dataclass(frozen=True)
class Rates:
    """The verdicts of many simulated campaigns of one comparison.

    Attributes:
        campaigns: how many.
        blocks: blocks of each.
        verdicts: verdict -> share of campaigns.
        coverage: share whose interval held the true ratio.
        width: median width of the interval, as log ratio.
    """

    campaigns: int
    blocks: int
    verdicts: dict[ComparisonVerdict, float]
    coverage: float
    width: float

    def rate(self, *names: ComparisonVerdict) -> float:
        """Return the share of campaigns that ended with any of these verdicts."""
        return sum(self.verdicts.get(name, 0.0) for name in names)


def simulate(
    ratios: Sequence[float],
    *,
    blocks: int,
    campaigns: int,
    seed: int,
    board: DriftingBoard = TYPICAL,
    order: Order = "blocks",
) -> Floats:
    """Simulate the times of many campaigns on a drifting board.

    Args:
        ratios: true time of each method, in units of the baseline's.
        blocks: blocks of a campaign.
        campaigns: how many to simulate, independently.
        seed: equal seeds give equal times.
        board: how the board misbehaves.
        order: random within blocks, or one method after the other.

    Returns:
        Array of shape (campaigns, methods, blocks): seconds of each method in each block.

    Raises:
        ValueError: no method, no block, or a ratio that is not positive.

    >>> times_s = simulate([1.0, 1.05], blocks=10, campaigns=3, seed=1)
    >>> times_s.shape, bool((times_s > 0.9).all())
    ((3, 2, 10), True)
    """
    if not ratios or blocks < 1 or campaigns < 1 or min(ratios) <= 0:
        raise ValueError("simulate needs methods with positive ratios, at least one block and one campaign")
    rng = np.random.default_rng(seed)
    methods = len(ratios)
    total = methods * blocks
    method, block = _running_order(rng, campaigns, methods, blocks, order)
    level = 1 + board.warm_up * (1 - np.exp(-np.arange(total) / board.warm_up_reps))
    seconds = np.asarray(ratios)[method] * level * np.exp(_ar1(rng, campaigns, total, board))
    hit = rng.random((campaigns, total)) < board.outliers
    seconds *= np.where(hit, rng.uniform(board.outlier_low, board.outlier_high, (campaigns, total)), 1.0)
    times: Floats = np.empty((campaigns, methods, blocks))
    times[np.arange(campaigns)[:, None], method, block] = seconds
    return times


def rates(
    ratio: float,
    *,
    blocks: int,
    campaigns: int,
    seed: int,
    delta: float = 0.02,
    board: DriftingBoard = TYPICAL,
    methods: int = 2,
    order: Order = "blocks",
    judge: Callable[..., Comparison] = compare,
) -> Rates:
    """Return the verdicts of :func:`~tunebench.reports.stats.paired.compare` over simulated campaigns of two methods.

    Args:
        ratio: the candidate's true time over the baseline's; 1 = A/A.
        blocks: blocks of a campaign.
        campaigns: how many.
        seed: of the simulation.
        delta: the band of the verdicts.
        board: how the board misbehaves.
        methods: how many methods share a block; the others are as fast as the baseline.
        order: as in :func:`simulate`.
        judge: what compares two lists of paired seconds.

    >>> rates(1.3, blocks=8, campaigns=20, seed=1).verdicts
    {'SLOWER': 1.0}
    """
    others = [1.0] * (methods - 2)
    times = simulate(
        [1.0, ratio, *others], blocks=blocks, campaigns=campaigns, seed=seed, board=board, order=order
    )
    comparisons = [judge(campaign[0], campaign[1], delta=delta) for campaign in times]
    names = [comparison.verdict for comparison in comparisons]
    return Rates(
        campaigns=campaigns,
        blocks=blocks,
        verdicts={name: names.count(name) / campaigns for name in sorted(set(names))},
        coverage=sum(comparison.low <= ratio <= comparison.high for comparison in comparisons) / campaigns,
        width=float(np.median([np.log(comparison.high / comparison.low) for comparison in comparisons])),
    )


def variants(board: DriftingBoard = TYPICAL) -> dict[str, DriftingBoard]:
    """Return the board and variants that each change one disturbance, to see which assumption the figures depend on.

    >>> list(variants())
    ['typical', 'white jitter', 'slow wander', 'warm-up 12%', 'outliers 10%', 'jitter 3%']
    """
    return {
        "typical": board,
        "white jitter": replace(board, phi=0.0),
        "slow wander": replace(board, phi=0.95),
        "warm-up 12%": replace(board, warm_up=0.12),
        "outliers 10%": replace(board, outliers=0.10),
        "jitter 3%": replace(board, jitter=0.03),
    }


def _running_order(
    rng: np.random.Generator, campaigns: int, methods: int, blocks: int, order: Order
) -> tuple[np.ndarray, np.ndarray]:
    """Return (method, block) of each repetition in the order in which they run: arrays of (campaigns, M * B)."""
    if order == "sequential":
        method = np.tile(np.repeat(np.arange(methods), blocks), (campaigns, 1))
        return method, np.tile(np.arange(blocks), (campaigns, methods))
    shuffled = rng.random((campaigns, blocks, methods)).argsort(axis=2)
    block = np.repeat(np.arange(blocks), methods)
    return shuffled.reshape(campaigns, -1), np.tile(block, (campaigns, 1))


def _ar1(rng: np.random.Generator, campaigns: int, total: int, board: DriftingBoard) -> Floats:
    """Return a stationary AR(1) process: it starts in its marginal distribution."""
    shocks = rng.normal(0.0, board.jitter * np.sqrt(1 - board.phi**2), (campaigns, total))
    series: Floats = np.empty((campaigns, total))
    series[:, 0] = rng.normal(0.0, board.jitter, campaigns)
    for step in range(1, total):
        series[:, step] = board.phi * series[:, step - 1] + shocks[:, step]
    return series
