"""Compare one method over several boards: per board first, then the geometric mean, with boards as the unit.

Repetitions of different boards are never pooled: a board contributes one ratio, its own Hodges-Lehmann estimate,
however many blocks it ran. What varies from board to board is what the interval speaks of, so it comes from
resampling boards (cluster bootstrap), widened for their small number as in Hesterberg, The American Statistician 69
(2015) 371. Below six boards only the range of the boards is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunebench.reports.stats.distributions import normal_tail, t_quantile
from tunebench.reports.stats.paired import log_ratios
from tunebench.reports.stats.signed_rank import hodges_lehmann

#: Fewest boards for an interval: below, a bootstrap has too few different resamples to be one.
MIN_BOARDS = 6
RESAMPLES = 4000


@dataclass(frozen=True)
class AcrossBoards:
    """A ratio over boards.

    Attributes:
        ratio: geometric mean of the boards' ratios (candidate / baseline).
        low: lower end: of the bootstrap interval, or the smallest board's ratio.
        high: upper end, likewise.
        boards: each board's own ratio, in the order given.
        spread: geometric standard deviation between boards (1 = none); None for one board.
        interval: ``bootstrap`` (95%, over boards) or ``range``.
    """

    ratio: float
    low: float
    high: float
    boards: tuple[float, ...]
    spread: float | None
    interval: Literal["bootstrap", "range"]


def board_ratio(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> float:
    """Return one board's ratio: the Hodges-Lehmann estimate on its own blocks.

    >>> round(board_ratio([2.0, 2.0, 2.2], [1.0, 1.0, 1.1]), 6)
    0.5
    """
    return math.exp(hodges_lehmann(log_ratios(baseline_s, candidate_s)))


def across_boards(ratios: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> AcrossBoards:
    """Return the geometric mean of boards' ratios, with an interval over boards.

    Args:
        ratios: one a board, from :func:`board_ratio`.
        confidence: of the interval.
        seed: of the resampling.

    Raises:
        ValueError: no board, or a ratio that is not positive and finite.

    Examples:
        >>> two = across_boards([0.5, 0.25])
        >>> round(two.ratio, 4), two.low, two.high, two.interval
        (0.3536, 0.25, 0.5, 'range')
        >>> many = across_boards([0.5, 0.45, 0.55, 0.5, 0.48, 0.52, 0.51])
        >>> many.interval, many.low < many.ratio < many.high
        ('bootstrap', True)
    """
    array = np.asarray(ratios, dtype=float)
    if array.ndim != 1 or array.size == 0:
        raise ValueError("across_boards needs at least one board")
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("ratios must be positive and finite")
    logs, n = np.log(array), len(array)
    low, high = float(logs.min()), float(logs.max())
    if n >= MIN_BOARDS:
        rng = np.random.default_rng(seed)
        means = rng.choice(logs, size=(RESAMPLES, n)).mean(axis=1)
        wide = math.sqrt(n / (n - 1)) * t_quantile((1 + confidence) / 2, n - 1)
        tail = normal_tail(wide)
        low, high = (float(end) for end in np.quantile(means, [tail, 1 - tail]))
    return AcrossBoards(
        ratio=math.exp(float(logs.mean())),
        low=math.exp(low),
        high=math.exp(high),
        boards=tuple(array.tolist()),
        spread=math.exp(float(logs.std(ddof=1))) if n > 1 else None,
        interval="bootstrap" if n >= MIN_BOARDS else "range",
    )
