"""Screen a night: is tonight's value of a series unlike its last nights, and how small a change would it have seen?

A screen only nominates: single-night rules of any kind fire several times a night on a healthy lab, since bad nights
are real. What it nominates is confirmed the same night on the board (:mod:`tunebench.harness.nightly.gate`), which
removes false alarms; so the screen is set low, and what it costs is confirmations, not trust.

Robust z: distance from the median of the past nights in units of their robust standard deviation
(:func:`tunebench.reports.stats.sample.robust_sd`).

Its sight: the screen fires where tonight's median exceeds the past one by a margin that the past nights give. A series
whose nights scatter with standard deviation s (of the logarithm, log-normal) exceeds a margin m with probability p after
a slow-down of ``(1 + m) exp(s z_p) - 1``, z_p the normal quantile: no simulation, and nothing but the nights that the
screen itself went by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Literal

import numpy as np

from tunebench.reports.stats.sample import robust_sd

Screened = Literal["ok", "suspect", "better", "learning", "no value"]

#: Share of nights in which a change must be seen to count as one that the gate sees.
POWER = 0.8
_QUANTILE = NormalDist().inv_cdf(POWER)
#: A slow-down that is so large is seen in other ways; the number would be an extrapolation.
_LARGEST = 1.0


@dataclass(frozen=True)
class Rule:
    """The limits beyond which a night is suspect.

    Attributes:
        z: robust distance above which it is.
        excess: and by how much it must be worse, relative (absolute where ``absolute``).
        min_nights: with fewer past nights the series is learning: nothing is nominated.
        worse: ``up`` if larger is worse (time, energy, memory), ``down`` if smaller is (accuracy).
        absolute: differences in the metric's own unit instead of relative ones (accuracy, 0-1).
        floor: smallest spread assumed, relative (absolute where ``absolute``): ties must not make z infinite.
    """

    z: float = 2.5
    excess: float = 0.025
    min_nights: int = 10
    worse: Literal["up", "down"] = "up"
    absolute: bool = False
    floor: float = 0.002


@dataclass(frozen=True)
class Screening:
    """The result of screening one value.

    Attributes:
        change: tonight against the median of the past, relative (absolute where the rule says so); > 0 is larger.
        z: robust distance, signed so that > 0 is worse.
        n: past nights that it was compared with.
    """

    state: Screened
    change: float | None
    z: float | None
    n: int


def screen(past: Sequence[float], tonight: float | None, rule: Rule) -> Screening:
    """Compare tonight's value with the past nights.

    >>> screen([1.00, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0], 1.10, Rule()).state
    'suspect'
    >>> screen([1.0] * 10, 1.02, Rule()).state
    'ok'
    >>> screen([1.0] * 3, 2.0, Rule()).state
    'learning'
    """
    if tonight is None:
        return Screening("no value", None, None, len(past))
    values = np.asarray(past, dtype=float)
    if len(values) < max(1, rule.min_nights):
        return Screening("learning", None, None, len(values))
    centre = float(np.median(values))
    scale = 1.0 if rule.absolute else abs(centre)
    if scale == 0:
        return Screening("learning", None, None, len(values))
    spread = max(robust_sd(values) / scale, rule.floor)
    change = (tonight - centre) / scale
    worse = change if rule.worse == "up" else -change
    z = worse / spread
    if z > rule.z and worse > rule.excess:
        return Screening("suspect", change, z, len(values))
    if z < -rule.z and worse < -rule.excess:
        return Screening("better", change, z, len(values))
    return Screening("ok", change, z, len(values))


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
    smallest_changes = [smallest_visible(past, rule) for past in judged]
    sizes = [_LARGEST * 2 if size is None else size for size in smallest_changes]
    typical = median(sizes) if sizes else None
    return Sight(
        largest=None if not smallest_changes or None in smallest_changes else max(sizes),
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
