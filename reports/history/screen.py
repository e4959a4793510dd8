"""Screen a night: is tonight's value of a series unlike its last nights?

A screen only nominates: single-night rules of any kind fire several times a night on a healthy lab, since bad nights
are real. What it nominates is confirmed the same night on the board (:mod:`tunebench.harness.nightly.gate`), which
removes false alarms; so the screen is set low, and what it costs is confirmations, not trust.

Robust z: distance from the median of the past nights in units of their robust standard deviation
(:func:`tunebench.reports.stats.sample.robust_sd`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunebench.reports.stats.sample import robust_sd

Screened = Literal["ok", "suspect", "better", "learning", "no value"]


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
