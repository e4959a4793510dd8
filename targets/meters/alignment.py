"""An external trace laid over the board's clock, with a bound on the error; pure functions.

Two ways: the clock exchange, for meters whose readings carry the host's time; and load pulses, for meters with a
clock of their own: the board emits a Barker pattern of all-core load before and after the run
(:mod:`tunebench.targets.agent.job.pulses`), which is found in the trace by normalised cross-correlation. Two patterns
give offset and rate of the meter's clock. What cannot be bounded is refused with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tunebench.targets.agent.job.pulses import BARKER_13, QUIET_CHIPS
from tunebench.targets.transport.clock_offset import ClockLine, Offset

Array = npt.NDArray[np.float64]

#: A bound wider than this share of the window is refused.
MAX_BOUND_SHARE = 0.01
#: The patterns' peaks over anything else in the trace, and their step over the noise.
MIN_PEAK_RATIO = 2.0
MIN_STEP_SIGMA = 5.0
#: A chip must hold so many readings.
MIN_READINGS_PER_CHIP = 5
#: A meter's own clock may be off by this much (an RC oscillator); more is no clock.
MAX_RATE_ERROR = 0.03
#: Readings a chip on the grid of the correlation.
_GRID = 10


@dataclass(frozen=True)
class Alignment:
    """Trace time = ``trace_s + rate * (board time - board_s)``; within ``bound_s`` everywhere in the window.

    Attributes:
        method: how it was found.
        board_s: the middle of the window, board's CLOCK_MONOTONIC.
        trace_s: the same moment on the trace's clock.
        rate: trace seconds in a board second.
        bound_s: the error is not larger.
        drift_bound_ppm: how well the rate is known.
    """

    method: Literal["clock-exchange", "load-pulses"]
    board_s: float
    trace_s: float
    rate: float
    bound_s: float
    drift_bound_ppm: float

    def to_trace(self, board_s: float) -> float:
        """Turn a time of the board into one of the trace."""
        return self.trace_s + self.rate * (board_s - self.board_s)

    def window(self, window_ns: tuple[int, int]) -> tuple[float, float]:
        """Return a window of the board on the trace's clock."""
        return self.to_trace(window_ns[0] / 1e9), self.to_trace(window_ns[1] / 1e9)

    @property
    def drift_ppm(self) -> float:
        """Return how much faster the trace's clock runs than the board's, in parts per million."""
        return 1e6 * (self.rate - 1)


def by_clock(before: Offset, after: Offset, window_ns: tuple[int, int]) -> Alignment | str:
    """Map the board's window to the host's clock by the exchanges around it.

    Returns:
        The alignment, or a sentence saying why there is none.
    """
    start_s, end_s = window_ns[0] / 1e9, window_ns[1] / 1e9
    line = ClockLine(before, after)
    problem = line.problem()
    if problem:
        return problem
    middle_s = (start_s + end_s) / 2
    bound_s = max(line.bound_s(start_s), line.bound_s(end_s))
    return _bounded(
        Alignment(
            "clock-exchange",
            middle_s,
            line.host_s(middle_s),
            1 + line.drift_ppm / 1e6,
            bound_s,
            line.drift_bound_ppm,
        ),
        end_s - start_s,
    )


@dataclass(frozen=True)
class Pattern:
    """One load pattern as the board emitted it: first chip's start, chip length, largest lateness of an edge."""

    start_s: float
    chip_s: float
    late_s: float
    code: str = BARKER_13

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Pattern:
        """Build it from what :func:`tunebench.targets.agent.job.pulses.emit` returned.

        Raises:
            ValueError: it is not of that form, or a core did not report how late it was.
        """
        start_ns, chip_ns, late_ns = (record.get(key) for key in ("start_ns", "chip_ns", "late_ns"))
        code = record.get("code")
        if code != BARKER_13 or type(start_ns) is not int or type(chip_ns) is not int or chip_ns <= 0:
            raise ValueError("the board's record of its load pulses is not of the agreed form")
        if type(late_ns) is not int:
            raise ValueError("not every core kept up with the load pulses")
        return cls(start_ns / 1e9, chip_ns / 1e9, late_ns / 1e9)


def by_pulses(
    t_s: Sequence[float],
    power_w: Sequence[float | None],
    before: Pattern,
    after: Pattern,
    window_ns: tuple[int, int],
) -> Alignment | str:
    """Find both patterns in a trace on a clock of its own.

    Args:
        t_s: the trace's times, increasing.
        power_w: its readings; None where one failed.
        before: the pattern before the window.
        after: the pattern after it.
        window_ns: what is to be measured, between the two, on the board's clock.

    Returns:
        The alignment, or a sentence saying why there is none.
    """
    good = [(t, p) for t, p in zip(t_s, power_w, strict=True) if p is not None]
    t = np.array([reading[0] for reading in good], dtype=np.float64)
    p = np.array([reading[1] for reading in good], dtype=np.float64)
    refused = _unfit(t, before, after, window_ns)
    coarse = refused or _coarse(t, p, before, after)
    fitted = coarse if isinstance(coarse, str) else _refine(t, p, before, after, coarse)
    if isinstance(fitted, str):
        return fitted
    start_s, rate, bounds_s = fitted
    middle_s = (window_ns[0] + window_ns[1]) / 2e9
    return _bounded(
        Alignment(
            "load-pulses",
            middle_s,
            start_s + rate * (middle_s - before.start_s),
            rate,
            max(bounds_s),
            1e6 * sum(bounds_s) / (after.start_s - before.start_s),
        ),
        (window_ns[1] - window_ns[0]) / 1e9,
    )


def _unfit(t: Array, before: Pattern, after: Pattern, window_ns: tuple[int, int]) -> str | None:
    """Return why a trace cannot be aligned, seen from its times alone."""
    if window_ns[0] / 1e9 < before.start_s or window_ns[1] / 1e9 > after.start_s:
        return "the window does not lie between the load patterns"
    if len(t) < 2 or t[-1] - t[0] < (1 - MAX_RATE_ERROR) * (after.start_s - before.start_s):
        return "the trace does not reach over both load patterns"
    if np.any(np.diff(t) <= 0):
        return "the trace's times do not increase"
    period_s = float(np.median(np.diff(t)))
    if period_s > 1.02 * before.chip_s / MIN_READINGS_PER_CHIP:
        return (
            f"readings every {period_s:.3g} s are too slow for load pulses of {before.chip_s:g} s; "
            f"set chip_s to {MIN_READINGS_PER_CHIP * period_s:.2g} or more"
        )
    return None


def _refine(
    t: Array, p: Array, before: Pattern, after: Pattern, starts_s: tuple[float, float]
) -> tuple[float, float, tuple[float, float]] | str:
    """Return the first pattern's start in the trace, rate of its clock, and both bounds."""
    apart_s = after.start_s - before.start_s
    bounds_s = (0.0, 0.0)
    for _ in range(3):  # the rate moves the edges inside a pattern, and those the rate
        rate = (starts_s[1] - starts_s[0]) / apart_s
        first = _fit(t, p, starts_s[0], before, rate)
        other = _fit(t, p, starts_s[1], after, rate)
        if isinstance(first, str) or isinstance(other, str):
            return first if isinstance(first, str) else str(other)
        starts_s, bounds_s = (first[0], other[0]), (first[1], other[1])
    return starts_s[0], (starts_s[1] - starts_s[0]) / apart_s, bounds_s


def _bounded(alignment: Alignment, window_s: float) -> Alignment | str:
    if alignment.bound_s > MAX_BOUND_SHARE * window_s:
        return (
            f"the trace is aligned to +-{1000 * alignment.bound_s:.1f} ms, over {100 * MAX_BOUND_SHARE:g}% of the "
            f"window of {window_s:.2f} s"
        )
    return alignment


def _coarse(t: Array, p: Array, before: Pattern, after: Pattern) -> tuple[float, float] | str:
    """Return where the two patterns begin, to a fraction of a chip."""
    step_s = before.chip_s / _GRID
    edges = np.arange(t[0], t[-1] + step_s, step_s)
    energy = np.concatenate([[0.0], np.cumsum(np.diff(t) * (p[1:] + p[:-1]) / 2)])
    grid = np.diff(np.interp(edges, t, energy)) / step_s
    code = np.array([float(chip) for chip in before.code])
    quiet = np.zeros(QUIET_CHIPS)
    template = np.repeat(np.concatenate([quiet, code, quiet]), _GRID)
    score = _score(grid, template)
    if len(score) == 0:
        return "the trace is shorter than a load pattern"
    apart = (after.start_s - before.start_s) / step_s
    near = int(np.ceil(2 * _GRID))
    # The two patterns are alike: the best of all is one of them, its partner lies where the board's clock says.
    first = int(np.argmax(score))
    partner = max(
        (_best(score, first + sign * apart, MAX_RATE_ERROR * apart + near) for sign in (1, -1)),
        key=lambda index: score[index] if index is not None else -1.0,
    )
    if partner is None or score[partner] <= 0:
        return "only one load pattern is in the trace"
    rest = score.copy()
    for peak in (first, partner):
        rest[max(0, peak - near) : peak + near + 1] = 0.0
    second = float(rest.max())
    weaker = float(min(score[first], score[partner]))
    if weaker < MIN_PEAK_RATIO * second:
        return (
            f"the load patterns do not stand out: their peak is {weaker / second:.1f} times the next, "
            f"{MIN_PEAK_RATIO:g} are needed"
        )
    low, high = sorted((first, partner))
    lead_s = QUIET_CHIPS * before.chip_s
    return float(edges[low] + lead_s), float(edges[high] + lead_s)


def _score(grid: Array, template: Array) -> Array:
    """Return the projection on the template times the correlation with it, >= 0: neither counts alone."""
    n = len(template)
    if len(grid) < n:
        return np.zeros(0)
    shape = template - template.mean()
    shape /= np.linalg.norm(shape)
    projection = np.correlate(grid, shape, "valid")
    ones = np.concatenate([[0.0], np.cumsum(grid - grid.mean())])
    squares = np.concatenate([[0.0], np.cumsum((grid - grid.mean()) ** 2)])
    total, square = ones[n:] - ones[:-n], squares[n:] - squares[:-n]
    norm = np.sqrt(np.maximum(square - total**2 / n, 1e-12 * max(float(squares[-1]), 1e-30)))
    return np.asarray(np.maximum(projection, 0.0) * np.clip(projection / norm, 0.0, 1.0))


def _best(score: Array, centre: float, reach: float) -> int | None:
    low, high = max(0, int(centre - reach)), min(len(score), int(centre + reach) + 1)
    return low + int(np.argmax(score[low:high])) if low < high else None


def _fit(t: Array, p: Array, start_s: float, pattern: Pattern, rate: float) -> tuple[float, float] | str:
    """Return the pattern's start to a fraction of a reading, and its bound.

    Each reading lies on one level or the other; moving the pattern over one of them changes the squared error by
    about the step squared. All positions within one such change of the best are possible.
    """
    chip_s = pattern.chip_s * rate
    margin_s = (QUIET_CHIPS - 0.5) * chip_s
    inside = (t >= start_s - margin_s) & (t <= start_s + len(pattern.code) * chip_s + margin_s)
    t, p = t[inside], p[inside]
    phase = (t - start_s) / chip_s
    settled = np.abs(phase - np.round(phase)) > 0.25
    level = _levels(phase, pattern.code)
    highs, lows = p[settled & level], p[settled & ~level]
    if len(highs) < MIN_READINGS_PER_CHIP or len(lows) < MIN_READINGS_PER_CHIP:
        return "too few readings in a load pattern"
    high, low = float(np.median(highs)), float(np.median(lows))
    step_w = high - low
    sigma_w = float(
        np.sqrt((np.var(highs) * len(highs) + np.var(lows) * len(lows)) / (len(highs) + len(lows)))
    )
    if step_w <= 0 or step_w < MIN_STEP_SIGMA * sigma_w:
        return (
            f"the load step of {step_w:.2f} W is {step_w / max(sigma_w, 1e-9):.1f} times the meter's noise; "
            f"{MIN_STEP_SIGMA:g} are needed"
        )
    period_s = float(np.median(np.diff(t)))
    reach_s, fine_s = 0.3 * chip_s, max(period_s / 40, chip_s / 1500)
    shifts = np.arange(-reach_s, reach_s + fine_s, fine_s)
    errors = np.array(
        [
            np.sum((p - np.where(_levels((t - start_s - shift) / chip_s, pattern.code), high, low)) ** 2)
            for shift in shifts
        ]
    )
    possible = shifts[errors <= errors.min() + step_w**2]
    middle_s = float(possible[0] + possible[-1]) / 2
    half_s = float(possible[-1] - possible[0]) / 2 + fine_s
    # A meter that averages over its period blurs an edge by as much: never better than half of it.
    return start_s + middle_s, max(half_s, period_s / 2) + pattern.late_s * rate


def _levels(phase: Array, code: str) -> npt.NDArray[np.bool_]:
    """Tell whether the load is up, by time in chips from the pattern's start."""
    table = np.array([False, *(chip == "1" for chip in code), False])
    index = np.clip(np.floor(phase).astype(np.int64) + 1, 0, len(code) + 1)
    return np.asarray(table[index])
