"""Say how small a change the gate would have seen tonight: "nothing found" means little without it.

The screen fires where tonight's median exceeds the past one by a margin that the past nights give. A series whose
nights scatter with standard deviation s (of the logarithm, log-normal) exceeds a margin m with probability p after a
slow-down of ``(1 + m) exp(s z_p) - 1``, z_p the normal quantile: no simulation, and nothing but the nights that the
screen itself went by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

import numpy as np

from tunebench.reports.history.screen import Rule
from tunebench.reports.stats.sample import robust_sd

#: Share of nights in which a change must be seen to count as one that the gate sees.
POWER = 0.8
_QUANTILE = NormalDist().inv_cdf(POWER)
#: A slow-down that is so large is seen in other ways; the number would be an extrapolation.
_LARGEST = 1.0


@dataclass(frozen=True)
class Sight:
    """What the screen would have seen tonight in the time of a run's series.

    Attributes:
        largest: the slow-down (relative) above which none of the series would have hidden it in ``POWER`` of nights;
            None: a series hides even a doubling, or none was judged.
        typical: the same for half of the series.
        judged: series that had enough nights.
        learning: series that had not: nothing is seen in them.
        least_nights, needed: nights that the youngest of those has, and that it needs; None without one.
    """

    largest: float | None
    typical: float | None
    judged: int
    learning: int
    least_nights: int | None = None
    needed: int | None = None

    @property
    def sentence(self) -> str:
        """Return it in words, to stand behind what was found."""
        if not self.judged:
            if not self.learning:
                return "no series was judged"
            have = f" ({self.least_nights} of {self.needed} nights)" if self.least_nights is not None else ""
            return f"nothing can be seen yet: all {self.learning} series are still learning{have}"
        nights = f"in {POWER * 10:.0f} of 10 nights"
        if self.typical is None:
            words = "most series scatter so much that not even a doubled time would have been seen"
        elif self.largest is None:
            words = (
                f"slow-downs above {_percent(self.typical)} would have been seen {nights} in half of the"
                f" {self.judged} series, in others not even a doubled time"
            )
        else:
            words = f"slow-downs above {_percent(self.largest)} would have been seen {nights}"
            if self.judged > 1 and _percent(self.typical) != _percent(self.largest):
                words += f" (in half of the {self.judged} series, those above {_percent(self.typical)})"
        return words + (
            f"; {self.learning} series still learn, nothing is seen in them" if self.learning else ""
        )


def smallest_visible(past: Sequence[float], rule: Rule) -> float | None:
    """Return the least slow-down that the screen nominates with probability ``POWER``, relative.

    Args:
        past: the medians that tonight is held against, in any unit; as many as the rule needs.
        rule: of a metric that is relative and worse when larger.

    Returns:
        None with too few nights, or if not even a doubling is seen: that would be extrapolation.

    >>> round(smallest_visible([1.0] * 10, Rule()), 3)  # nights that are all equal: the rule's own margin decides
    0.027
    """
    values = np.asarray(past, dtype=float)
    if len(values) < max(2, rule.min_nights) or not (values > 0).all():
        return None
    centre = float(np.median(values))
    margin = max(rule.excess, rule.z * max(robust_sd(values) / centre, rule.floor))
    scatter = max(robust_sd(np.log(values)), rule.floor)
    change = math.expm1(math.log1p(margin) + _QUANTILE * scatter)
    return change if change <= _LARGEST else None


def sight_of(pasts: Sequence[Sequence[float]], rule: Rule) -> Sight:
    """Return what the screen sees in series that have these nights behind them."""
    learning = [past for past in pasts if len(past) < rule.min_nights]
    judged = [past for past in pasts if len(past) >= rule.min_nights]
    seen = [smallest_visible(past, rule) for past in judged]
    sizes = [_LARGEST * 2 if size is None else size for size in seen]
    typical = median(sizes) if sizes else None
    return Sight(
        largest=None if not seen or None in seen else max(sizes),
        typical=None if typical is None or typical > _LARGEST else typical,
        judged=len(judged),
        learning=len(learning),
        least_nights=min(map(len, learning)) if learning else None,
        needed=rule.min_nights if learning else None,
    )


def _percent(size: float) -> str:
    """Return a size rounded up, so that nothing is promised that does not hold; with a digit more below 10%.

    >>> _percent(0.0312), _percent(0.1101)
    ('3.2%', '12%')
    """
    return f"{math.ceil(size * 1000 - 1e-9) / 10:.1f}%" if size < 0.1 else f"{math.ceil(size * 100 - 1e-9)}%"
