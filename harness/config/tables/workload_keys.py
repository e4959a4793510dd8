"""The keys of a `[[workload]]`, one line each: type, range, default and what it is for; and what follows from them."""

from __future__ import annotations

import json
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from tunebench.harness.config.tables.partition import LinkEntry, Partition, partition_of
from tunebench.harness.config.tables.strict import StrictTable
from tunebench.workloads import datasets as data_sets
from tunebench.workloads import defaults, engines
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan as make_plan
from tunebench.workloads.methods.quantized_base import FORMS
from tunebench.workloads.methods.skips import Skips, parse_skips
from tunebench.workloads.models import MODELS, checked_graph, find_model
from tunebench.workloads.models.graph import Graph
from tunebench.workloads.models.language import is_text_model
from tunebench.workloads.tasks import training as trainings
from tunebench.workloads.tasks.spec import DTYPES
from tunebench.workloads.tasks.training import PLAIN, Training

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


class Needs(StrictTable):
    """What a workload asks of a board."""

    ram_gb: float | None = Field(default=None, gt=0)
    gpu: bool = False


def _of_packages(field: str) -> tuple[str, ...]:
    """Return the names that labs' packages add for a key; called only for a name that is not built in."""
    if field == "dataset":
        return tuple(sorted(data_sets.plugins()))
    return tuple(sorted(engines.plugins())) if field == "engine" else ()


class WorkloadKeys(StrictTable):
    """The keys of one ``[[workload]]``, each checked by itself."""

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

    @property
    def skips(self) -> Skips:
        """Return which blocks skip adapters read; raise WorkloadError if a key is wrong."""
        return parse_skips(self.skip_grid, self.skip_blocks)

    def targets_of(self, name: str) -> list[str] | str | None:
        """Return which layers a method gives adapters to; None: by its rule. Beside one that asks, others go without."""
        return self.targets if table.method(name).adapters == table.OWN_ALL else None

    def checkpoints(self, name: str) -> bool:
        """Return whether a method keeps something of the network's blocks that can be computed again."""
        graph = self.graph()
        try:
            return make_plan(table.method(name), graph, self.rank, checkpoint=True).checkpoint
        except table.UnsupportedMethod:
            return False

    def graph(self) -> Graph:
        """Return the graph of its model, read for its data set."""
        return checked_graph(str(self.model), self.data_task())

    def data_task(self) -> str:
        """Return what the data set is for; a file of the user's own is looked for from the suite's file on."""
        name, root = str(self.dataset), SUITE_FOLDER.get()
        if root is not None and name.startswith(data_sets.FILE_PREFIX):
            path = root / Path(name.removeprefix(data_sets.FILE_PREFIX)).expanduser()
            name = f"{data_sets.FILE_PREFIX}{path}"
        return data_sets.dataset_module(name).TASK

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
