"""The form of a suite file: its head, and all its tables together.

An example stands in :mod:`tunebench.harness.config.suite`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tunebench.harness.config.tables.budgets import BudgetsTable
from tunebench.harness.config.tables.compress import (
    CompressTable,
    TransformEntry,
    chain_of,
    check_equal_tuning,
    start_of,
    transforms_of,
)
from tunebench.harness.config.tables.partition import check_ends_in_float32
from tunebench.harness.config.tables.search import SearchTable
from tunebench.harness.config.tables.stress import StressorEntry, check_stressors, stressors_of
from tunebench.harness.config.tables.strict import StrictTable
from tunebench.harness.config.tables.workload import WorkloadEntry
from tunebench.targets.transport.traffic_shaping import PROFILES
from tunebench.workloads.prepare.bases import FIRST_DEVELOPMENT_BASE
from tunebench.workloads.updates import parse_form

Level = Literal["smoke", "demo", "quick", "nightly", "paper"]
LEVELS: tuple[Level, ...] = ("smoke", "demo", "quick", "nightly", "paper")


class Delta(StrictTable):
    """The smallest difference that matters, relative but for accuracy (points)."""

    time: float = Field(default=0.02, gt=0)
    energy: float = Field(default=0.03, gt=0)
    memory: float = Field(default=0.01, gt=0)
    accuracy: float = Field(default=0.5, gt=0, description="percentage points")


class Header(StrictTable):
    """``[suite]``."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    level: Level | None = None
    blocks: int = Field(default=3, ge=1, le=1000)
    epochs: int | None = Field(default=None, ge=1, description="default: the protocol's for each data set")
    baseline: str = "ft-all"
    aa: bool = Field(default=True, description="measure every task's baseline twice a block, as a control")
    instrumented: bool = Field(default=True, description="one repetition a workload with per-step phases")
    deadline_s: float = Field(default=600.0, gt=0, description="a repetition's bound, enforced by the board")
    policy: Literal["cold", "sustained"] = Field(
        default="cold",
        description="cold: start cool, throttling is a fault; sustained: repeat until warm, throttling is data",
    )
    sustained_s: float = Field(
        default=600.0, gt=0, description="policy sustained: how long each fine-tuning is repeated"
    )
    start_window_c: float = Field(
        default=3.0, gt=0, description="repetitions begin within so many degrees of the first one"
    )
    energy: bool = Field(
        default=False,
        description="on boards with a power source: energy repetitions and idle baselines, a block each",
    )
    energy_s: float | None = Field(
        default=None,
        ge=12,
        description="least window of an energy repetition; default 12, with a wall plug 65",
    )
    idle_s: float = Field(default=60.0, ge=12, description="window of an idle baseline")
    delta: Delta = Field(default_factory=Delta)
    quality_target: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="of time and energy to quality; default: where the baseline ends",
    )
    budgets: BudgetsTable = Field(
        default_factory=BudgetsTable,
        description="texts: budgets that the best quality is told at; default: rounded up from what methods take",
    )
    ship: list[str] = Field(
        default_factory=list,
        max_length=18,
        description="updates to ship after each timed repetition: FORM[/TYPE][+zlib], e.g. 'adapter/int8+zlib'",
    )
    ship_links: list[str] = Field(
        default_factory=lambda: list(PROFILES),
        description="shaped links besides the board's own, in the first block",
    )
    ship_wait_s: float = Field(
        default=5.0, ge=0, le=60, description="a shaped transfer that takes longer is computed"
    )
    lasts: str | None = Field(
        default=None,
        max_length=200,
        description="how long it took, on what machine and when, in words; for `tunebench suites`",
    )
    study: Literal["skip2-lora", "lorae"] | None = Field(
        default=None, description="a section of its own in the report"
    )
    candidate: str | None = Field(
        default=None,
        description='study "lorae": the label whose difference to the baseline was chosen to be judged beforehand',
    )
    margin: float | None = Field(
        default=None,
        gt=0,
        le=100,
        description="points: a candidate that is worse than the baseline by less is not inferior; fixed beforehand",
    )
    bases: int = Field(
        default=1,
        ge=1,
        description="start weights from so many pretrainings: block k begins from base k modulo so many",
    )

    @field_validator("bases")
    @classmethod
    def _are_for_tests(cls, value: int) -> int:
        if value > FIRST_DEVELOPMENT_BASE:
            raise ValueError(
                f"bases from {FIRST_DEVELOPMENT_BASE} on are development bases: learning rates are chosen on them, so no "
                f"suite measures on them; at most {FIRST_DEVELOPMENT_BASE}"
            )
        return value

    @model_validator(mode="after")
    def _check_margin(self) -> Header:
        if self.margin is not None and self.study is None:
            raise ValueError("'margin' goes with 'study': the study's section judges the candidate by it")
        if self.margin is not None and self.study == "lorae" and self.candidate is None:
            raise ValueError("'margin' goes with 'candidate': name the label that is judged by it")
        return self

    @field_validator("ship")
    @classmethod
    def _are_updates(cls, value: list[str]) -> list[str]:
        forms = [parse_form(text) for text in value]
        if len(set(forms)) != len(forms):
            raise ValueError("an update is given twice")
        return [form.text for form in forms]

    @field_validator("ship_links")
    @classmethod
    def _are_links(cls, value: list[str]) -> list[str]:
        for name in value:
            if name not in PROFILES:
                raise ValueError(f"unknown link {name!r}; allowed: {', '.join(PROFILES)}")
        return value


class SuiteFile(StrictTable):
    """The whole file."""

    suite: Header
    compress: CompressTable = Field(default_factory=CompressTable)
    transform: list[TransformEntry] = Field(default_factory=list, max_length=100)
    stressor: list[StressorEntry] = Field(default_factory=list, max_length=100)
    workload: list[WorkloadEntry] = Field(min_length=1)
    search: SearchTable | None = Field(default=None, description="what a search varies")

    @model_validator(mode="after")
    def _check_stressors(self) -> SuiteFile:
        known = stressors_of(self.stressor)
        for entry in self.workload:
            check_stressors(entry.stressors, known)
        if self.stressor and not any(entry.stressors for entry in self.workload):
            raise ValueError("[[stressor]] goes with a workload that has 'stressors'")
        return self

    @model_validator(mode="after")
    def _check_chains(self) -> SuiteFile:
        transforms, settings = transforms_of(self.transform), self.compress.settings
        for entry in self.workload:
            chains = {
                name: chain_of(name, idents, transforms, settings, entry.runtime)
                for name, idents in entry.chains.items()
            }
            check_equal_tuning(entry.chains)
            if entry.cut is not None:
                check_ends_in_float32(chains)
            if entry.start:
                start_of(entry.start, transforms, settings, entry.trunk)
        used = any(entry.chains or entry.start for entry in self.workload)
        if not used and (self.transform or "compress" in self.model_fields_set):
            raise ValueError("[compress] and [[transform]] go with a workload that has 'runtime' or 'start'")
        return self
