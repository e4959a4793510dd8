"""Power samples -> energy of a window by trapezoid, or the reason why there is none. Pure.

Whatever cannot be told within :attr:`Rules.max_error` is refused with a sentence. Rules: EEMBC EnergyRunner (>= 10 s),
MLPerf Power (clock error, uncertainty <= 1%); docs/measurement.md says them all.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, pstdev

#: (seconds, watts or joules)
Point = tuple[float, float]
#: An interval between two samples in which a read failed has lost some if it is longer than so many periods (a source
#: that is slower than the sampler has such rows between its own); without a failed read, a late sample loses none yet.
_GAP_PERIODS = 1.75
_LATE_PERIODS = 2.25
#: A change between two samples that is larger than so many typical ones is a step, not noise.
_STEP_FACTOR = 5.0


@dataclass(frozen=True)
class Rules:
    """What a window and its samples must be like before their energy is told.

    Attributes:
        min_window_s: shorter windows are refused.
        min_samples: usable samples inside the window.
        max_gap_periods: the longest interval without a sample, in sampling periods.
        min_coverage: share of the window that is not lost in gaps.
        clock_windows: the window lasts at least so many times ``clock_bound_s``.
        clock_bound_s: an external meter's times lie within +-this of the board's; 0: one clock.
        max_error: what steps, gaps and counter resolution may be wrong by, as a share of the energy.
        max_noise: the same of what changes from sample to sample.
        min_w, max_w: mean power outside them is a wrong sensor or a wrong shunt.
        quantum: the source's smallest step (W, or J of a counter); None: not known.
    """

    min_window_s: float = 10.0
    min_samples: int = 100
    max_gap_periods: float = 5.0
    min_coverage: float = 0.99
    clock_windows: float = 50.0
    clock_bound_s: float = 0.0
    max_error: float = 0.005
    max_noise: float = 0.05
    min_w: float = 0.2
    max_w: float = 1000.0
    quantum: float | None = None

    @property
    def window_s(self) -> float:
        """The shortest window that these rules take."""
        return max(self.min_window_s, self.clock_windows * self.clock_bound_s)


#: A wall plug averages over about a second and is read once a second.
WALL_WINDOW_S = 60.0
#: The window of an on-board sensor or a direct-current meter.
WINDOW_S = 10.0
_SLOW_HZ = 10.0
_FAST_HZ = 100.0


def rules_for(
    scope: str,
    source: str = "",
    *,
    rate_hz: float | None = None,
    clock_bound_s: float = 0.0,
    quantum: float | None = None,
    max_w: float | None = None,
) -> Rules:
    """The rules for a source: by its scope, its kind and how fast it can be read.

    ====================================  ========  =======
    source                                window    samples
    ====================================  ========  =======
    wall plug (scope ``wall_ac``)         >= 60 s   >= 30
    Pi 5 PMIC, anything below 10 Hz       >= 10 s   >= 30
    INA3221, meters from 10 Hz on         >= 10 s   >= 100
    ====================================  ========  =======

    Every window also lasts >= 50 times the clock bound. Coverage: 99.9% from 100 Hz on, else 99%.
    """
    wall = scope == "wall_ac"
    slow = wall or "pmic" in source.lower() or (rate_hz is not None and rate_hz < _SLOW_HZ)
    return Rules(
        min_window_s=WALL_WINDOW_S if wall else WINDOW_S,
        min_samples=30 if slow else 100,
        min_coverage=0.999 if rate_hz is not None and rate_hz >= _FAST_HZ else Rules.min_coverage,
        clock_bound_s=clock_bound_s,
        min_w=0.0 if scope == "soc_rail" else Rules.min_w,
        max_w=Rules.max_w if max_w is None else max_w,
        quantum=quantum,
    )


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
        return self.energy_j / self.window_s

    @property
    def rate_hz(self) -> float:
        """Samples a second, as found."""
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
        return self.inside_s * (self.from_w + self.to_w) / 2

    @property
    def uncertain_s(self) -> float:
        """Times the change, the most that a step somewhere in the interval is off the trapezoid."""
        return self.inside_s * (1 - self.inside_s / (2 * self.interval_s))


class Refused(Exception):
    """Why no energy is told; caught by the integrators, whose answer it becomes."""


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
    except Refused as reason:
        return str(reason)


def _integrate(
    points: Sequence[Point], failed_s: Sequence[float], window_s: tuple[float, float], rules: Rules
) -> Integral:
    start_s, end_s = window_s
    check_window(start_s, end_s, rules)
    check_order(points)
    values = [watts for time_s, watts in points if start_s <= time_s <= end_s]
    if len(values) < rules.min_samples:
        raise Refused(f"{len(values)} power samples in the window; {rules.min_samples} are needed")
    if points[0][0] > start_s or points[-1][0] < end_s:
        side = "before" if points[0][0] > start_s else "behind"
        raise Refused(f"no power sample {side} the window: its edge is not known")
    if min(values) < 0:
        raise Refused(
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
        raise Refused(
            f"the power steps between samples {period_s:.3g} s apart or at the window's edges: its energy would be "
            f"told within {percent(step_j, energy_j)} only; {100 * rules.max_error:g}% is allowed (a longer window "
            "or a faster sensor helps)"
        )
    if noise_j > rules.max_noise * energy_j:
        raise Refused(
            f"the power changes too much from sample to sample: {percent(noise_j, energy_j)} of its energy; "
            f"{100 * rules.max_noise:g}% is allowed"
        )
    longest_s = max(piece.interval_s for piece in pieces)
    return Integral(
        energy_j, length_s, std_w, len(values), longest_s, 1 - lost_s / length_s, step_j + noise_j
    )


def usable(t_s: Sequence[float], values: Sequence[float | None]) -> list[Point]:
    """The readings that did not fail."""
    pairs = zip(t_s, values, strict=True)
    return [(float(t), float(v)) for t, v in pairs if v is not None and math.isfinite(v)]


def check_window(start_s: float, end_s: float, rules: Rules) -> None:
    """Refuse a window that is too short for any source or for the clocks' bound."""
    length_s = end_s - start_s
    if length_s < rules.min_window_s:
        raise Refused(
            f"the window of {length_s:.2f} s is shorter than the {rules.min_window_s:g} s a meter needs"
        )
    if length_s < rules.window_s:
        raise Refused(
            f"the window of {length_s:.2f} s is shorter than {rules.clock_windows:g} times the "
            f"{1000 * rules.clock_bound_s:.1f} ms within which the clocks are known"
        )


def check_order(points: Sequence[Point]) -> None:
    """Refuse times that do not come from one monotonic clock."""
    if any(b[0] <= a[0] for a, b in pairwise(points)):
        raise Refused("the samples' times do not increase: not one monotonic clock")


def check_plausible(mean_w: float, rules: Rules) -> None:
    """Refuse what no board draws."""
    if not rules.min_w <= mean_w <= rules.max_w:
        raise Refused(
            f"a mean power of {mean_w:.3g} W is outside {rules.min_w:g} .. {rules.max_w:g} W: not believed"
        )


def percent(part: float, whole: float) -> str:
    """``0.7%``."""
    return f"{100 * part / whole:.2g}%" if whole > 0 else "100%"


def _gaps(pieces: Sequence[_Piece], period_s: float, length_s: float, rules: Rules) -> float:
    """Seconds of the window that are lost in gaps."""
    longest_s = max(piece.interval_s for piece in pieces)
    if longest_s > rules.max_gap_periods * period_s:
        raise Refused(
            f"no power sample for {longest_s:.2f} s; more than {rules.max_gap_periods:g} periods of "
            f"{period_s:.3g} s are a gap"
        )
    lost_s = sum(_lost_s(piece, period_s) for piece in pieces)
    if 1 - lost_s / length_s < rules.min_coverage:
        raise Refused(
            f"power samples cover {100 - 100 * lost_s / length_s:.1f}% of the window; "
            f"{100 * rules.min_coverage:g}% needed"
        )
    return lost_s


def _pieces(points: Sequence[Point], failed_s: Sequence[float], start_s: float, end_s: float) -> list[_Piece]:
    """The intervals between samples that touch the window, cut at its edges."""
    found = []
    failed_s = sorted(failed_s)
    for (from_s, from_w), (to_s, to_w) in pairwise(points):
        left_s, right_s = max(from_s, start_s), min(to_s, end_s)
        if right_s > left_s:
            slope = (to_w - from_w) / (to_s - from_s)
            at_left, at_right = from_w + slope * (left_s - from_s), from_w + slope * (right_s - from_s)
            failed = bisect(failed_s, from_s) < bisect(failed_s, to_s)
            found.append(
                _Piece(to_s - from_s, right_s - left_s, at_left, at_right, abs(to_w - from_w), failed)
            )
    return found


def _range_w(points: Sequence[Point], edge_s: float, bound_s: float) -> float:
    """How much the power differs around an edge that is known within +-``bound_s``."""
    near = [w for t, w in points if abs(t - edge_s) <= bound_s]
    before = [w for t, w in points if t < edge_s - bound_s][-1:]
    after = [w for t, w in points if t > edge_s + bound_s][:1]
    found = before + near + after
    return max(found) - min(found)


def _lost_s(piece: _Piece, period_s: float) -> float:
    """Seconds of the window for which samples are missing in this interval."""
    limit_s = (_GAP_PERIODS if piece.failed else _LATE_PERIODS) * period_s
    if piece.interval_s <= limit_s:
        return 0.0
    return min(piece.inside_s, piece.interval_s - (period_s if piece.failed else limit_s))


def _errors(pieces: Sequence[_Piece], quantum: float | None) -> tuple[float, float]:
    """What steps and what noise between the samples may be worth, joules.

    A step may lie anywhere between two samples: its worst case is added up, but no more than three times the
    root of the squares, since many steps do not all fall on the same side. Changes as large as most are noise or
    a slope; they are independent, so their squares add.
    """
    typical_w = median(piece.change_w for piece in pieces)
    threshold_w = max(_STEP_FACTOR * typical_w, 2 * (quantum or 0.0))
    each = [(piece.change_w > threshold_w, piece.change_w * piece.uncertain_s) for piece in pieces]
    steps = [joules for is_step, joules in each if is_step]
    noise = [joules for is_step, joules in each if not is_step]
    return min(math.fsum(steps), 3 * math.hypot(*steps)), math.hypot(*noise)
