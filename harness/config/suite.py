"""Suites: TOML files that say what to measure.

::

    [suite]
    name = "mine"
    blocks = 3                  # every method once a block, in random order
    epochs = 10                 # default: the protocol's for each data set
    baseline = "ft-all"         # what the others are compared with; also the A/A control
    energy = true               # energy repetitions and idle baselines on boards that tell their power
    bases = 3                   # start weights from 3 pretrainings: block k begins from base k modulo 3; default: 1

    [[workload]]
    dataset = "digits"
    model = "mlp"
    methods = ["ft-all", "lora-all", "skip2-lora"]

    [[workload]]                # a method of your own, compared with those above
    dataset = "digits"
    model = "mlp"
    label = "my-method"
    module = "my_ft.py"         # or: command = ["python3", "train.py"]
    files = ["my_ft.py"]        # travel with the payload; relative to this file
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from tunebench.harness.config.peft_file import peft_keys
from tunebench.harness.config.tables.compress import (
    chain_of,
    chain_params,
    start_of,
    transforms_of,
)
from tunebench.harness.config.tables.partition import Partition
from tunebench.harness.config.tables.schema import LEVELS, SUITE_FOLDER, Header, SuiteFile, WorkloadEntry
from tunebench.harness.config.tables.search import SearchTable
from tunebench.harness.config.tables.stress import Stressor, operating_points, stressors_of
from tunebench.harness.config.toml import read_toml, validate
from tunebench.harness.errors import UsageError
from tunebench.reports.stats import sequential
from tunebench.workloads import defaults
from tunebench.workloads.compress.steps import Settings, Step
from tunebench.workloads.engines import Engine, find_engine
from tunebench.workloads.methods.quantized_base import PACKAGE
from tunebench.workloads.methods.table import METHODS, SKIP, honours
from tunebench.workloads.methods.table import method as find_method

AA_SUFFIX = " (A/A)"
_SUITES = "tunebench.harness.config.suites"
#: No run has more blocks, whatever asks for them.
MAX_BLOCKS = 1000

#: The row of the table that a file of peft's is: adapters beside layers, on those that it names.
PEFT_METHOD = "lora-all"
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


def built_in_suites() -> list[str]:
    """Return the names that ``--suite`` takes besides a file."""
    folder = resources.files(_SUITES)
    return sorted(
        (entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")),
        key=lambda name: (LEVELS.index(name) if name in LEVELS else len(LEVELS), name),
    )


def load_suite(name_or_file: str) -> Suite:
    """Load a built-in suite by its name, or a suite file.

    Raises:
        UsageError: neither exists, or the file is wrong (file, workload, key and what is allowed).
    """
    if name_or_file in built_in_suites():
        with resources.as_file(resources.files(_SUITES).joinpath(f"{name_or_file}.toml")) as path:
            return replace(_load(path), given=name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml" and not path.exists():
        raise UsageError(
            f"--suite {name_or_file!r}: no such file and no built-in suite; built in: {', '.join(built_in_suites())}"
        )
    return replace(_load(path), given=name_or_file)


def _load(path: Path) -> Suite:
    return suite_of(read_toml(path, "suite"), path)


def suite_of(raw: Mapping[str, Any], path: Path) -> Suite:
    """Return the suite that the tables of a file say.

    Args:
        raw: the tables, as they were read or edited.
        path: of the file, for messages; what it names lies from its folder on.

    Raises:
        UsageError: something is wrong (file, workload, key and what is allowed).
    """
    root = path.resolve().parent
    tables = _with_peft(dict(raw), root, path)
    inside = SUITE_FOLDER.set(root)
    try:
        parsed = validate(SuiteFile, tables, path, _place)
    finally:
        SUITE_FOLDER.reset(inside)
    workloads: list[Workload] = []
    for entry in parsed.workload:
        quiet = _inferring(entry, parsed) if entry.runtime else _cells(entry, parsed)
        points = operating_points(entry.power_modes, entry.frequencies_mhz)
        workloads.extend([*([] if points else quiet), *_stressed(quiet, entry, parsed)])
    baselines = _baselines(parsed, workloads, path)
    if parsed.suite.aa:
        workloads.extend(_aa_controls(workloads, baselines))
    seen: dict[tuple[str, str], Workload] = {}
    for workload in workloads:
        if workload.key in seen:
            raise UsageError(
                f"{path}: task {workload.task!r}: {workload.label!r} is given twice; give one a 'task' or 'label'"
                + _label_hint(seen[workload.key], workload)
            )
        seen[workload.key] = workload
    _check_runtimes(workloads, path)
    _check_candidate(parsed.suite, workloads, path)
    _check_blocks(parsed.suite, workloads, path)
    _check_files(workloads, root, path)
    return Suite(parsed.suite, tuple(workloads), baselines, root, tables=raw, search=parsed.search)


def _with_peft(tables: dict[str, Any], root: Path, path: Path) -> dict[str, Any]:
    """Return the tables with what each ``peft`` file says in the place of a method.

    Raises:
        UsageError: the file asks for what is not run, or a key beside it says what the file says.
    """
    entries = tables.get("workload")
    if not isinstance(entries, list):
        return tables
    made = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("peft"), str):
            made.append(entry)
            continue
        twice = [key for key in ("methods", "rank", "alpha", "scale", "targets", "head") if key in entry]
        if twice:
            raise UsageError(
                f"{path}: {twice[0]!r} beside 'peft': {entry['peft']} says it, leave {twice[0]!r} out"
            )
        file = root / Path(entry["peft"]).expanduser()
        usual = {"methods": [PEFT_METHOD], "label": file.stem[:64] or "peft"}
        made.append({**usual, **entry, **peft_keys(file)})
    return {**tables, "workload": made}


def _params(entry: WorkloadEntry, header: Header, name: str) -> dict[str, Any]:
    """Return the hyper-parameters of a method of an entry.

    Keys of training stand in them only where they ask for something of the method: those of adapters only where it has
    adapters, none of steps where it takes none; a control says itself what trains. So what is measured without keeps its
    hash and its series key, and no record tells what was not done. A method of the user's own, which knows no ``alpha``,
    gets ``scale``.
    """
    params: dict[str, Any] = {
        "epochs": entry.epochs
        or header.epochs
        or defaults.epochs(entry.dataset or "own", entry.model or "own"),
        "batch": entry.batch,
        "lr": entry.lr,
        "rank": entry.rank,
        "scale": entry.scale,
        "warmup_steps": entry.warmup_steps,
    }
    if entry.own:
        return params | ({"scale": entry.alpha / entry.rank} if entry.alpha is not None else {})
    row = find_method(name)
    asked = [key for key in entry.asked if honours(row, key)]
    if (targets := entry.targets_of(name)) is not None:
        params["targets"] = targets
    for key in ("seq_len", "quantized_base"):
        if (value := getattr(entry, key)) is not None:
            params[key] = value
    if "alpha" in asked:
        del params["scale"]
    return {**params, **{key: getattr(entry, key) for key in asked}}


def _inferring(entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return a row for each chain of a workload that runs networks in a runtime."""
    header, transforms = parsed.suite, transforms_of(parsed.transform)
    runtime = str(entry.runtime)
    sustained_s = header.sustained_s if header.policy == "sustained" else None
    chains = {
        name: chain_of(name, idents, transforms, parsed.compress.settings, runtime)
        for name, idents in entry.chains.items()
    }
    return [
        Workload(
            task=entry.task_name,
            label=name,
            method=name,
            dataset=entry.dataset,
            model=entry.model,
            engine=runtime,
            device="cpu",
            threads=entry.threads,
            dtype="float32",
            params=chain_params(parsed.compress, chain, runtime)
            | (entry.cut.as_params() if entry.cut is not None else {}),
            own_params={},
            deadline_s=(entry.deadline_s or header.deadline_s) + (sustained_s or 0.0),
            needs_ram_gb=entry.needs.ram_gb,
            needs_gpu=entry.needs.gpu,
            sustained_s=sustained_s,
            blocks=entry.blocks,
            runtime=runtime,
            chain=chain,
            settings=parsed.compress.settings,
            partition=entry.cut,
        )
        for name, chain in chains.items()
    ]


def _cells(entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    header, transforms = parsed.suite, transforms_of(parsed.transform)
    chain = start_of(entry.start, transforms, parsed.compress.settings, entry.trunk)
    from_chain = chain_params(parsed.compress, chain, None) if chain else {}
    cache = {"cache_dtype": entry.cache_dtype, "cache_budget_b": entry.cache_budget_b}
    options = {**entry.params, **{key: value for key, value in cache.items() if value is not None}}
    names = [entry.label or ""] if entry.own else entry.methods
    sustained_s = header.sustained_s if header.policy == "sustained" else None
    return [
        Workload(
            task=entry.task_name,
            label=entry.label or name,
            method=name,
            dataset=entry.dataset,
            model=entry.model,
            engine="own" if entry.command else entry.engine,
            device=entry.device,
            threads=entry.threads,
            dtype=entry.dtype,
            params=_params(entry, header, name)
            | _skip_params(entry, name)
            | _checkpoint_params(entry, name)
            | from_chain,
            own_params=options,
            deadline_s=(entry.deadline_s or header.deadline_s) + (sustained_s or 0.0),
            needs_ram_gb=entry.needs.ram_gb,
            needs_gpu=entry.needs.gpu or entry.device == "cuda",
            module=entry.module,
            command=tuple(entry.command) if entry.command else None,
            files=tuple(entry.files),
            build=entry.build,
            sustained_s=sustained_s,
            ship=() if entry.own else tuple(header.ship),
            blocks=entry.blocks,
            chain=chain,
            settings=parsed.compress.settings if chain else None,
        )
        for name in names
    ]


def _stressed(quiet: Sequence[Workload], entry: WorkloadEntry, parsed: SuiteFile) -> list[Workload]:
    """Return the rows of a workload for each of its stressors and operating points, in a task of their own.

    What is shipped is the quiet rows' update: again it would tell nothing.
    """
    known = stressors_of(parsed.stressor)
    asked = [known[name] for name in entry.stressors]
    rows = []
    for found in [*asked, *operating_points(entry.power_modes, entry.frequencies_mhz)]:
        stressor = replace(found, quiet_task=entry.task_name)
        rows += [replace(row, task=stressor.task, stressor=stressor, ship=()) for row in quiet]
    return rows


def _checkpoint_params(entry: WorkloadEntry, name: str) -> dict[str, Any]:
    """Return the key of gradient checkpointing for a method that keeps blocks; the others of a workload go without."""
    return {"checkpoint": True} if entry.checkpoint and not entry.own and entry.checkpoints(name) else {}


def _skip_params(entry: WorkloadEntry, name: str) -> dict[str, Any]:
    """Return the keys of skip adapters that ask for something, for a method that has any; the others have none."""
    if entry.own or find_method(name).adapters != SKIP:
        return {}
    return {key: getattr(entry, key) for key in entry.skips.changed}


def _label_hint(first: Workload, second: Workload) -> str:
    """Return a label for a method that stands in a task with other settings, too; empty if the settings are equal."""
    for workload, other in ((second, first), (first, second)):
        differing = [
            f"{value}" if isinstance(value, str) else f"{key} {value:g}"
            for key, value in workload.params.items()
            if other.params.get(key) != value and isinstance(value, str | int | float)
        ]
        if differing:
            return f', e.g. label = "{" ".join([workload.label, *differing])[:64]}"'
    return ""


def _not_in_suite(name: str, suite: str, known: Collection[str]) -> str:
    """Return what to say of a method that a suite does not have: a slip of the pen, or a method of other suites."""
    has = ", ".join(sorted(known))
    if name not in {row.name for row in METHODS}:
        hint = _did_you_mean(name, known)
        return f"--methods: unknown method {name!r}{hint}; suite {suite!r} has: {has}"
    elsewhere = [other for other in built_in_suites() if other != suite and name in methods_named(other)]
    there = f"; built-in suites with it: {', '.join(elsewhere)}" if elsewhere else ""
    return (
        f"--methods: suite {suite!r} does not measure the built-in method {name!r}; it has: {has}{there}. Or list it"
        " under 'methods' in a suite file of your own"
    )


def _did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a hint at the known name that a mistyped one resembles, whatever its case; empty if none does."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), sorted(by_lower), 1)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def methods_named(built_in: str) -> set[str]:
    """Return the methods and labels that the file of a built-in suite names."""
    text = resources.files(_SUITES).joinpath(f"{built_in}.toml").read_text(encoding="utf-8")
    workloads = tomllib.loads(text).get("workload", [])
    return {name for entry in workloads for name in [*entry.get("methods", []), entry.get("label")] if name}


def _baselines(parsed: SuiteFile, workloads: list[Workload], path: Path) -> dict[str, str]:
    """Return task -> label of its baseline: the workload's, else the suite's, else the task's first method.

    Raises:
        UsageError: a baseline that the file names is in none of its tasks, or not in the task that it is named for.
    """
    labels: dict[str, list[str]] = {}
    for workload in workloads:
        labels.setdefault(workload.task, []).append(workload.label)
    given = parsed.suite.baseline
    if "baseline" in parsed.suite.model_fields_set and not any(given in names for names in labels.values()):
        every = list(dict.fromkeys(name for names in labels.values() for name in names))
        raise UsageError(
            f"{path}: [suite]: baseline {given!r} is not one of its methods{_did_you_mean(given, every)}; it has:"
            f" {', '.join(every)}"
        )
    chosen: dict[str, str] = {}
    for entry in parsed.workload:
        if entry.baseline is not None:
            names = labels.get(entry.task_name) or _labels_at_points(workloads, entry.task_name)
            if entry.baseline not in names:
                raise UsageError(
                    f"{path}: task {entry.task_name!r}: baseline {entry.baseline!r} is not one of its methods: "
                    f"{', '.join(names)}"
                )
            chosen[entry.task_name] = entry.baseline
    for workload in workloads:
        if workload.stressor is not None and workload.stressor.quiet_task in chosen:
            chosen[workload.task] = chosen[workload.stressor.quiet_task]
    for task, names in labels.items():
        chosen.setdefault(task, parsed.suite.baseline if parsed.suite.baseline in names else names[0])
    return {task: label for task, label in chosen.items() if task in labels}


def _labels_at_points(workloads: Sequence[Workload], quiet_task: str) -> list[str]:
    """Return the labels of a task that is measured at operating points only."""
    rows = [row for row in workloads if row.stressor is not None and row.stressor.quiet_task == quiet_task]
    return list(dict.fromkeys(row.label for row in rows))


def _aa_controls(workloads: list[Workload], baselines: Mapping[str, str]) -> list[Workload]:
    """Return an A/A control for every task with several labels: its baseline once more under a second name."""
    controls = []
    for task, base in baselines.items():
        of_task = [workload for workload in workloads if workload.task == task]
        if len(of_task) > 1:
            workload = next(workload for workload in of_task if workload.label == base)
            # The control's update is the baseline's: shipping it again would tell nothing.
            fields = {**workload.__dict__, "label": base + AA_SUFFIX, "aa_control": True, "ship": ()}
            controls.append(Workload(**fields))
    return controls


def _check_candidate(header: Header, workloads: list[Workload], path: Path) -> None:
    labels = {workload.label for workload in workloads if not workload.aa_control}
    if header.candidate is not None and header.candidate not in labels:
        raise UsageError(
            f"{path}: [suite]: candidate {header.candidate!r} is not one of its methods: {', '.join(sorted(labels))}"
        )


def _check_runtimes(workloads: list[Workload], path: Path) -> None:
    """Refuse a task whose rows would be compared across runtimes, or an inference with a fine-tuning."""
    of_task: dict[str, Workload] = {}
    for workload in workloads:
        first = of_task.setdefault(workload.task, workload)
        if first.runtime != workload.runtime:
            names = [row.runtime or f"fine-tuning by {row.engine}" for row in (first, workload)]
            raise UsageError(
                f"{path}: task {workload.task!r}: {first.label!r} is {names[0]}, {workload.label!r} is {names[1]}: no "
                "speed-up is drawn between them; give one of the workloads another 'task'"
            )


def _check_blocks(header: Header, workloads: list[Workload], path: Path) -> None:
    """Refuse a task whose methods would not stand in the same blocks, and more blocks than the suite has."""
    of_task: dict[str, Workload] = {}
    for workload in workloads:
        first = of_task.setdefault(workload.task, workload)
        if first.blocks != workload.blocks:
            raise UsageError(
                f"{path}: task {workload.task!r}: 'blocks' must be the same for {first.label!r} and {workload.label!r}: "
                "methods are compared within blocks"
            )
        if workload.blocks is not None and workload.blocks > header.blocks:
            raise UsageError(
                f"{path}: task {workload.task!r}: blocks = {workload.blocks} is more than [suite] blocks = "
                f"{header.blocks}: give the suite as many as its longest task needs"
            )


def _check_files(workloads: list[Workload], root: Path, path: Path) -> None:
    for workload in workloads:
        for name in workload.files:
            file = root / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise UsageError(f"{path}: workload {workload.label!r}: file {name!r} must lie below {root}")
            if not _is_file(file):
                raise UsageError(f"{path}: workload {workload.label!r}: no such file: {file}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for one
        return False


def _place(location: tuple[int | str, ...], data: Mapping[str, Any]) -> str:
    if len(location) >= 2 and location[0] == "workload" and isinstance(location[1], int):
        entry = data["workload"][location[1]]
        name = entry.get("label") or entry.get("task") if isinstance(entry, dict) else None
        return f"workload {name!r}" if name else f"workload number {location[1] + 1}"
    return f"[{location[0]}]" if location else "suite"


def canonical_json(value: Any) -> str:
    """Return a value as JSON of one fixed spelling, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
