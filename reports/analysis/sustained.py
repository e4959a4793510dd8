"""What is left when the board is warm: steady state and decline of repetitions under the policy ``sustained``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunebench.reports.records import Repetition
from tunebench.reports.stats.paired import median_interval


def lasting(used: Sequence[Repetition]) -> dict[str, Any] | None:
    """Medians over a cell's repetitions; ``None`` if none was sustained.

    ``time_to_steady_s`` is over those that settled, and null if none did.
    """
    found = [rep.sustained for rep in used if rep.sustained is not None]
    if not found:
        return None
    times = [one.time_to_steady_s for one in found if one.time_to_steady_s is not None]
    temps = [one.temp_end_c for one in found if one.temp_end_c is not None]
    return {
        "n": len(found),
        "first_s": median_interval([one.first_s for one in found]).median,
        "steady_s": median_interval([one.steady_s for one in found]).median,
        "decline": median_interval([one.decline for one in found]).median,
        "n_settled": sum(one.settled for one in found),
        "time_to_steady_s": median_interval(times).median if times else None,
        "duration_s": median_interval([one.duration_s for one in found]).median,
        "temp_end_max_c": max(temps, default=None),
    }
