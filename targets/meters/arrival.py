"""The clock of a device that streams, laid over the host's by when its lines arrive; pure functions.

A line can be late but never early, so the least delayed ones mark the true offset, as in a one-way clock exchange
(Moon, Skelly, Towsley, INFOCOM 1999). What stays unknown is the smallest delay itself: it must be bounded from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

#: Below so many lines the rate of the device's clock is taken as the host's.
_MIN_FOR_RATE = 20

Point = tuple[float, float]


def to_host(own_s: Sequence[float], arrived_s: Sequence[float], delay_s: float) -> tuple[list[float], float]:
    """Return the times of a device as host times.

    Args:
        own_s: the device's times, increasing.
        arrived_s: when each line was read, on the host's monotonic clock.
        delay_s: the quickest lines took between 0 and this.

    Returns:
        Host times of the samples, and the bound of their error if both clocks run evenly.
    """
    late = [(own, arrived - own) for own, arrived in zip(own_s, arrived_s, strict=True)]
    if len(late) < _MIN_FOR_RATE or own_s[-1] <= own_s[0]:
        offset_s = min(offset for _, offset in late) - delay_s / 2
        return [own + offset_s for own in own_s], delay_s / 2
    first, last = _anchors(late)
    slope = (last[1] - first[1]) / (last[0] - first[0])
    # Wrong by up to half the delay at each anchor, in opposite directions at worst; outside them it grows.
    reach = max(abs(own - first[0]) + abs(own - last[0]) for own in (own_s[0], own_s[-1]))
    bound_s = delay_s / 2 * max(1.0, reach / (last[0] - first[0]))
    return [own + first[1] + slope * (own - first[0]) - delay_s / 2 for own in own_s], bound_s


def _anchors(late: Sequence[Point]) -> tuple[Point, Point]:
    """Return the least delayed line near the start and near the end, after the drift is removed."""
    hull = _lower_hull(late)
    middle = (late[0][0] + late[-1][0]) / 2
    low, high = next((a, b) for a, b in pairwise(hull) if b[0] >= middle)
    slope = (high[1] - low[1]) / (high[0] - low[0])
    third = (late[-1][0] - late[0][0]) / 3

    def least(points: list[Point]) -> Point:
        return min(points, key=lambda point: point[1] - slope * point[0])

    early = [point for point in late if point[0] <= late[0][0] + third]
    end = [point for point in late if point[0] >= late[-1][0] - third]
    return least(early), least(end)


def _lower_hull(points: Sequence[Point]) -> list[Point]:
    """Return the lower convex hull of points that are sorted by x (Andrew's monotone chain)."""
    hull: list[Point] = []
    for point in points:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    return hull


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
