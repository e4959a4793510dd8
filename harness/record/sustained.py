"""Find steady state and decline of a fine-tuning that is repeated without a pause (policy ``sustained``).

A small board without a fan starts fast and slows down when it is warm. What a user gets in the long run is the
median of the last third; how much it lost against the first fine-tuning is the decline. Pure arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from statistics import median

from tunebench.reports.records import Sustained

#: A record keeps so many values of the series at most: every k-th of a longer one.
MAX_KEPT = 2000
#: Fewer fine-tunings have no last third to speak of.
MIN_N = 6
#: The last third is settled if, over its length, it changes by less than this share.
SETTLED_SHARE = 0.02
#: "Steady" begins with the first fine-tuning after which all stay so close to the steady state, medians of three.
NEAR_SHARE = 0.02


def sustained(repeats_s: Sequence[float], *, temp_end_c: float | None = None) -> Sustained | str:
    """Return steady state and decline of a series of fine-tunings.

    Args:
        repeats_s: seconds of each, in order, without pauses between.
        temp_end_c: temperature of the board at the end.

    Returns:
        The figures, or a sentence saying why there are none.
    """
    if len(repeats_s) < MIN_N:
        return f"{len(repeats_s)} fine-tunings fitted in: {MIN_N} are needed: a longer sustained_s"
    if any(value <= 0 for value in repeats_s):
        return "a fine-tuning without duration"
    third = max(2, len(repeats_s) // 3)
    last_third_s = list(repeats_s[-third:])
    steady_s = median(last_third_s)
    ends_s = list(accumulate(repeats_s))
    every = -(-len(repeats_s) // MAX_KEPT)
    slope = theil_sen(ends_s[-third:], last_third_s)
    change = abs(slope) * (ends_s[-1] - ends_s[-third]) / steady_s
    settled = change < SETTLED_SHARE
    return Sustained(
        duration_s=ends_s[-1],
        n=len(repeats_s),
        first_s=repeats_s[0],
        steady_s=steady_s,
        decline=steady_s / repeats_s[0] - 1,
        settled=settled,
        time_to_steady_s=_time_to_steady(repeats_s, ends_s, steady_s) if settled else None,
        slope_per_min=60 * slope / steady_s,
        every=every,
        repeats_s=list(repeats_s[::every]),
        temp_end_c=temp_end_c,
    )


def theil_sen(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the median of the slopes through all pairs of points: an outlier does not tilt it (Theil 1950, Sen 1968).

    Long series are thinned to 200 points, evenly. The same bits as scipy's ``theilslopes``, whose module takes longer to
    load than a repetition's record takes to make.
    """
    step = max(1, len(x) // 200)
    points = list(zip(x, y, strict=True))[::step]
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(points) for b in points[i + 1 :] if b[0] != a[0]
    ]
    return median(slopes) if slopes else 0.0


def _time_to_steady(repeats_s: Sequence[float], ends_s: Sequence[float], steady_s: float) -> float:
    """Return the seconds from the start until the fine-tunings stay near the steady state."""
    smooth = [median(repeats_s[max(0, i - 1) : i + 2]) for i in range(len(repeats_s))]
    far = [i for i, value in enumerate(smooth) if abs(value / steady_s - 1) > NEAR_SHARE]
    return ends_s[far[-1]] if far else 0.0
