"""Energy of a window: what it covers, by which source, and how sure it is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tunebench.reports.records.record import Record

#: Where a power sensor sits: from the wall socket down to one rail. Values of different scopes never meet.
Scope = Literal["wall_ac", "dc_input", "board_input", "module", "rails_sum", "soc_rail"]


class Energy(Record):
    """Energy of the measured window; what it covers stands in ``scope`` and ``source``.

    ``net_j`` is gross less the idle power times the window. The baseline after a repetition is measured after its
    record is safe, so in ``reps.jsonl`` net is null with ``net_reason``;
    :class:`tunebench.reports.results.reader.RunReader` joins it.
    """

    gross_j: float
    net_j: float | None = None
    net_reason: str | None = Field(default=None, description="why net_j is null")
    scope: Scope
    source: str = Field(description="the sensor or meter, e.g. ina3221")
    rails: list[str] = Field(default_factory=list, description="what was added up, by the source's own names")
    method: Literal["trapezoid", "counter"] = "trapezoid"
    mean_w: float
    std_w: float | None = Field(default=None, description="of the power samples; null for a counter")
    window_s: float | None = None
    n_samples: int
    rate_hz: float = Field(description="as found in the window")
    max_gap_s: float
    coverage: float | None = Field(default=None, description="share of the window between usable samples")
    error_j: float | None = Field(
        default=None, description="what the time between samples, or a counter's step, leaves open of gross_j"
    )
    quantum_w: float | None = Field(default=None, description="the source's smallest step")
    corrected: bool = Field(default=False, description="a model was applied to what the sensor said")
    clock_bound_s: float | None = Field(
        default=None,
        description="an external meter's times lie within +-this of the board's; null: one clock",
    )
    repeats: int = Field(default=1, description="fine-tunings in the window (k); 0: an idle baseline")
    j_per_finetuning: float | None = Field(default=None, description="gross_j / k")
    net_j_per_finetuning: float | None = Field(default=None, description="net_j / k")
    idle_before_w: float | None = None
    idle_after_w: float | None = None
    idle_source: str | None = Field(
        default=None, description="rep_ids of the idle baselines, before and after"
    )
