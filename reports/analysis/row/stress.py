"""A row under a stressor against its quiet row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import PairedRatio


@dataclass(frozen=True, slots=True)
class UnderStress:
    """A row under a stressor against its quiet row.

    Attributes:
        n_held: timed repetitions in which the stressor held to the end.
        figures: what was read back of it, medians: ``load_cores``, ``held_b``, ``available_b``, ``max_freq_hz``, ...
        outcomes: how its timed repetitions ended.
        time: seconds over the quiet row's; of the repetitions that ended well.
        memory: peak resident memory over the quiet row's.
        host: seconds that the host spent on a repetition, over the quiet row's.
        missing: why there is no ratio.
    """

    id: str
    kind: str
    params: Mapping[str, int | str]
    quiet_task: str
    n_held: int
    figures: Mapping[str, float]
    outcomes: Mapping[str, int]
    time: PairedRatio | None
    memory: PairedRatio | None
    host: PairedRatio | None
    quiet_wall_s: float | None
    quiet_peak_rss_b: float | None
    missing: str | None
