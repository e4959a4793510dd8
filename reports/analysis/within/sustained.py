"""What is left when the board is warm: steady state and decline of repetitions under the policy ``sustained``."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import Sustained
from tunebench.reports.records import Repetition
from tunebench.reports.stats.sample import median_interval


def lasting(used: Sequence[Repetition]) -> Sustained | None:
    """Return medians over a cell's sustained repetitions; None if there are none.

    ``time_to_steady_s`` is over those that settled, and None if none did.
    """
    loads = [rep.sustained for rep in used if rep.sustained is not None]
    if not loads:
        return None
    times = [load.time_to_steady_s for load in loads if load.time_to_steady_s is not None]
    temps = [load.temp_end_c for load in loads if load.temp_end_c is not None]
    return Sustained(
        n=len(loads),
        first_s=median_interval([load.first_s for load in loads]).median,
        steady_s=median_interval([load.steady_s for load in loads]).median,
        decline=median_interval([load.decline for load in loads]).median,
        n_settled=sum(load.settled for load in loads),
        time_to_steady_s=median_interval(times).median if times else None,
        duration_s=median_interval([load.duration_s for load in loads]).median,
        temp_end_max_c=max(temps, default=None),
    )
