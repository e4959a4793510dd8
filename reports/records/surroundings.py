"""What stood around a window: the board's state, clocks, the sampler, the CPU's counters, a stressor."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunebench.reports.records.record import Record

#: Kinds of stressors that are a setting of the board itself: rows at them have no quiet row.
OPERATING_POINTS = ("power-mode", "pinned-clock")


class Conditions(Record):
    """The state of the board around the window."""

    temp_start_c: float | None = None
    temp_end_c: float | None = None
    temp_max_c: float | None = None
    freq_min_hz: float | None = None
    freq_max_hz: float | None = None
    load_1m_start: float | None = None
    swap_delta_b: int | None = None
    mem_available_min_b: int | None = None
    background_cores: float | None = Field(
        default=None, description="CPU time that others used right before the start, in cores"
    )


class ClockOffset(Record):
    """Host clock minus board clock by minimum-RTT exchange; the true offset is within +-bound_s."""

    offset_s: float
    bound_s: float


class ChannelReads(Record):
    """How the reads of one channel ended: values, failures, and values refused since they contradicted others."""

    n: int
    errors: int = 0
    refused: int = 0
    reasons: dict[str, int] = Field(default_factory=dict, description="how often each reason came")


class Sampler(Record):
    """What the on-board sampler did and what it cost."""

    period_s: float
    n: int
    max_gap_s: float | None = None
    cpu_s: float | None = None
    rate_hz: float | None = None
    channels: dict[str, ChannelReads] = Field(
        default_factory=dict, description="those that were not read every time they were asked"
    )


class Pmu(Record):
    """What the CPU's counters (its PMU) counted in the window: the workload in user space, with its threads and children.

    Heat, clock and neighbours move seconds and hardly move instructions. Events that were not counted are null, with the
    reason in the record's ``missing`` under their own names.
    """

    scope: Literal["user"] = "user"
    instructions: int | None = None
    cycles: int | None = None
    cache_misses: int | None = Field(default=None, description="usually of the last level of cache")
    running: float = Field(
        description="least share of the window's CPU time in which a counter was to be had; below 1 others took turns at"
        " the PMU, and counts are scaled up by it"
    )
    repeats: int = Field(default=1, description="fine-tunings in the window, restarts between them included")
    instructions_per_finetuning: float | None = Field(default=None, description="instructions / repeats")


class Stressed(Record):
    """What the suite put around a fine-tuning on purpose (``stressors`` of a workload), and what held of it.

    Figures are read back: ``load_cores`` (CPU time that the load used, over time), ``held_b``, ``available_b``,
    ``max_freq_hz``, ``link_up_bit_s``, ``connections``, ``power_mode_id``.
    """

    id: str
    kind: str
    params: dict[str, int | str] = Field(default_factory=dict)
    quiet_task: str = Field(description="the task with the same methods without it")
    applied: dict[str, float] | None = Field(default=None, description="before the workload started")
    verified: dict[str, float] | None = Field(default=None, description="when it had ended, still applied")
    held: bool = Field(description="it was applied, held to the end and was removed")
    reason: str | None = Field(default=None, description="why it did not hold")
