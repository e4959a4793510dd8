"""The form of a suite file: its keys, their types and what goes together.

An example stands in :mod:`tunebench.harness.config.suite`.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tunebench.harness.config.tables.budgets import BudgetsTable
from tunebench.harness.config.tables.compress import (
    CompressTable,
    TransformEntry,
    chain_of,
    check_equal_tuning,
    check_runtime_keys,
    start_of,
    transforms_of,
)
from tunebench.harness.config.tables.partition import (
    LinkEntry,
    Partition,
    check_ends_in_float32,
    check_partition,
    partition_of,
)
from tunebench.harness.config.tables.search import SearchTable
from tunebench.harness.config.tables.stress import (
    StressorEntry,
    check_stressors,
    operating_points,
    stressors_of,
)
from tunebench.targets.transport.traffic_shaping import PROFILES
from tunebench.workloads import datasets as data_sets
from tunebench.workloads import defaults, engines
from tunebench.workloads.engines.native.build import VARIANTS
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan as make_plan
from tunebench.workloads.methods.plan import unfit
from tunebench.workloads.methods.quantized_base import FORMS, parse_quantized_base, with_quantized_base
from tunebench.workloads.methods.skips import USUAL, Skips, parse_skips
from tunebench.workloads.models import MODELS, checked_graph, find_model
from tunebench.workloads.models.graph import LANGUAGE, ROWS, TEXT, Graph
from tunebench.workloads.models.language import SHAPE, is_text_model
from tunebench.workloads.prepare.bases import FIRST_DEVELOPMENT_BASE
from tunebench.workloads.tasks import training as trainings
from tunebench.workloads.tasks.spec import DTYPES, parse_targets
from tunebench.workloads.tasks.training import PLAIN, Training
from tunebench.workloads.updates import parse_form

Level = Literal["smoke", "demo", "quick", "nightly", "paper"]
LEVELS: tuple[Level, ...] = ("smoke", "demo", "quick", "nightly", "paper")

_DEVICES = ("cpu", "cuda")
#: Where the suite's file lies while it is read; None of a suite that is no file.
SUITE_FOLDER: ContextVar[Path | None] = ContextVar("suite_folder", default=None)
#: Names that a key may have, of keys of training.
_WORDS = {
    "optimizer": trainings.OPTIMIZERS,
    "schedule": trainings.SCHEDULES,
    "batchnorm": trainings.BATCHNORMS,
    "head": trainings.HEADS,
}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Delta(_Strict):
    """The smallest difference that matters, relative but for accuracy (points)."""

    time: float = Field(default=0.02, gt=0)
    energy: float = Field(default=0.03, gt=0)
    memory: float = Field(default=0.01, gt=0)
    accuracy: float = Field(default=0.5, gt=0, description="percentage points")


class Header(_Strict):
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


class Needs(_Strict):
    """What a workload asks of a board."""

    ram_gb: float | None = Field(default=None, gt=0)
    gpu: bool = False


def _of_packages(field: str) -> tuple[str, ...]:
    """Return the names that labs' packages add for a key; called only for a name that is not built in."""
    if field == "dataset":
        return tuple(sorted(data_sets.plugins()))
    return tuple(sorted(engines.plugins())) if field == "engine" else ()


class WorkloadEntry(_Strict):
    """One ``[[workload]]``: built-in methods, or one method of the user's own."""

    dataset: str | None = None
    model: str | None = None
    methods: list[str] = Field(default_factory=list)
    label: str | None = Field(default=None, min_length=1, max_length=64)
    module: str | None = None
    command: list[str] | None = None
    files: list[str] = Field(default_factory=list)
    task: str | None = Field(default=None, min_length=1, max_length=64)
    baseline: str | None = None
    blocks: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="fewer blocks than the suite's, for a task that is to take less time",
    )
    runtime: str | None = Field(
        default=None, description="run compressed networks in it, in place of fine-tuning on the board"
    )
    chains: dict[str, list[str]] = Field(
        default_factory=dict,
        description="with 'runtime': label -> ids of transforms, and 'tune', in their order",
    )
    partition: str | None = Field(
        default=None,
        description="with 'runtime': the last layer on the board, or 'auto'; the host runs the rest",
    )
    links: list[LinkEntry] | None = Field(
        default=None, max_length=16, description="with 'partition': shaped links besides the board's own"
    )
    start: list[str] = Field(
        default_factory=list,
        description="ids of transforms that the start weights have gone through, in their order",
    )
    stressors: list[str] = Field(
        default_factory=list,
        description="measured once more under each, beside the quiet one: ids of stressors, or kinds",
    )
    power_modes: list[str] = Field(
        default_factory=list,
        max_length=16,
        description="Jetson: measured in each, by names of /etc/nvpmodel.conf, and in no other",
    )
    frequencies_mhz: list[int] = Field(
        default_factory=list, max_length=16, description="measured at each clock of the CPU, and at no other"
    )
    engine: str = "torch"
    device: str = "cpu"
    threads: int = Field(default=1, ge=1, le=1024)
    dtype: str = Field(
        default="float32", description="what maps are computed in: float32, bfloat16, float16 (transformers)"
    )
    quantized_base: str | None = Field(
        default=None,
        description="transformers: the frozen base's maps in nf4 or int8 (bitsandbytes), adapters above them",
    )
    epochs: int | None = Field(default=None, ge=1)
    batch: int = Field(default=defaults.BATCH, ge=1)
    lr: float = Field(default=defaults.LEARNING_RATE, gt=0)
    rank: int = Field(default=defaults.RANK, ge=1)
    scale: float = Field(default=defaults.SCALE, gt=0)
    checkpoint: bool = Field(
        default=False,
        description="networks: values of blocks are computed again in the backward pass, not kept",
    )
    skip_grid: str | None = Field(
        default=None,
        description="skip adapters of a network: side of the pooled maps, '1x1' (default) or '2x2'",
    )
    skip_blocks: int | str | None = Field(
        default=None,
        description="skip adapters of a network: 'all' blocks (default), or the number of the last ones",
    )
    alpha: float | None = Field(
        default=None, gt=0, description="in place of scale, which is then alpha / rank"
    )
    optimizer: str = PLAIN.optimizer
    schedule: str = Field(default=PLAIN.schedule, description="of the learning rate")
    clip: float | None = Field(
        default=None,
        gt=0,
        description="largest Euclidean norm of all gradients together; default: not clipped",
    )
    weight_decay: float = Field(default=PLAIN.weight_decay, ge=0)
    batchnorm: str = PLAIN.batchnorm
    head: str = PLAIN.head
    lora_plus: float = Field(
        default=PLAIN.lora_plus, gt=0, description="learning rate of the adapters' B over that of A"
    )
    accumulate: int = Field(
        default=PLAIN.accumulate,
        ge=1,
        le=1024,
        description="batches whose gradients are added up before an update",
    )
    warmup_steps: int = Field(default=defaults.WARMUP_STEPS, ge=0)
    seq_len: int | None = Field(
        default=None, ge=2, le=512, description="transformers: tokens of a text at most; default 96"
    )
    peft: str | None = Field(
        default=None,
        description="transformers: an adapter_config.json of peft in place of 'methods', from the suite's file on",
    )
    targets: list[str] | str | None = Field(
        default=None, description="transformers: layers that get adapters, as peft's target_modules"
    )
    build: str | None = Field(
        default=None, description="native engine: CPU variant; default: the board's best"
    )
    cache_dtype: Literal["float32", "float16"] | None = Field(default=None, description="native engine only")
    cache_budget_b: int | None = Field(default=None, ge=1, description="native engine only, bytes")
    deadline_s: float | None = Field(default=None, gt=0)
    needs: Needs = Field(default_factory=Needs)
    params: dict[str, Any] = Field(default_factory=dict, description="handed to your own method as it is")

    @field_validator("params")
    @classmethod
    def _travel_as_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(
                "only text, finite numbers, true, false, lists and tables of them travel"
            ) from None
        return value

    @field_validator("dataset", "model", "engine", "device", "dtype", "quantized_base", *_WORDS)
    @classmethod
    def _is_known(cls, value: str | None, info: ValidationInfo) -> str | None:
        known: dict[str, tuple[str, ...]] = {
            "dataset": tuple(data_sets.DATASETS),
            "model": tuple(MODELS),
            "engine": tuple(engines.ENGINES),
            "device": _DEVICES,
            "dtype": DTYPES,
            "quantized_base": FORMS,
            **_WORDS,
        }
        allowed = known[str(info.field_name)]
        if value is not None and value not in allowed:
            allowed += _of_packages(str(info.field_name))
        if info.field_name == "dataset" and value is not None and value.startswith(data_sets.FILE_PREFIX):
            return data_sets.check_name(value)
        if info.field_name == "model" and value is not None and is_text_model(value):
            find_model(value)
            return value
        if value is not None and value not in allowed:
            raise ValueError(f"unknown {info.field_name} {value!r}; allowed: {', '.join(allowed)}")
        return value

    @model_validator(mode="after")
    def _check_form(self) -> WorkloadEntry:
        if self.alpha is not None and "scale" in self.model_fields_set:
            raise ValueError("'alpha' and 'scale' exclude each other: scale is alpha / rank")
        if operating_points(self.power_modes, self.frequencies_mhz) and self.stressors:
            raise ValueError(
                "'stressors' stand beside a quiet row, and 'power_modes' and 'frequencies_mhz' have none: give them a "
                "workload of their own"
            )
        if self.runtime is None and self.chains:
            raise ValueError("'chains' go with 'runtime'; start weights of methods have 'start'")
        if self.runtime is None and (self.partition is not None or self.links is not None):
            raise ValueError("'partition' and 'links' go with 'runtime': a network that only runs is cut")
        if self.runtime is not None:
            self._check_runtime()
        elif self.own:
            self._check_own()
        else:
            self._check_built_in()
        return self

    @property
    def cut(self) -> Partition | None:
        """Return where the network is cut; None if it is not."""
        return partition_of(self.partition, self.links)

    @property
    def own(self) -> bool:
        """Return whether this is a method of the user's own."""
        return self.module is not None or self.command is not None

    @property
    def trunk(self) -> str:
        """Return the runtime in which its engine runs a network's frozen trunk; empty: it has none."""
        return engines.find_engine(self.engine).trunk

    @property
    def training(self) -> Training:
        """Return how weights are updated."""
        return Training(**{key: getattr(self, key) for key in Training._fields})

    @property
    def asked(self) -> tuple[str, ...]:
        """Return the keys of training that ask for something else than the defaults do."""
        return (*self.training.changed, *(("alpha",) if self.alpha is not None else ()))

    def _check_runtime(self) -> None:
        """Refuse what a runtime's rows cannot be."""
        check_runtime_keys(self.runtime, sorted(self.model_fields_set), self.chains)
        if self.dataset is None or self.model is None:
            raise ValueError("'dataset' and 'model' are needed: which network the runtime runs, and on what")
        for name in self.chains:
            if not 1 <= len(name) <= 64:
                raise ValueError(f"'chains': {name[:70]!r} is no name of 1 to 64 characters")
        self._check_data(self.model)
        if find_model(self.model).task not in (ROWS, "classify"):
            raise ValueError(f"model {self.model!r}: runtimes run classifiers of images or rows so far")
        if (partition := self.cut) is not None:
            check_partition(partition, str(self.runtime), self._graph())

    def _check_own(self) -> None:
        if self.start:
            raise ValueError("'start' goes with built-in methods")
        if self.training.changed:
            raise ValueError(
                f"'{self.training.changed[0]}' goes with built-in methods; hand a method of your own what it needs by "
                "'params'"
            )
        if self.module is not None and self.command is not None:
            raise ValueError("'module' and 'command' exclude each other")
        asked = {
            "checkpoint": self.checkpoint, "dtype": self.dtype != "float32", "peft": self.peft is not None,
            "targets": self.targets is not None, "seq_len": self.seq_len is not None,
            "quantized_base": self.quantized_base is not None,
        }  # fmt: skip
        for key, given in asked.items():
            if given:
                raise ValueError(
                    f"{key!r} goes with built-in methods; hand a method of your own what it needs by 'params'"
                )
        if self.skips.changed:
            raise ValueError(f"'{self.skips.changed[0]}' goes with built-in methods of skip adapters")
        if self.methods:
            raise ValueError("'methods' lists built-in methods; a method of your own has a 'label'")
        if not self.label:
            raise ValueError("'label' is missing: the name of your method in tables")
        if (self.dataset is None) != (self.model is None):
            raise ValueError("give both 'dataset' and 'model' (your method gets their artefacts) or neither")
        if self.command is not None and not all(self.command):
            raise ValueError("'command' must be a list of words, none of them empty")
        if self.module is not None and self.module not in self.files:
            raise ValueError(f"'files' must list {self.module!r} so that it travels to the board")

    def _check_built_in(self) -> None:
        if self.files or self.params:
            raise ValueError("'files' and 'params' go with 'module' or 'command'")
        if self.dataset is None or self.model is None or not self.methods:
            raise ValueError("'dataset', 'model' and 'methods' are needed (or 'module' or 'command')")
        if self.label and len(self.methods) != 1:
            raise ValueError("'label' renames one method; this workload has several")
        self._check_data(self.model)
        self._check_start(self.model)
        self._check_engine(self.model)
        if self.seq_len is not None and not is_text_model(self.model):
            raise ValueError(f"'seq_len' is about tokens, model {self.model!r} reads none: leave the key out")
        parse_quantized_base(self.model, self.quantized_base)
        for name in self.methods:
            table.method(name)
            if not table.supports(name, self.model):
                fitting, reason = ", ".join(table.methods_of(self.model)), self._unfit(name)
                raise ValueError(
                    f"method {name!r} does not apply to model {self.model!r}{reason}; those that do: {fitting}"
                )
        self._check_keys(self.model)
        self._check_targets(self.model)
        self._check_plans()

    def _check_start(self, model: str) -> None:
        if not self.start:
            return
        if not engines.find_engine(self.engine).starts:
            able = ", ".join(name for name, engine in engines.ENGINES.items() if engine.starts)
            raise ValueError(
                f"engine {self.engine!r} does not begin from compressed weights; engines that do: {able}"
            )
        if find_model(model).task != "classify":
            raise ValueError(f"'start' compresses classifiers of images; model {model!r} is none")

    def _check_data(self, model: str) -> None:
        wanted = (TEXT, LANGUAGE) if is_text_model(model) else (find_model(model).task,)
        if self._task() not in wanted:
            sets = [name for name in data_sets.DATASETS if data_sets.dataset_module(name).TASK in wanted]
            own = f", or {data_sets.FILE_PREFIX}PATH" if is_text_model(model) else ""
            raise ValueError(
                f"model {model!r} does not take data set {self.dataset!r}; those it takes: {', '.join(sets)}{own}"
            )

    def targets_of(self, name: str) -> list[str] | str | None:
        """Return which layers a method gives adapters to; None: by its rule. Beside one that asks, others go without."""
        return self.targets if table.method(name).adapters == table.OWN_ALL else None

    def _check_targets(self, model: str) -> None:
        if self.targets is None:
            return
        parse_targets(model, self.targets)
        if all(self.targets_of(name) is None for name in self.methods):
            fitting = [name for name in table.methods_of(model) if self.targets_of(name) is not None]
            raise ValueError(
                f"'targets' names layers that get adapters, {', '.join(self.methods)} put them elsewhere; methods of "
                f"model {model!r} that take it: {', '.join(fitting)}"
            )

    def checkpoints(self, name: str) -> bool:
        """Return whether a method keeps something of the network's blocks that can be computed again."""
        graph = self._graph()
        try:
            return make_plan(table.method(name), graph, self.rank, checkpoint=True).checkpoint
        except table.UnsupportedMethod:
            return False

    def _unfit(self, name: str) -> str:
        return unfit(table.method(name), self._graph())

    def _graph(self) -> Graph:
        return checked_graph(str(self.model), self._task())

    def _task(self) -> str:
        """Return what the data set is for; a file of the user's own is looked for from the suite's file on."""
        name, root = str(self.dataset), SUITE_FOLDER.get()
        if root is not None and name.startswith(data_sets.FILE_PREFIX):
            path = root / Path(name.removeprefix(data_sets.FILE_PREFIX)).expanduser()
            name = f"{data_sets.FILE_PREFIX}{path}"
        return data_sets.dataset_module(name).TASK

    @property
    def skips(self) -> Skips:
        """Return which blocks skip adapters read; raise WorkloadError if a key is wrong."""
        return parse_skips(self.skip_grid, self.skip_blocks)

    def _check_keys(self, model: str) -> None:
        """Refuse keys that mean nothing for any of the methods; beside one that honours a key, the others go without."""
        rows = [table.method(name) for name in self.methods]
        for key in self.asked:
            if any(table.honours(row, key) for row in rows):
                continue
            names, fitting = ", ".join(self.methods), ", ".join(table.honouring(key, model))
            if any(row.frozen_extractors for row in rows) and key in table.ADAPTER_KEYS:
                train = "trains" if len(rows) == 1 else "train"
                raise ValueError(
                    f"'{key}' is the rate of adapters' B over that of A, and {names} {train} no A; methods of "
                    f"model {model!r} that do: {fitting}"
                )
            if key in table.ADAPTER_KEYS:
                raise ValueError(
                    f"'{key}' is about adapters, and {names} {'has' if len(rows) == 1 else 'have'} none; methods of "
                    f"model {model!r} that have: {fitting}"
                )
            raise ValueError(
                f"'{key}' means nothing for {names}: no labels are learnt from, no gradient is computed or no step is "
                f"taken; methods of model {model!r} for which it does: {fitting}"
            )

    def _check_plans(self) -> None:
        """Refuse what no board could plan: a cache of what every step changes, keys of BatchNorm where there is none."""
        graph = self._graph()
        shape = str(self.model).startswith(f"{SHAPE}:")
        rows = [table.method(name) for name in self.methods]
        checkpointing = any(self.checkpoints(name) for name in self.methods)
        skipping = any(row.adapters == table.SKIP for row in rows)
        for name, row in zip(self.methods, rows, strict=True):
            skips = self.skips if row.adapters == table.SKIP or not skipping else USUAL
            again = self.checkpoint and (self.checkpoints(name) or not checkpointing)
            keys = {key: getattr(self, key) for key in table.OWN_KEYS if table.honours(row, key)}
            # What layers a wheel's or a folder's model has is known once it is read.
            targets = self.targets_of(name) if shape else None
            made = make_plan(row, graph, self.rank, skips=skips, checkpoint=again, targets=targets, **keys)
            engines.check_plan(self.engine, name, with_quantized_base(made, name, self.quantized_base))

    def _check_engine(self, model: str) -> None:
        engine = engines.find_engine(self.engine)
        if not engine.runs(model, self.device, self.threads):
            limits = engine.limits or "neither this model nor this device, or not with so many threads"
            raise ValueError(f"engine {self.engine!r} runs {limits}")
        engines.check_training(self.engine, self.training, model)
        engines.check_dtype(self.engine, self.dtype, model)
        settings = {
            "build": self.build,
            "cache_dtype": self.cache_dtype,
            "cache_budget_b": self.cache_budget_b,
        }
        if any(value and key not in engine.settings for key, value in settings.items()):
            raise ValueError("'build', 'cache_dtype' and 'cache_budget_b' go with engine = \"native\"")
        if self.build is not None and self.build not in VARIANTS:
            raise ValueError(f"unknown build {self.build!r}; allowed: {', '.join(VARIANTS)}")

    @property
    def task_name(self) -> str:
        """Return the task that values are compared in: other engines, devices, threads, dtypes or bases have another."""
        if self.task:
            return self.task
        name = f"{self.dataset}/{self.model}" if self.dataset else "own"
        if self.runtime is not None:
            cut = f" cut {self.partition}" if self.partition is not None else ""
            return f"{name} [{self.runtime} x{self.threads}{cut}]"
        if self.start:
            name = f"{name} from {'+'.join(self.start)}"
        usual = (self.engine, self.device, self.threads, self.dtype) == ("torch", "cpu", 1, "float32")
        build = f" {self.build}" if self.build else ""
        base = f" {self.quantized_base}" if self.quantized_base else ""
        if usual:
            return name
        return f"{name} [{self.engine}{build} {self.device} x{self.threads} {self.dtype}{base}]"


class SuiteFile(_Strict):
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
