"""What fine-tuning did to a model, and how it went on once the board was warm."""

from __future__ import annotations

from pydantic import Field

from tunebench.reports.records.record import Record


class Sustained(Record):
    """One fine-tuning repeated without a pause under the policy ``sustained``: what is left when the board is warm."""

    duration_s: float = Field(description="of all fine-tunings together")
    n: int
    first_s: float = Field(description="the first fine-tuning, on a cool board")
    steady_s: float = Field(description="median of the last third")
    decline: float = Field(
        description="steady_s / first_s - 1: how much longer the same work takes in the end"
    )
    settled: bool = Field(description="the last third no longer changes")
    time_to_steady_s: float | None = Field(
        default=None,
        description="from the start until fine-tunings stay within 2% of steady_s; null: not settled",
    )
    slope_per_min: float | None = Field(default=None, description="of the last third, relative to steady_s")
    every: int = Field(default=1, description="``repeats_s`` holds every so many-th fine-tuning")
    repeats_s: list[float] = Field(default_factory=list)
    temp_end_c: float | None = None


class Quality(Record):
    """What fine-tuning did to the model, on held-out target data."""

    metric: str = "accuracy"
    before: float | None = None
    after: float | None = None
    n_items: int | None = None
    loss_first: float | None = None
    loss_final: float | None = None
    losses: list[float] = Field(default_factory=list, description="mean training loss of each epoch")
    curve: list[tuple[int, float, float]] = Field(
        default_factory=list, description="(epoch, seconds of training so far, metric); instrumented only"
    )
