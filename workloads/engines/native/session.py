# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""A plan on the native kernels; mirrors the torch engine's session, from the same start and in the same order."""

import math
from array import array
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from tunebench.workloads import seeds
from tunebench.workloads.artefact import ITEM_B, Artefact
from tunebench.workloads.engines import check_plan, check_training
from tunebench.workloads.engines.native.errors import NativeError
from tunebench.workloads.engines.native.layout import Layout, chain_layout
from tunebench.workloads.engines.native.loader import Library, address, find_library
from tunebench.workloads.engines.native.trunk import folded_norm
from tunebench.workloads.engines.session import Evaluation, Mark, no_mark
from tunebench.workloads.engines.session import Session as BaseSession
from tunebench.workloads.methods.plan import counts
from tunebench.workloads.models.graph import product
from tunebench.workloads.tasks.spec import Spec, SpecError
from tunebench.workloads.tasks.task import Task
from tunebench.workloads.tasks.training import (
    BETA1,
    BETA2,
    EPSILON,
    MOMENTUM,
    OPTIMIZERS,
    learning_rates,
)

#: phases as the kernels number them
PHASES = ("gather", "cache_fill", "forward", "backward", "update")
CACHE_DTYPES = {"float32": 4, "float16": 2}
MAX_LAYERS = 32


def version(library: Optional[Library] = None) -> str:
    """Return the engine's version, e.g. ``native 256-bit fma, clang 21.1.0``."""
    loaded = library or find_library()
    return "native %d-bit%s, %s" % (
        32 * loaded.vector_floats,
        " fma" if loaded.has_fma else "",
        loaded.compiler,
    )


class CacheOptions(NamedTuple):
    """How a plan's cache is kept.

    Attributes:
        dtype: ``float32``, exact, or ``float16``, half the bytes.
        budget_b: at most so many bytes; samples that find no room are recomputed each time. None: no limit.
    """

    dtype: str = "float32"
    budget_b: Optional[int] = None


def cache_options(params: Dict[str, Any]) -> CacheOptions:
    """Read the options among a workload's ``params``: ``cache_dtype`` and ``cache_budget_b``.

    Raises:
        SpecError: a value that is not allowed.
    """
    dtype, budget = params.get("cache_dtype", "float32"), params.get("cache_budget_b")
    if dtype not in CACHE_DTYPES:
        raise SpecError(
            "workload.params.cache_dtype is %r, allowed: %s" % (dtype, ", ".join(sorted(CACHE_DTYPES)))
        )
    if budget is not None and (type(budget) is not int or budget < 1):
        raise SpecError("workload.params.cache_budget_b is %r, expected a number of bytes" % (budget,))
    return CacheOptions(str(dtype), budget)


def cache_slots(layout: Layout, n_rows: int, options: CacheOptions) -> int:
    """Return how many samples the cache has room for.

    Raises:
        SpecError: the budget is below one sample.
    """
    row_b = layout.cache_floats * CACHE_DTYPES[options.dtype]
    if options.budget_b is None:
        return n_rows
    if options.budget_b < row_b:
        raise SpecError(
            "workload.params.cache_budget_b is %d, one cached sample takes %d bytes"
            % (options.budget_b, row_b)
        )
    return min(n_rows, options.budget_b // row_b)


class Session(BaseSession):
    """A fine-tuning on the native kernels.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).
        library: the kernels; None: see :func:`find_library`.

    Raises:
        SpecError: the task asks for what this engine does not have.
        NativeError: no library.
    """

    def __init__(self, task: Task, cache: Optional[bool] = None, library: Optional[Library] = None) -> None:
        self._check(task)
        self.task, self.plan, self.library = task, task.plan, library or find_library()
        self.layout = self._layout()
        self.options = cache_options(task.spec.params)
        self.changes = task.plan.trains
        self.caching = task.plan.caches and cache is not False
        self.slots = cache_slots(self.layout, task.n_train, self.options) if self.caching else 0
        self.step_losses = []  # type: List[float]
        self.steps = 0
        self._orders = self._draw_orders()
        self._rates = array(
            "d", learning_rates(task.spec.training, task.spec.lr, task.spec.epochs * task.steps_per_epoch)
        )
        self._test = None  # type: Any
        self._handle = self._make()  # type: Optional[int]
        self._start = []  # type: List[Tuple[Any, int, List[array[float]]]]
        self._set_start()

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is not None:
            self.library.c.tb_free(handle)
            self._handle = None

    # making ------------------------------------------------------------------------------------------------

    def _draw_orders(self) -> "array[int]":
        """Return the orders of the samples for all epochs, one after another."""
        spec, orders = self.task.spec, array("i")
        for epoch in range(spec.epochs):
            orders.extend(seeds.order(self.task.n_train, spec.seed, epoch))
        return orders

    def _check(self, task: Task) -> None:
        """Refuse what the kernels do not do."""
        check_training("native", task.spec.training)
        check_plan("native", str(task.spec.method), task.plan)
        if any(layer.op != "linear" for layer in task.plan.graph.layers):
            raise SpecError(
                "workload.engine 'native' runs linear layers only, model %r has others" % task.spec.model
            )
        check_place(task)
        if len(task.plan.graph.layers) > MAX_LAYERS:
            raise SpecError("workload.engine 'native' takes at most %d layers" % MAX_LAYERS)

    def _layout(self) -> Layout:
        return chain_layout(self.plan)

    def _make(self) -> int:
        layout = self.layout
        layers, adapters, keep = layout.arrays()
        half = self.options.dtype == "float16"
        sizes = array("i", [self.task.n_train, self.task.spec.batch, self.caching, half, self.slots])
        sizes.extend([OPTIMIZERS.index(self.task.spec.training.optimizer), layout.fed])
        sizes.extend([self.plan.frozen_extractors, 0 if layout.adapters else self.n_adapters, self.plan.rank])
        numbers = self.numbers(self.task.spec)
        handle = self.library.c.tb_new(
            address(layers), len(layout.layers), address(adapters), len(layout.adapters), address(keep),
            address(sizes), address(numbers),
        )  # fmt: skip
        if not handle:
            raise NativeError("out of memory for a fine-tuning of %d samples" % self.task.n_train)
        return int(handle)

    @staticmethod
    def numbers(spec: Spec) -> "array[float]":
        """Return the numbers of a training, as ``tb_new`` takes them."""
        training = spec.training
        chosen = [spec.scale, training.clip or 0.0, training.weight_decay, training.lora_plus]
        return array("d", chosen + [MOMENTUM, BETA1, BETA2, EPSILON])

    def _set_start(self) -> None:
        """Set the data, the base weights and the adapters' start values."""
        task, c = self.task, self.library.c
        inputs, labels = task.data.need("finetune_x").array(), task.data.need("finetune_y").array()
        c.tb_set_data(self._handle, address(inputs), address(labels))
        for index in range(len(self.layout.layers)):
            weight, bias = (
                task.weights.need("layer%d.%s" % (index, part)).array() for part in ("weight", "bias")
            )
            self.set_layer(index, weight, bias)
        for index, adapter in enumerate(self.plan.adapters):
            first = seeds.kaiming_uniform(
                product(adapter.extractor), adapter.fan_in, task.spec.seed, adapter.name
            )
            second = array("f", bytes(4 * product(adapter.mapper)))
            c.tb_set_adapter(self._handle, index, address(first), address(second))

    def hold_start(self) -> None:
        c, layout = self.library.c, self.layout
        for index, layer in enumerate(layout.layers):
            if layer.train_weight or layer.train_bias:
                weight, bias = self.layer(index)
                norm = folded_norm(self.task.weights, "layer%d" % index, layer.norm, len(bias))
                self._start.append((c.tb_set_layer, index, [weight, bias, norm[0], norm[1]]))
        for index in range(self.n_adapters):
            self._start.append((c.tb_set_adapter, index, list(self.adapter(index))))

    def restart(self) -> None:
        for put, index, parts in self._start:
            put(self._handle, index, *[address(part) for part in parts])
        self.library.c.tb_forget(self._handle)
        self.steps = 0

    # training ----------------------------------------------------------------------------------------------

    def steps_per_epoch(self) -> int:
        return self.task.steps_per_epoch

    def warm_up(self, steps: int) -> None:
        rows = min(self.task.n_train, max(1, steps) * self.task.spec.batch)
        epochs = 2 if self.caching else 1  # a cached plan has two kinds of step
        few = _first_rows(self.task.data, rows)
        params = {key: value for key, value in self.task.spec.params.items() if key != "cache_budget_b"}
        spec = self.task.spec._replace(epochs=epochs, batch=min(rows, self.task.spec.batch), params=params)
        if steps > 0 and self.plan.trains:
            self._like(self.task._replace(data=few, spec=spec)).train_epochs(0, epochs)

    def _like(self, task: Task) -> "Session":
        """Return a session on another task of the same network and method."""
        return Session(task, self.caching, self.library)

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        """Train one epoch; then report each step's phases to ``mark`` as (phase, t_ns), unless it is ``no_mark``."""
        if mark is no_mark:
            return self.train_epochs(epoch, 1)[0]
        events = array("q", bytes(16 * len(PHASES) * self.steps_per_epoch()))
        loss = self.train_epochs(epoch, 1, events)[0]
        for at in range(0, self._n_events, 2):
            mark(PHASES[events[at + 1]], events[at])  # type: ignore[call-arg]
        return loss

    def train_epochs(self, first: int, count: int, events: "Optional[array[int]]" = None) -> List[float]:
        """Train ``count`` epochs in one call of the kernels; return mean losses, the last one not finite if it diverged.

        Args:
            first: number of the first epoch.
            count: epochs.
            events: filled with (t_ns, phase number) pairs.
        """
        if not self.plan.trains:
            return []
        n, steps = self.task.n_train, self.steps_per_epoch()
        losses, means = array("f", bytes(4 * steps * count)), array("d", bytes(8 * count))
        n_events = array("q", [0])
        done = self.library.c.tb_train(
            self._handle, address(self._orders) + 4 * n * first, count, address(self._rates) + 8 * steps * first,
            address(losses), address(means), None if events is None else address(events), address(n_events),
        )  # fmt: skip
        self._n_events = 2 * n_events[0]
        self.steps += done * steps
        self.step_losses = losses[: done * steps].tolist()
        return means[:done].tolist()

    # results -----------------------------------------------------------------------------------------------

    def logits(self, inputs: "array[float]", rows: int) -> "array[float]":
        """Compute logits (rows x n_classes, flat) of inputs (rows x n_in, flat), nothing cached."""
        values = array("f", bytes(4 * rows * self.layout.layers[-1].n_out))
        self.library.c.tb_logits(self._handle, address(inputs), rows, address(values))
        return values

    def _test_logits(self, rows: int) -> "array[float]":
        """Compute the logits of the test set."""
        if self._test is None:
            self._test = self.task.data.need("test_x").array()
        return self.logits(self._test, rows)

    def evaluate(self) -> Evaluation:
        labels = self.task.data.need("test_y").array().tolist()
        classes = self.layout.layers[-1].n_out
        logits = self._test_logits(len(labels))
        rows = (logits[at : at + classes] for at in range(0, len(logits), classes))
        predicted = [_largest(row) for row in rows]
        right = sum(label == guess for label, guess in zip(labels, predicted))
        return Evaluation(right / len(labels), len(labels), labels, predicted)

    def layer(self, index: int) -> Tuple["array[float]", "array[float]"]:
        """Return weight (n_out x n_in, flat) and bias of a layer as they are now."""
        layer = self.layout.layers[index]
        weight, bias = (array("f", bytes(4 * size)) for size in (layer.n_in * layer.n_out, layer.n_out))
        self.library.c.tb_get_layer(self._handle, index, address(weight), address(bias))
        return weight, bias

    def set_layer(self, index: int, weight: "array[float]", bias: "array[float]") -> None:
        """Give a layer other weights, flat; its BatchNorm stays."""
        norm = self.layout.layers[index].norm
        slope, shift = folded_norm(self.task.weights, "layer%d" % index, norm, len(bias))
        parts = (address(part) for part in (weight, bias, slope, shift))
        self.library.c.tb_set_layer(self._handle, index, *parts)

    def adapter(self, index: int) -> Tuple["array[float]", "array[float]"]:
        """Return the first (rank x n_in) and second (n_out x rank) weights of an adapter, flat, as they are now."""
        first, second = (array("f", bytes(4 * size)) for size in self.adapter_sizes(index))
        self.library.c.tb_get_adapter(self._handle, index, address(first), address(second))
        return first, second

    @property
    def n_adapters(self) -> int:
        """Return how many adapters there are."""
        return len(self.layout.adapters)

    def adapter_sizes(self, index: int) -> Tuple[int, int]:
        """Return the numbers of values of an adapter's two weights."""
        start, end = self.layout.adapters[index]
        rank, layers = self.layout.rank, self.layout.layers
        return rank * layers[start].n_in, layers[end].n_out * rank

    def cache_error(self) -> Optional[float]:
        """Return the largest |cached - recomputed|, both rounded to the cache's dtype; None if nothing is cached."""
        if not self.caching:
            return None
        worst = 0.0
        for row in range(self.task.n_train):
            held, again = self._cached(row)
            if math.isnan(sum(held)):
                return float("inf")
            worst = max([worst] + [abs(a - b) for a, b in zip(held, again)])
        return worst

    def cached_row(self, row: int) -> "array[float]":
        """Return what the cache holds of a sample; empty if nothing."""
        return self._cached(row)[0]

    def _cached(self, row: int) -> Tuple["array[float]", "array[float]"]:
        """Return what the cache holds of a sample, and what it should hold."""
        width = self.layout.cache_floats
        held, again = array("f", bytes(4 * width)), array("f", bytes(4 * width))
        if (
            not self.caching
            or self.library.c.tb_cached(self._handle, row, address(held), address(again)) != 0
        ):
            return array("f"), array("f")
        return held, again

    def facts(self) -> Dict[str, Any]:
        amount = counts(self.plan)
        counters = array("q", [0] * 5)
        self.library.c.tb_counts(self._handle, address(counters))
        lookups, hits, kept, fill_ns, recompute_ns = counters
        cache_b = self.slots * self.layout.cache_floats * CACHE_DTYPES[self.options.dtype]
        return {
            "steps": self.steps,
            "params_total": amount.total,
            "params_trainable": amount.trainable,
            "update_b": amount.update_b,
            "optimizer_state_b": 4 * self.task.spec.training.state_floats * amount.trainable,
            "cache_b": cache_b if self.caching else None,
            "cache_hit_ratio": hits / lookups if self.caching and lookups else None,
            "engine_version": version(self.library),
            "metrics": {
                "cache_kept_samples": kept,
                "cache_fill_s": fill_ns / 1e9,
                "cache_recompute_s": recompute_ns / 1e9,
            }
            if self.caching
            else {},
        }


def check_place(task: Task) -> None:
    """Refuse to run anywhere but on one thread of the CPU."""
    spec = task.spec
    if spec.device != "cpu" or spec.threads != 1:
        raise SpecError(
            "workload.engine 'native' runs on one thread of the CPU, not on %d of %r"
            % (spec.threads, spec.device)
        )


def _first_rows(data: Artefact, rows: int) -> Artefact:
    """Return the data with only its first ``rows`` fine-tuning rows."""
    tensors = dict(data.tensors)
    for name in ("finetune_x", "finetune_y"):
        item = tensors[name]
        row_b = ITEM_B[item.dtype] * item.size // item.shape[0]
        tensors[name] = item._replace(shape=(rows,) + item.shape[1:], data=item.data[: rows * row_b])
    return data._replace(tensors=tensors)


def _largest(row: "array[float]") -> int:
    """Return the index of the first largest value, as torch's argmax."""
    best = 0
    for index in range(1, len(row)):
        if row[index] > row[best]:
            best = index
    return best
