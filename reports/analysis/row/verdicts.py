"""How a method compares with its baseline, quantity by quantity."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunebench.reports.formatting.json_value import INLINE


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of joules; other quantities have none.

    Attributes:
        repeated: from windows of many whole fine-tunings (role ``energy``), not from the timed ones.
    """

    scope: str | None
    source: str | None
    repeated: bool


@dataclass(frozen=True, slots=True)
class ItemPairs:
    """The test items behind a difference of accuracy: how many, and on how many the two methods disagree."""

    items: int | None
    discordant: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing a method with its baseline in one quantity.

    Attributes:
        unit: ``ratio`` (method / baseline) or ``points`` (method - baseline, percentage points).
        verdict: the word after Holm's correction and the A/A control; ``verdict_alone`` is that without correction.
        better: whether the word is good news; None for ``SAME``, ``UNCLEAR`` and ``NO VERDICT``.
        confidence: what the interval from ``low`` to ``high`` guarantees; None for a range.
        delta: what does not matter: a share, or points.
        n: blocks.
        blocks_needed: further blocks until the verdict could be clear; 0 if it is.
        methods: how many methods Holm's correction runs over; ``level`` is what it leaves for this one.
        alpha: what the correction keeps any false claim among them below: 5%; less at a look of a run that stops when it
            is decided.
        limited_by: ``items`` where more blocks would not settle it.
        withheld: whether the A/A control failed, so that no verdict is given.
        reason: one sentence on why the verdict is what it is.
    """

    quantity: str
    unit: str
    kind: str
    origin: Origin | None = field(metadata=INLINE)
    verdict: str
    verdict_alone: str
    better: bool | None
    value: float
    low: float
    high: float
    interval: str
    confidence: float | None
    delta: float
    n: int
    blocks_needed: int
    methods: int
    p_adjusted: float | None
    level: float | None
    adjusted_low: float | None
    adjusted_high: float | None
    pairs: ItemPairs | None = field(metadata=INLINE)
    limited_by: str | None
    withheld: bool = False
    missing: None = None
    reason: str = ""
    alpha: float = 0.05


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A quantity in which a method was not compared with its baseline; ``missing`` says why."""

    quantity: str
    verdict: None = None
    better: None = None
    missing: str = "not measured"
    reason: None = None


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """A comparison of times as a speed-up: ``factor`` is baseline / method, above 1 is faster; ``ratio`` its inverse."""

    factor: float
    low: float
    high: float
    ratio: float
    interval: str
    confidence: float | None
    verdict: str
    verdict_alone: str
    reason: str
    withheld: bool
    n: int
    blocks_needed: int
    delta: float


@dataclass(frozen=True, slots=True)
class EnergyRatio:
    """Joules of a fine-tuning over the baseline's, where energy repetitions measured both."""

    ratio: float
    scope: str
    source: str | None
    low: float
    high: float
    interval: str
    confidence: float | None
    verdict: str
    n: int
    blocks_needed: int
    delta: float
