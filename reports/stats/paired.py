"""Compare values paired by block: interval, verdict, blocks that are still needed. Pure functions on plain arrays.

The unit of replication is the repetition, the unit of pairing the block. Comparisons work on paired log ratios, one a
block: Hodges-Lehmann shift (median of the Walsh averages) with the exact interval that inverts the Wilcoxon
signed-rank test, its ranks capped at half of n so that one outlier does not decide (see
:mod:`tunebench.reports.stats.signed_rank` and docs/statistics.md). No distribution-free 95% interval exists below six
pairs: there the verdict is withheld.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tunebench.reports.stats.signed_rank import (
    Floats,
    claim_p_values,
    half,
    hodges_lehmann,
    min_values,
    signed_rank_interval,
)

ComparisonVerdict = Literal["FASTER", "SLOWER", "SAME", "UNCLEAR", "NO VERDICT"]
IntervalKind = Literal["wilcoxon", "range"]

#: Fewest pairs (or values) for which a two-sided distribution-free 95% interval exists: 2 * 0.5**6 = 0.031.
MIN_BLOCKS = 6
#: `blocks_needed` never exceeds this: beyond it, a difference this small is not resolved.
MAX_BLOCKS_NEEDED = 999


@dataclass(frozen=True)
class Comparison:
    """The result of comparing a candidate's times with its baseline's.

    Attributes:
        ratio: candidate / baseline, geometric, Hodges-Lehmann; > 1 is slower.
        low: lower end of the interval, on the same scale.
        high: upper end.
        verdict: against the band from 1 / (1 + delta) to 1 + delta.
        n: pairs (blocks).
        blocks_needed: estimated number of *further* blocks until the verdict can be clear; 0 = it is clear.
        delta: the half-width of the band, relative.
        interval: ``wilcoxon`` (exact, at ``confidence``) or ``range`` (smallest and largest ratio seen; below
            six blocks there is no 95% interval).
        confidence: the coverage the interval guarantees; None for a range.
        p_outside: p-value of the claim that the difference exceeds the band; what Holm's procedure works on.
        p_inside: p-value of the claim that it does not.
    """

    ratio: float
    low: float
    high: float
    verdict: ComparisonVerdict
    n: int
    blocks_needed: int
    delta: float
    interval: IntervalKind
    confidence: float | None
    p_outside: float = 1.0
    p_inside: float = 1.0


@dataclass(frozen=True)
class Difference:
    """The difference between a candidate's values and its baseline's, in their own unit.

    Attributes:
        shift: candidate - baseline, Hodges-Lehmann.
        low: lower end of the interval.
        high: upper end.
        n: pairs (blocks).
        interval: ``wilcoxon`` (exact, at ``confidence``; conservative with ties) or ``range`` (below six blocks).
        confidence: the coverage the interval guarantees; None for a range.
    """

    shift: float
    low: float
    high: float
    n: int
    interval: IntervalKind
    confidence: float | None


def compare(
    baseline_s: Sequence[float],
    candidate_s: Sequence[float],
    *,
    delta: float,
    confidence: float = 0.95,
) -> Comparison:
    """Compare two methods on values paired by block.

    Args:
        baseline_s: positive values (seconds, joules, bytes) of the baseline, one a block.
        candidate_s: the candidate's, in the same order of blocks.
        delta: relative difference that does not matter, e.g. 0.02.
        confidence: coverage of the interval.

    Returns:
        The ratio with its interval, and a verdict: FASTER or SLOWER if the interval lies wholly outside the
        band of +-delta, SAME if wholly inside, UNCLEAR otherwise, NO VERDICT below six blocks.

    Raises:
        ValueError: lengths differ, there is no pair, a value is not positive and finite, or delta is not.

    Examples:
        >>> base = [10.0, 10.2, 9.9, 10.1, 10.3, 10.0]
        >>> fast = [5.0, 5.1, 5.0, 5.0, 5.2, 5.0]
        >>> result = compare(base, fast, delta=0.02)
        >>> result.verdict, round(result.ratio, 3), result.n, result.blocks_needed
        ('FASTER', 0.5, 6, 0)
        >>> compare(base[:3], fast[:3], delta=0.02).verdict    # too few blocks
        'NO VERDICT'
        >>> compare(base, base, delta=0.02).verdict
        'SAME'
    """
    ratios = log_ratios(baseline_s, candidate_s)
    check_delta(delta)
    band = math.log1p(delta)
    shift, n = hodges_lehmann(ratios), len(ratios)
    interval = centre_interval(ratios, confidence=confidence) if n >= MIN_BLOCKS else None
    if interval is None:
        low, high = float(ratios.min()), float(ratios.max())
        verdict: ComparisonVerdict = "NO VERDICT"
        needed = max(1, max(MIN_BLOCKS, min_values(confidence)) - n)
    else:
        low, high = interval
        verdict = judge(low, high, band)
        needed = further_blocks(shift, (high - low) / 2, band, n) if verdict == "UNCLEAR" else 0
    p_outside, p_inside = claim_p_values(ratios, band, cap=half(n)) if n >= MIN_BLOCKS else (1.0, 1.0)
    return Comparison(
        ratio=math.exp(shift),
        low=math.exp(low),
        high=math.exp(high),
        verdict=verdict,
        n=n,
        blocks_needed=needed,
        delta=delta,
        interval="range" if interval is None else "wilcoxon",
        confidence=None if interval is None else confidence,
        p_outside=p_outside,
        p_inside=p_inside,
    )


def difference(
    baseline: Sequence[float], candidate: Sequence[float], *, confidence: float = 0.95
) -> Difference:
    """Compare plain differences (of accuracies, say) paired by block, with the interval of :func:`compare`.

    Raises:
        ValueError: lengths differ, there is no pair, or a value is not finite.

    Examples:
        >>> result = difference([0.90] * 6, [0.91, 0.89, 0.92, 0.90, 0.91, 0.93])
        >>> round(result.shift, 3), round(result.low, 3), round(result.high, 3), result.interval
        (0.01, -0.01, 0.03, 'wilcoxon')
        >>> difference([0.9, 0.9], [0.8, 0.9]).interval    # too few blocks
        'range'
    """
    base, other = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    if base.ndim != 1 or base.shape != other.shape:
        raise ValueError(f"values must be paired by block: got {base.shape} and {other.shape}")
    if base.size == 0:
        raise ValueError("no block holds both methods: nothing to compare")
    if not (np.isfinite(base).all() and np.isfinite(other).all()):
        raise ValueError("values must be finite")
    shifts = other - base
    interval = centre_interval(shifts, confidence=confidence) if len(shifts) >= MIN_BLOCKS else None
    low, high = interval or (float(shifts.min()), float(shifts.max()))
    return Difference(
        shift=hodges_lehmann(shifts),
        low=low,
        high=high,
        n=len(shifts),
        interval="wilcoxon" if interval else "range",
        confidence=confidence if interval else None,
    )


def log_ratios(baseline: Sequence[float], candidate: Sequence[float]) -> Floats:
    """Return ln(candidate / baseline) of each pair.

    >>> [round(float(value), 3) for value in log_ratios([1.0, 2.0], [2.0, 2.0])]
    [0.693, 0.0]
    """
    base, other = np.asarray(baseline, dtype=float), np.asarray(candidate, dtype=float)
    if base.ndim != 1 or base.shape != other.shape:
        raise ValueError(f"values must be paired by block: got {base.shape} and {other.shape}")
    if base.size == 0:
        raise ValueError("no block holds both methods: nothing to compare")
    if not (np.isfinite(base).all() and np.isfinite(other).all() and (base > 0).all() and (other > 0).all()):
        raise ValueError("values must be positive and finite")
    ratios: Floats = np.log(other) - np.log(base)
    return ratios


def centre_interval(
    values: Sequence[float] | Floats, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Return the interval used for verdicts: exact signed-rank, ranks capped at half of n; it holds the estimate.

    None if no interval of this confidence exists.

    >>> centre_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    (2.0, 7.0)
    """
    interval = signed_rank_interval(values, confidence=confidence, cap=half(len(values)))
    if interval is None:
        return None
    shift = hodges_lehmann(values)
    return min(interval[0], shift), max(interval[1], shift)


def check_delta(delta: float) -> None:
    """Refuse a band that is not positive and finite.

    Raises:
        ValueError: it is not.

    >>> check_delta(0.02)
    """
    if not (delta > 0 and math.isfinite(delta)):
        raise ValueError(f"delta must be positive and finite, got {delta}")


def judge(low: float, high: float, band: float) -> ComparisonVerdict:
    """Judge an interval of log ratios of times against a band around 0.

    >>> judge(-0.5, -0.4, 0.02), judge(-0.01, 0.01, 0.02), judge(0.01, 0.03, 0.02)
    ('FASTER', 'SAME', 'UNCLEAR')
    """
    if high < -band:
        return "FASTER"
    if low > band:
        return "SLOWER"
    if -band <= low and high <= band:
        return "SAME"
    return "UNCLEAR"


def further_blocks(shift: float, half_width: float, band: float, n: int) -> int:
    """Estimate the further blocks until the interval, which shrinks with sqrt(n), clears the nearer edge of the band.

    >>> further_blocks(0.0, 0.04, 0.02, 8)    # the interval must shrink to a half: four times the blocks
    24
    """
    distance = abs(abs(shift) - band)
    if distance * math.sqrt(n + MAX_BLOCKS_NEEDED) <= half_width * math.sqrt(n):
        return MAX_BLOCKS_NEEDED
    return max(1, math.ceil(n * (half_width / distance) ** 2) - n)
