"""Integrate power samples over a window by trapezoid, or say why that cannot be done. Pure.

Whatever is not known within :attr:`Rules.max_error` is refused with a sentence. Rules: EEMBC EnergyRunner (>= 10 s),
MLPerf Power (clock error, uncertainty <= 1%); docs/measurement.md lists them all.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, pstdev

from tunebench.harness.record.energy.rules import Rules

#: A reading: (seconds, watts or joules).
Point = tuple[float, float]
#: An interval between two samples in which a read failed has lost samples if it is longer than so many periods. (A
#: source that is slower than the sampler has rows without a value between its own.) Without a failed read a sample may
#: be later before any counts as lost.
_GAP_PERIODS = 1.75
_LATE_PERIODS = 2.25
#: A change between two samples that is larger than so many typical ones is a step, not noise.
_STEP_FACTOR = 5.0


@dataclass(frozen=True)
class Integral:
    """The energy of a window and what it stands on.

    Attributes:
        energy_j: gross.
        error_j: what the time between samples (or the counter's resolution) leaves open.
    """

    energy_j: float
    window_s: float
    std_w: float | None
    n_samples: int
    max_gap_s: float
    coverage: float
    error_j: float
    counter: bool = False

    @property
    def mean_w(self) -> float:
        """Return the mean power of the window."""
        return self.energy_j / self.window_s

    @property
    def rate_hz(self) -> float:
        """Return the samples a second that were taken in the window."""
        return self.n_samples / self.window_s


@dataclass(frozen=True)
class _Piece:
    """The part of an interval between two samples that lies in the window."""

    interval_s: float
    inside_s: float
    from_w: float
    to_w: float
    change_w: float
    failed: bool

    @property
    def energy_j(self) -> float:
        """Return the energy of this part by trapezoid."""
        return self.inside_s * (self.from_w + self.to_w) / 2

    @property
    def uncertain_s(self) -> float:
        """Return the seconds that, times the change, bound how far a step in the interval is off the trapezoid."""
        return self.inside_s * (1 - self.inside_s / (2 * self.interval_s))


class NoIntegral(Exception):
    """Why no energy is given; the integrators catch it and return its sentence."""


def integrate(
    t_s: Sequence[float], power_w: Sequence[float | None], window_s: tuple[float, float], *, rules: Rules
) -> Integral | str:
    """Integrate power samples over a window by trapezoid, edges interpolated.

    Args:
        t_s: times of the samples, seconds, strictly increasing, same clock as the window.
        power_w: watts; ``None`` (or not finite) where a read failed. Held values must not occur.
        window_s: start and end.
        rules: see :func:`rules_for`.

    Returns:
        The integral, or a sentence saying why there is none.

    Raises:
        ValueError: the two sequences differ in length.
    """
    try:
        failed = [float(t) for t, w in zip(t_s, power_w, strict=True) if w is None or not math.isfinite(w)]
        return _integrate(usable(t_s, power_w), failed, window_s, rules)
    except NoIntegral as reason:
        return str(reason)


def _integrate(
    points: Sequence[Point], failed_s: Sequence[float], window_s: tuple[float, float], rules: Rules
) -> Integral:
    start_s, end_s = window_s
    check_window(start_s, end_s, rules)
    check_order(points)
    values = [watts for time_s, watts in points if start_s <= time_s <= end_s]
    if len(values) < rules.min_samples:
        raise NoIntegral(f"{len(values)} power samples in the window; {rules.min_samples} are needed")
    if points[0][0] > start_s or points[-1][0] < end_s:
        side = "before" if points[0][0] > start_s else "behind"
        raise NoIntegral(f"no power sample {side} the window: its edge is not known")
    if min(values) < 0:
        raise NoIntegral(
            f"a power sample is negative ({min(values):.3g} W): the sensor's sign or wiring is wrong"
        )
    pieces = _pieces(points, failed_s, start_s, end_s)
    length_s, period_s = end_s - start_s, median(piece.interval_s for piece in pieces)
    lost_s = _gaps(pieces, period_s, length_s, rules)
    energy_j, std_w = math.fsum(piece.energy_j for piece in pieces), pstdev(values)
    check_plausible(energy_j / length_s, rules)
    step_j, noise_j = _errors(pieces, rules.quantum)
    step_j += lost_s * std_w + sum(
        rules.clock_bound_s * _range_w(points, edge_s, rules.clock_bound_s) for edge_s in window_s
    )
    if step_j > rules.max_error * energy_j:
        raise NoIntegral(
            f"the power steps between samples {period_s:.3g} s apart or at the window's edges: its energy would be "
            f"told within {percent(step_j, energy_j)} only; {100 * rules.max_error:g}% is allowed (a longer window "
            "or a faster sensor helps)"
        )
    if noise_j > rules.max_noise * energy_j:
        raise NoIntegral(
            f"the power changes too much from sample to sample: {percent(noise_j, energy_j)} of its energy; "
            f"{100 * rules.max_noise:g}% is allowed"
        )
    longest_s = max(piece.interval_s for piece in pieces)
    return Integral(
        energy_j, length_s, std_w, len(values), longest_s, 1 - lost_s / length_s, step_j + noise_j
    )


def usable(t_s: Sequence[float], values: Sequence[float | None]) -> list[Point]:
    """Return the readings that did not fail."""
    pairs = zip(t_s, values, strict=True)
    return [(float(t), float(v)) for t, v in pairs if v is not None and math.isfinite(v)]


def check_window(start_s: float, end_s: float, rules: Rules) -> None:
    """Refuse a window that is too short for any source or for the clocks' bound."""
    length_s = end_s - start_s
    if length_s < rules.min_window_s:
        raise NoIntegral(
            f"the window of {length_s:.2f} s is shorter than the {rules.min_window_s:g} s a meter needs"
        )
    if length_s < rules.window_s:
        raise NoIntegral(
            f"the window of {length_s:.2f} s is shorter than {rules.clock_windows:g} times the "
            f"{1000 * rules.clock_bound_s:.1f} ms within which the clocks are known"
        )


def check_order(points: Sequence[Point]) -> None:
    """Refuse times that do not come from one monotonic clock."""
    if any(b[0] <= a[0] for a, b in pairwise(points)):
        raise NoIntegral("the samples' times do not increase: not one monotonic clock")


def check_plausible(mean_w: float, rules: Rules) -> None:
    """Refuse a mean power that no board draws."""
    if not rules.min_w <= mean_w <= rules.max_w:
        raise NoIntegral(
            f"a mean power of {mean_w:.3g} W is outside {rules.min_w:g} .. {rules.max_w:g} W: not believed"
        )


def percent(part: float, whole: float) -> str:
    """Return a share as ``0.7%``."""
    return f"{100 * part / whole:.2g}%" if whole > 0 else "100%"


def _gaps(pieces: Sequence[_Piece], period_s: float, length_s: float, rules: Rules) -> float:
    """Return the seconds of the window that are lost in gaps.

    Raises:
        NoIntegral: a gap is too long, or too little of the window is covered.
    """
    longest_s = max(piece.interval_s for piece in pieces)
    if longest_s > rules.max_gap_periods * period_s:
        raise NoIntegral(
            f"no power sample for {longest_s:.2f} s; more than {rules.max_gap_periods:g} periods of "
            f"{period_s:.3g} s are a gap"
        )
    lost_s = sum(_lost_s(piece, period_s) for piece in pieces)
    if 1 - lost_s / length_s < rules.min_coverage:
        raise NoIntegral(
            f"power samples cover {100 - 100 * lost_s / length_s:.1f}% of the window; "
            f"{100 * rules.min_coverage:g}% needed"
        )
    return lost_s


def _pieces(points: Sequence[Point], failed_s: Sequence[float], start_s: float, end_s: float) -> list[_Piece]:
    """Return the intervals between samples that touch the window, cut at its edges."""
    pieces = []
    failed_s = sorted(failed_s)
    for (from_s, from_w), (to_s, to_w) in pairwise(points):
        left_s, right_s = max(from_s, start_s), min(to_s, end_s)
        if right_s > left_s:
            slope = (to_w - from_w) / (to_s - from_s)
            at_left, at_right = from_w + slope * (left_s - from_s), from_w + slope * (right_s - from_s)
            failed = bisect(failed_s, from_s) < bisect(failed_s, to_s)
            pieces.append(
                _Piece(to_s - from_s, right_s - left_s, at_left, at_right, abs(to_w - from_w), failed)
            )
    return pieces


def _range_w(points: Sequence[Point], edge_s: float, bound_s: float) -> float:
    """Return by how many watts the power differs around an edge that is known within +-``bound_s``."""
    near = [w for t, w in points if abs(t - edge_s) <= bound_s]
    before = [w for t, w in points if t < edge_s - bound_s][-1:]
    after = [w for t, w in points if t > edge_s + bound_s][:1]
    values = before + near + after
    return max(values) - min(values)


def _lost_s(piece: _Piece, period_s: float) -> float:
    """Return the seconds of the window for which samples are missing in this interval."""
    limit_s = (_GAP_PERIODS if piece.failed else _LATE_PERIODS) * period_s
    if piece.interval_s <= limit_s:
        return 0.0
    return min(piece.inside_s, piece.interval_s - (period_s if piece.failed else limit_s))


def _errors(pieces: Sequence[_Piece], quantum: float | None) -> tuple[float, float]:
    """Return the joules by which steps, and by which noise, between the samples may put the energy off.

    A step may lie anywhere between two samples: its worst case is added up, but no more than three times the
    root of the squares, since many steps do not all fall on the same side. Changes as large as most are noise or
    a slope; they are independent, so their squares add.
    """
    typical_w = median(piece.change_w for piece in pieces)
    threshold_w = max(_STEP_FACTOR * typical_w, 2 * (quantum or 0.0))
    errors = [(piece.change_w > threshold_w, piece.change_w * piece.uncertain_s) for piece in pieces]
    steps = [joules for is_step, joules in errors if is_step]
    noise = [joules for is_step, joules in errors if not is_step]
    return min(math.fsum(steps), 3 * math.hypot(*steps)), math.hypot(*noise)
