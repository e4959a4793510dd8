"""Hold a change of time against the instructions of the same repetitions: did the work grow, or only the time it takes?

Instructions in user space hardly move with heat, clock and neighbours, so they tell a slower build from a slower board.
They never change a verdict: a build may be slower by cache misses or by kernel time at equal instructions.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

#: Counts of one program differ by less than this from run to run (Weaver, Terpstra and Moore, ISPASS 2013: well below
#: 1% for retired instructions), and a change that the gate nominates is more than twice as large.
SAME = 0.01
#: Fewer past nights with counts tell nothing.
MIN_NIGHTS = 3
#: Instructions that rose by this share of the time's change explain it.
_EXPLAINS = 0.5


def words(change: float | None, time_change: float | None, threads: int = 1) -> str:
    """Say what a change of instructions (relative, more is > 0) says of a slow-down; empty where nothing can be said.

    >>> words(0.001, 0.071)
    'same instructions (+0.1%), more time: look at clock, heat, memory'
    >>> words(0.069, 0.071)
    'more instructions, too (+6.9%): the work itself has grown'
    """
    if change is None or time_change is None or time_change <= 0:
        return ""
    figure = f"{change:+.1%}"
    if abs(change) <= SAME:
        return f"same instructions ({figure}), more time: look at clock, heat, memory"
    if change < 0:
        return f"fewer instructions ({figure}) in more time: other work than before, or work that waits"
    if change >= _EXPLAINS * time_change:
        waits = "" if threads <= 1 else ", or threads that wait for each other by turning round"
        return f"more instructions, too ({figure}): the work itself has grown{waits}"
    return f"more instructions ({figure}), but less than the time has grown"


def change_of(past: Sequence[float], tonight: float | None) -> float | None:
    """Return tonight's instructions against the median of past nights, relative; None where there are too few counts.

    >>> change_of([100.0, 101.0, 100.0], 110.0)
    0.1
    """
    if tonight is None or len(past) < MIN_NIGHTS or median(past) <= 0:
        return None
    return round(tonight / median(past) - 1, 6)


def change_of_pairs(pinned: Sequence[float], tonight: Sequence[float]) -> float | None:
    """Return the median change from one build's instructions to the other's over pairs of one night; None: too few."""
    ratios = [new / old - 1 for old, new in zip(pinned, tonight, strict=False) if old > 0]
    return round(median(ratios), 6) if len(ratios) >= MIN_NIGHTS else None
