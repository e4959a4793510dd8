"""Set which integral may be believed: rates, gaps and windows by the kind of source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """What a window and its samples must be like before their energy is believed.

    Attributes:
        min_window_s: shorter windows are refused.
        min_samples: usable samples inside the window.
        max_gap_periods: the longest interval without a sample, in sampling periods.
        min_coverage: share of the window that is not lost in gaps.
        clock_windows: the window lasts at least so many times ``clock_bound_s``.
        clock_bound_s: an external meter's times lie within +-this of the board's; 0: one clock.
        max_error: what steps, gaps and counter resolution may be wrong by, as a share of the energy.
        max_noise: what changes from sample to sample may be wrong by, as a share of the energy.
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
        """Return the seconds of the shortest window that these rules take."""
        return max(self.min_window_s, self.clock_windows * self.clock_bound_s)


#: The shortest window of a wall plug, which averages over about a second and is read once a second.
MIN_WALL_WINDOW_S = 60.0
#: The shortest window of an on-board sensor or a direct-current meter.
MIN_WINDOW_S = 10.0
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
    """Return the rules for a source: by its scope, its kind and how fast it can be read.

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
        min_window_s=MIN_WALL_WINDOW_S if wall else MIN_WINDOW_S,
        min_samples=30 if slow else 100,
        min_coverage=0.999 if rate_hz is not None and rate_hz >= _FAST_HZ else Rules.min_coverage,
        clock_bound_s=clock_bound_s,
        min_w=0.0 if scope == "soc_rail" else Rules.min_w,
        max_w=Rules.max_w if max_w is None else max_w,
        quantum=quantum,
    )
