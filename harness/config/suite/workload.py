"""The row of a comparison: a method on a task, with all that it is run with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tunebench.harness.config.tables.partition import Partition
from tunebench.harness.config.tables.stress import Stressor
from tunebench.workloads.compress.steps import Settings, Step
from tunebench.workloads.engines import Engine, find_engine
from tunebench.workloads.methods.quantized_base import PACKAGE

#: Engines of workloads that none of ours runs: a command of the user's own, an idle baseline.
NO_ENGINES = ("own", "none")


@dataclass(frozen=True)
class Workload:
    """One row of the comparison: a method on a task with all that it is run with."""

    task: str
    label: str
    method: str
    dataset: str | None
    model: str | None
    engine: str
    device: str
    threads: int
    dtype: str
    params: Mapping[str, Any]
    own_params: Mapping[str, Any]
    deadline_s: float
    needs_ram_gb: float | None = None
    needs_gpu: bool = False
    aa_control: bool = False
    module: str | None = None
    command: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    build: str | None = None
    #: Policy ``sustained``: the fine-tuning is repeated for so long; ``None``: it runs once.
    sustained_s: float | None = None
    #: Updates to ship after each timed repetition: :func:`tunebench.workloads.updates.parse_form`.
    ship: tuple[str, ...] = ()
    #: Fewer blocks than the suite's; ``None``: as many. Equal in all workloads of a task.
    blocks: int | None = None
    #: In which it runs a network, in place of fine-tuning one.
    runtime: str | None = None
    #: What the host does to its network first, in this order; empty: nothing.
    chain: tuple[Step, ...] = ()
    #: What all chains of the suite have in common; ``None`` without a chain.
    settings: Settings | None = None
    #: What is put around it on purpose; ``None``: it is measured quietly.
    stressor: Stressor | None = None
    #: Where its network is cut, so that a part of it runs on the host; ``None``: all of it runs on the board.
    partition: Partition | None = None

    @property
    def own(self) -> bool:
        return self.module is not None or self.command is not None

    @property
    def key(self) -> tuple[str, str]:
        """Return task and label, which are unique in a suite."""
        return (self.task, self.label)

    @property
    def needs_torch(self) -> bool:
        return self._engine.needs_torch

    @property
    def needs_packages(self) -> tuple[str, ...]:
        """Return what the board's interpreter must have besides torch, by import name."""
        return self._engine.packages + ((PACKAGE,) if self.quantized_base is not None else ())

    @property
    def quantized_base(self) -> str | None:
        """Return the form in which its frozen base is kept; None: float32."""
        form = self.params.get("quantized_base")
        return None if form is None else str(form)

    @property
    def trunk(self) -> str:
        """Return the runtime in which its engine runs a network's frozen trunk; empty: it has none."""
        return self._engine.trunk

    @property
    def needs_library(self) -> bool:
        """Return whether its engine's kernels are compiled for each board."""
        return self._engine.library

    @property
    def _engine(self) -> Engine:
        """Return what its engine has registered; an empty entry for an idle baseline or a user's own command."""
        bare = self.runtime is not None or self.engine in NO_ENGINES
        return Engine() if bare else find_engine(self.engine)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for the plan; equal workloads give equal dicts."""
        return {
            "task": self.task,
            "label": self.label,
            "method": self.method,
            "dataset": self.dataset,
            "model": self.model,
            "engine": self.engine,
            "device": self.device,
            "threads": self.threads,
            "dtype": self.dtype,
            "params": dict(self.params),
            "own_params": dict(self.own_params),
            "aa_control": self.aa_control,
            "module": self.module,
            "command": list(self.command) if self.command else None,
            "files": list(self.files),
            "build": self.build,
            "deadline_s": self.deadline_s,
            "sustained_s": self.sustained_s,
            # Only where it is asked for: plans without keep their hashes.
            **({"ship": list(self.ship)} if self.ship else {}),
            **({"blocks": self.blocks} if self.blocks is not None else {}),
            **({"stressor": self.stressor.as_dict()} if self.stressor is not None else {}),
        }
