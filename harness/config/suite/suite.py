"""The suite as data: its header, its rows, and how many blocks of which of them are measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tunebench.harness.config.mistakes import did_you_mean
from tunebench.harness.config.suite.built_in import built_in_suites, methods_named
from tunebench.harness.config.suite.comparisons import AA_SUFFIX
from tunebench.harness.config.suite.workload import Workload
from tunebench.harness.config.tables.schema import Header
from tunebench.harness.config.tables.search import SearchTable
from tunebench.harness.errors import UsageError
from tunebench.reports.stats import sequential
from tunebench.workloads.methods.table import METHODS

#: No run has more blocks, whatever asks for them.
MAX_BLOCKS = 1000


@dataclass(frozen=True)
class Suite:
    """A validated suite: its header, its workloads and where its files are."""

    header: Header
    workloads: tuple[Workload, ...]
    baselines: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    #: task -> quantity -> what does not matter there; beats the header's (pytest's marker ``delta``).
    task_deltas: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    #: Built-in name or file, as it was asked for; hints repeat it.
    given: str | None = None
    #: After how many blocks to look whether every comparison is decided; empty: all blocks are measured.
    looks: tuple[sequential.Look, ...] = ()
    #: Its file as it was read: what a search edits.
    tables: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    #: Which values a search may take; ``None``: the suite says nothing of it.
    search: SearchTable | None = field(default=None, compare=False)
    #: Seed of the first block; those of a search are others than those of the runs that measure its choice.
    first_seed: int = 0
    #: The search that chose its rows, as the plan stores it.
    searched: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        return self.header.name

    @property
    def tasks(self) -> list[str]:
        """Return the tasks in the order of the suite."""
        return list(dict.fromkeys(workload.task for workload in self.workloads))

    def bases_of(self, task: str) -> range:
        """Return the pretraining bases that the blocks of a task begin from."""
        blocks = next(
            (workload.blocks for workload in self.workloads if workload.task == task and workload.blocks),
            self.header.blocks,
        )
        return range(min(self.header.bases, blocks))

    @property
    def most_claims(self) -> int:
        """Return how many methods the task with most of them compares with its baseline."""
        labels: dict[str, int] = {}
        for workload in self.workloads:
            labels[workload.task] = labels.get(workload.task, 0) + (not workload.aa_control)
        return max(labels.values(), default=1) - 1

    def with_blocks(self, blocks: int, option: str = "--blocks") -> Suite:
        """Return the suite with another number of blocks, also for workloads that have a number of their own.

        Raises:
            UsageError: not between 1 and 1000; the message names the option.
        """
        if not 1 <= blocks <= MAX_BLOCKS:
            raise UsageError(f"{option} {blocks}: a whole number from 1 to {MAX_BLOCKS}")
        workloads = tuple(replace(workload, blocks=None) for workload in self.workloads)
        return replace(self, workloads=workloads).resized(blocks)

    def resized(self, blocks: int) -> Suite:
        """Return the suite with another number of blocks; workloads that have a number of their own keep it."""
        return replace(self, header=self.header.model_copy(update={"blocks": blocks}))

    def until_decided(self, max_blocks: int | None = None) -> Suite:
        """Return the suite as one that stops when every comparison is decided, at the latest after ``max_blocks``.

        Args:
            max_blocks: default 30, or the suite's own blocks if these are more.

        Raises:
            UsageError: nothing is compared, or so few blocks allow no verdict.
        """
        if self.most_claims < 1:
            raise UsageError(
                f"--until-decided: suite {self.name!r} compares nothing: no task of it has two methods"
            )
        blocks = max(sequential.MAX_BLOCKS, self.header.blocks) if max_blocks is None else max_blocks
        suite = self.with_blocks(blocks, "--max-blocks")
        try:
            return replace(suite, looks=sequential.plan_looks(self.most_claims, blocks))
        except ValueError as error:
            raise UsageError(f"--max-blocks {blocks}: {error}") from None

    def only_methods(self, names: str | None) -> Suite:
        """Keep the workloads of the comma-separated labels (A/A controls follow their baseline).

        Raises:
            UsageError: a name is not in the suite, or there is none at all.
        """
        if names is None:
            return self
        wanted = [name.strip() for name in names.split(",") if name.strip()]
        known = {workload.label for workload in self.workloads if not workload.aa_control}
        if not wanted:
            raise UsageError(
                f"--methods {names!r}: names no method; suite {self.name!r} has: {', '.join(sorted(known))}"
            )
        for name in wanted:
            if name not in known:
                raise UsageError(_not_in_suite(name, self.name, known))
        workloads = tuple(
            workload for workload in self.workloads if workload.label.removesuffix(AA_SUFFIX) in wanted
        )
        tasks = {workload.task for workload in workloads}
        labels = {workload.key for workload in workloads}
        baselines = {
            task: base
            if (task, base) in labels
            else next(workload.label for workload in workloads if workload.task == task)
            for task, base in self.baselines.items()
            if task in tasks
        }
        return replace(self, workloads=workloads, baselines=baselines)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "level": self.header.level,
            "blocks": self.header.blocks,
            "instrumented": self.header.instrumented,
            "policy": self.header.policy,
            "sustained_s": self.header.sustained_s if self.header.policy == "sustained" else None,
            "start_window_c": self.header.start_window_c,
            # Only where it is asked for: plans without keep their hashes.
            **(
                {"energy": True, "energy_s": self.header.energy_s, "idle_s": self.header.idle_s}
                if self.header.energy
                else {}
            ),
            **(
                {"ship_links": list(self.header.ship_links), "ship_wait_s": self.header.ship_wait_s}
                if self.header.ship
                else {}
            ),
            "delta": self.header.delta.model_dump(),
            # Only where it is asked for: plans without keep their hashes.
            **(
                {"task_deltas": {k: dict(v) for k, v in self.task_deltas.items()}} if self.task_deltas else {}
            ),
            **(
                {"quality_target": self.header.quality_target}
                if self.header.quality_target is not None
                else {}
            ),
            **({"budgets": self.header.budgets.given} if self.header.budgets.given else {}),
            # Only where it is asked for: plans without keep their hashes.
            **(
                {
                    "until_decided": {
                        "alpha": sequential.ALPHA_OVER_LOOKS,
                        "quantity": "time",
                        "looks": [{"blocks": look.blocks, "alpha": look.alpha} for look in self.looks],
                    }
                }
                if self.looks
                else {}
            ),
            **({"search": dict(self.searched)} if self.searched is not None else {}),
            **({"first_seed": self.first_seed} if self.first_seed else {}),
            "study": self.header.study,
            **({"candidate": self.header.candidate} if self.header.candidate is not None else {}),
            **({"margin": self.header.margin} if self.header.margin is not None else {}),
            **({"bases": self.header.bases} if self.header.bases > 1 else {}),
            "baselines": dict(self.baselines),
            "cells": [workload.as_dict() for workload in self.workloads],
        }


def sized(
    suite: Suite, *, blocks: int | None = None, until_decided: bool = False, max_blocks: int | None = None
) -> Suite:
    """Return a suite with as many blocks as a user asks for.

    Args:
        suite: what to measure.
        blocks: in place of the suite's.
        until_decided: stop when every comparison of times is decided.
        max_blocks: bound of that; default 30, or the suite's own blocks if these are more.

    Raises:
        UsageError: what is asked excludes each other, or no verdict is possible with so few blocks.
    """
    if until_decided and blocks is not None:
        raise UsageError(
            "--blocks and --until-decided exclude each other: what bounds --until-decided is --max-blocks"
        )
    if max_blocks is not None and not until_decided:
        raise UsageError("--max-blocks goes with --until-decided; a fixed number of blocks is --blocks")
    if until_decided:
        return suite.until_decided(max_blocks)
    return suite if blocks is None else suite.with_blocks(blocks)


def _not_in_suite(name: str, suite: str, known: Collection[str]) -> str:
    """Return what to say of a method that a suite does not have: a slip of the pen, or a method of other suites."""
    labels = ", ".join(sorted(known))
    if name not in {row.name for row in METHODS}:
        hint = did_you_mean(name, known)
        return f"--methods: unknown method {name!r}{hint}; suite {suite!r} has: {labels}"
    suites = [other for other in built_in_suites() if other != suite and name in methods_named(other)]
    others = f"; built-in suites with it: {', '.join(suites)}" if suites else ""
    return (
        f"--methods: suite {suite!r} does not measure the built-in method {name!r}; it has: {labels}{others}. Or list it"
        " under 'methods' in a suite file of your own"
    )
