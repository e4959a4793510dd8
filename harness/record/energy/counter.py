"""Turn a cumulative energy counter (RAPL, Shelly's Wh, INA228) into the energy of a window, or say why not. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tunebench.harness.record.energy.rules import Rules
from tunebench.harness.record.energy.trapezoid import (
    Integral,
    NoIntegral,
    Point,
    check_order,
    check_plausible,
    check_window,
    percent,
    usable,
)

#: A wrap whose interval has so many times the highest power of all others is a reset.
_RESET_FACTOR = 2.0


def integrate_counter(
    t_s: Sequence[float],
    energy_j: Sequence[float | None],
    window_s: tuple[float, float],
    *,
    rules: Rules,
    wrap_j: float | None = None,
) -> Integral | str:
    """Return the energy of a window: the difference of the counter's readings, interpolated at the edges.

    Args:
        t_s: times of the readings, seconds, strictly increasing.
        energy_j: readings in joules; ``None`` where one failed.
        window_s: start and end.
        rules: ``quantum`` is the counter's step in joules; ``None``: the smallest increase seen.
        wrap_j: where the counter starts again at 0; ``None``: it does not.

    Returns:
        The integral, or a sentence saying why there is none.

    Raises:
        ValueError: the two sequences differ in length.
    """
    try:
        return _integrate(usable(t_s, energy_j), window_s, rules, wrap_j)
    except NoIntegral as reason:
        return str(reason)


def _integrate(
    readings: Sequence[Point], window_s: tuple[float, float], rules: Rules, wrap_j: float | None
) -> Integral:
    start_s, end_s = window_s
    check_window(start_s, end_s, rules)
    check_order(readings)
    points = _unwrapped(readings, wrap_j)
    if len(points) < 2 or points[0][0] > start_s or points[-1][0] < end_s:
        raise NoIntegral("the counter was not read on both sides of the window")
    first_j, first_error_j = _reading_at(points, start_s)
    last_j, last_error_j = _reading_at(points, end_s)
    spent_j, length_s = last_j - first_j, end_s - start_s
    check_plausible(spent_j / length_s, rules)
    # Each edge lies somewhere in one step of the counter, and in one interval whose course is not known.
    error_j = 2 * _step_j(points, rules) + first_error_j + last_error_j
    if error_j > rules.max_error * spent_j:
        raise NoIntegral(
            f"the counter tells the window's {spent_j:.4g} J within {percent(error_j, spent_j)} only; "
            f"{100 * rules.max_error:g}% is allowed (a longer window helps)"
        )
    inside = sum(start_s <= time_s <= end_s for time_s, _ in points)
    longest_s = max(b[0] - a[0] for a, b in pairwise(points) if b[0] > start_s and a[0] < end_s)
    return Integral(spent_j, length_s, None, inside, longest_s, 1.0, error_j, counter=True)


def _unwrapped(readings: Sequence[Point], wrap_j: float | None) -> list[Point]:
    """Return readings that never fall: each wrap adds the counter's range.

    Raises:
        NoIntegral: the counter was reset, or read too rarely.
    """
    points = list(readings[:1])
    steady_w = max(
        ((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(readings) if b[1] >= a[1]), default=0.0
    )
    for (before_s, before_j), (time_s, after_j) in pairwise(readings):
        step_j = after_j - before_j
        if step_j < 0:
            if wrap_j is None:
                raise NoIntegral("the counter went backwards: it was reset in between")
            step_j += wrap_j
            if step_j > _RESET_FACTOR * steady_w * (time_s - before_s):
                raise NoIntegral(
                    "the counter went backwards by what no load explains: reset rather than wrapped"
                )
        if step_j < 0 or (wrap_j is not None and step_j > wrap_j / 2):
            raise NoIntegral("the counter was read too rarely: it may have wrapped more than once in between")
        points.append((time_s, points[-1][1] + step_j))
    return points


def _reading_at(points: Sequence[Point], time_s: float) -> tuple[float, float]:
    """Return the counter at a time, interpolated, and by how many joules a step of the power may put it off."""
    index = next(i for i, (_, b) in enumerate(pairwise(points)) if b[0] >= time_s)
    (from_s, from_j), (to_s, to_j) = points[index], points[index + 1]
    share = (time_s - from_s) / (to_s - from_s)
    near = points[max(0, index - 1) : index + 3]
    powers = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(near)]
    change_w = max(powers) - min(powers)
    return from_j + share * (to_j - from_j), change_w * (to_s - from_s) * share * (1 - share)


def _step_j(points: Sequence[Point], rules: Rules) -> float:
    """Return the counter's step in joules; where it is not known, the smallest difference of its increases.

    A coarse counter increases by few different amounts. One whose increases all differ, or are all the same, is taken
    as fine: its step counts as 0.
    """
    if rules.quantum is not None:
        return rules.quantum
    # Twelve digits: what is left of a sum's rounding must not look like a step.
    digits = 12 - len(str(int(points[-1][1])))
    increases = sorted({round(b[1] - a[1], digits) for a, b in pairwise(points)})
    if not 2 <= len(increases) <= max(3, len(points) // 10):
        return 0.0
    return min(b - a for a, b in pairwise([0.0, *increases]) if b > a)
