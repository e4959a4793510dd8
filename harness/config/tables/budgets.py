"""The suite's table ``budgets``: seconds, bytes and joules within which a report tells each method's best quality."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, field_validator

from tunebench.harness.config.tables.strict import StrictTable
from tunebench.reports.analysis.overall.budgets import MOST_BUDGETS

Amounts = Annotated[list[Annotated[float, Field(gt=0)]], Field(max_length=MOST_BUDGETS)]


class BudgetsTable(StrictTable):
    """Amounts of each kind, in rising order; of a kind without any the report rounds up what the methods take."""

    wall_s: Amounts = Field(default_factory=list, description="seconds of training")
    peak_rss_b: Amounts = Field(default_factory=list, description="bytes, of the highest resident memory")
    energy_j: Amounts = Field(default_factory=list, description="joules of the whole fine-tuning")

    @field_validator("wall_s", "peak_rss_b", "energy_j")
    @classmethod
    def _rise(cls, value: list[float]) -> list[float]:
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError(f"must rise, each budget once, as {sorted(set(value))}")
        return value

    @property
    def given(self) -> dict[str, list[float]]:
        """Return key -> amounts, of the kinds that have any."""
        return {key: amounts for key in type(self).model_fields if (amounts := getattr(self, key))}
