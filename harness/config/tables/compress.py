"""Read ``[compress]``, ``[[transform]]`` and the chains of workloads: what is done to a network before a board sees it.

::

    [compress]                     # equal for every chain of the suite
    source_steps = 200
    tune = { epochs = 4, batch = 20 }
    rates = [0.005, 0.0015, 0.0005]

    [[transform]]
    id = "prune50"
    kind = "prune"
    how = "structured"
    ratio = 0.5
    steps = 100                    # of the source_steps

    [[workload]]
    dataset = "mnist"
    model = "resnet-small"
    runtime = "onnxruntime"
    chains = { "float" = ["tune"], "pruned" = ["prune50", "tune"] }    # the order is part of what a row is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from tunebench.harness.config.tables.strict import StrictTable
from tunebench.workloads import compress
from tunebench.workloads.compress import TRANSFORMS, TUNE
from tunebench.workloads.compress.keys import settled
from tunebench.workloads.compress.steps import Settings, Step, check_order
from tunebench.workloads.deploy import RUNTIMES

#: Form of numbers that a transform leaves, by kind and how; a runtime must run it.
_NUMBERS = {
    ("cast", "float16"): "float16",
    ("quantize", "static"): "int8-static",
    ("quantize", "qat"): "int8-static",
    ("quantize", "dynamic"): "int8-dynamic",
}
#: Keys that a workload with a runtime may have.
RUNTIME_KEYS = frozenset(
    [
        "dataset", "model", "runtime", "chains", "partition", "links", "task", "baseline", "blocks", "threads",
        "deadline_s", "needs",
    ]
)  # fmt: skip


class Tune(StrictTable):
    """The fine-tuning that the step ``tune`` of every chain is."""

    epochs: int = Field(default=4, ge=1, le=1000)
    batch: int = Field(default=20, ge=2, le=4096)


class CompressTable(StrictTable):
    """``[compress]``: what every chain of a suite has in common."""

    source_steps: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="on the source domain: a chain's transforms take theirs of it",
    )
    batch: int = Field(default=50, ge=2, le=4096, description="of those steps")
    source_rate: float = Field(default=0.0015, gt=0, lt=1)
    tune: Tune = Field(default_factory=Tune)
    rates: list[float] = Field(
        default_factory=lambda: [0.005, 0.0015, 0.0005],
        min_length=1,
        max_length=16,
        description="each chain's is chosen on held-out halves of the fine-tuning samples",
    )
    calibration: int = Field(
        default=128, ge=1, le=100_000, description="fine-tuning samples that fix the scales of int8"
    )
    calls: int = Field(default=400, ge=10, le=1_000_000, description="timed calls of a repetition")

    @model_validator(mode="after")
    def _check_rates(self) -> CompressTable:
        if any(not 0 < rate < 1 for rate in self.rates) or len(set(self.rates)) < len(self.rates):
            raise ValueError("'rates' are numbers between 0 and 1, none twice")
        return self

    @property
    def settings(self) -> Settings:
        """Return what decides what a chain gives."""
        return Settings(
            source_steps=self.source_steps,
            batch=self.batch,
            source_rate=self.source_rate,
            tune_epochs=self.tune.epochs,
            tune_batch=self.tune.batch,
            rates=tuple(self.rates),
            calibration=self.calibration,
        )


class TransformEntry(StrictTable):
    """One ``[[transform]]``: an id, what it is, and keys that depend on it."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")
    kind: str
    how: str | None = Field(default=None, description="default: the only way that there is")

    @model_validator(mode="after")
    def _check(self) -> TransformEntry:
        _ = self.step
        return self

    @property
    def step(self) -> Step:
        """Return it with all its keys.

        Raises:
            ValueError: unknown kind, how or key, or a value that is not allowed.
        """
        if self.id == TUNE:
            raise ValueError(f"id {TUNE!r} is the fine-tuning itself; take another")
        if self.kind not in compress.kinds():
            raise ValueError(f"unknown kind {self.kind!r}; allowed: {', '.join(compress.kinds())}")
        hows = compress.hows(self.kind)
        how = self.how or (hows[0] if len(hows) == 1 else None)
        if how not in hows:
            raise ValueError(f"kind {self.kind!r}: how is {how!r}, allowed: {', '.join(hows)}")
        transform = TRANSFORMS[self.kind, how]
        return Step(
            self.id,
            self.kind,
            how,
            settled(self.id, self.model_extra or {}, transform.keys, transform.trains),
        )


def numbers_of(step: Step) -> str | None:
    """Return the form of numbers that a step leaves; None if it leaves them as they are."""
    return _NUMBERS.get((step.kind, step.how))


def check_runtime_keys(
    runtime: str | None, given: Sequence[str], chains: Mapping[str, Sequence[str]]
) -> None:
    """Refuse keys that mean nothing for a workload that only runs a network.

    Raises:
        ValueError: an unknown runtime, no chains, or a key of fine-tuning.
    """
    if runtime is None:
        return
    if runtime not in RUNTIMES:
        raise ValueError(f"unknown runtime {runtime!r}; allowed: {', '.join(RUNTIMES)}")
    foreign = sorted(set(given) - RUNTIME_KEYS)
    if foreign:
        raise ValueError(
            f"{foreign[0]!r} goes with methods that fine-tune on the board; a workload with 'runtime' has: "
            + ", ".join(sorted(RUNTIME_KEYS))
        )
    if not chains:
        raise ValueError(f'\'chains\' are missing: name = steps, e.g. chains = {{ "float" = ["{TUNE}"] }}')


def start_of(
    idents: Sequence[str], transforms: Mapping[str, Step], settings: Settings, trunk: str
) -> tuple[Step, ...]:
    """Return the steps that start weights go through.

    Args:
        trunk: the runtime in which the engine runs the frozen trunk; empty: it trains what the steps leave.

    Raises:
        ValueError: as :func:`chain_of`; or the fine-tuning is one of the steps.
    """
    if TUNE in idents:
        raise ValueError(f"start: {TUNE!r} is what the methods do on the board; leave it out")
    return chain_of("start", idents, transforms, settings, trunk or None)


def chain_of(
    name: str, idents: Sequence[str], transforms: Mapping[str, Step], settings: Settings, runtime: str | None
) -> tuple[Step, ...]:
    """Return the steps of a chain.

    Args:
        runtime: which runs what the chain gives; None: methods fine-tune it.

    Raises:
        ValueError: an unknown id, an order that cannot be, or an end that the runtime does not run.
    """
    steps = []
    for ident in idents:
        if ident == TUNE:
            steps.append(Step(TUNE, TUNE))
        elif ident in transforms:
            steps.append(transforms[ident])
        else:
            known = ", ".join([TUNE, *transforms])
            raise ValueError(f"chain {name!r}: no [[transform]] has the id {ident!r}; there are: {known}")
    check_order(name, steps, settings)
    for step in steps:
        numbers = numbers_of(step)
        if numbers is None:
            continue
        if runtime is None:
            raise ValueError(
                f"start: {step.ident!r} ({step.kind} {step.how}) writes numbers that nothing fine-tunes; leave it out, "
                "or take an engine whose frozen trunk a runtime runs"
            )
        if numbers not in RUNTIMES[runtime].numbers and not RUNTIMES[runtime].nowhere:
            able = [other for other, about in RUNTIMES.items() if numbers in about.numbers]
            raise ValueError(
                f"chain {name!r}: runtime {runtime!r} does not run {numbers}; runtimes that do: {', '.join(able)}"
            )
    return tuple(steps)


def check_equal_tuning(chains: Mapping[str, Sequence[str]]) -> None:
    """Refuse a workload some of whose chains fine-tune and some do not: their accuracies would be of unequal training.

    Raises:
        ValueError: names one of each.
    """
    tuned = [name for name, idents in chains.items() if TUNE in idents]
    others = [name for name in chains if name not in tuned]
    if tuned and others:
        raise ValueError(
            f"chain {others[0]!r} has no {TUNE!r}, chain {tuned[0]!r} has: all of a workload fine-tune, or none; give it"
            " a workload with a 'task' of its own"
        )


def transforms_of(entries: Sequence[TransformEntry]) -> dict[str, Step]:
    """Return id -> step.

    Raises:
        ValueError: an id is given twice.
    """
    steps: dict[str, Step] = {}
    for entry in entries:
        if entry.id in steps:
            raise ValueError(f"[[transform]]: id {entry.id!r} is given twice")
        steps[entry.id] = entry.step
    return steps


def chain_params(table: CompressTable, steps: Sequence[Step], runtime: str | None) -> dict[str, Any]:
    """Return what stands in a row's parameters, and so in its series key: runtime, chain in its order, and settings."""
    settings = table.settings
    common = {
        "compress": {
            "source_steps": settings.source_steps,
            "batch": settings.batch,
            "source_rate": settings.source_rate,
            "tune_epochs": settings.tune_epochs,
            "tune_batch": settings.tune_batch,
            "rates": list(settings.rates),
            "calibration": settings.calibration,
        }
    }
    if runtime is None:
        return {"start": [step.as_dict() for step in steps], **common}
    return {"runtime": runtime, "calls": table.calls, "chain": [step.as_dict() for step in steps], **common}
