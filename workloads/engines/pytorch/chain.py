# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""The torch engine: autograd, as practitioners run it; torch 1.10 and later, no numpy.

Every method goes through the same code: frozen tensors do not require gradients, so autograd builds a graph
only from the lowest trained tensor upwards. BatchNorm uses its stored statistics, which a plan may re-estimate first.

A plan that caches fills one buffer of ``cache_floats`` floats a sample during the first epoch; from the
second epoch on a step is: gather the batch's rows, adapters, loss, backward through the adapters, update.
"""

import math
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F

from tunebench.workloads import defaults, seeds
from tunebench.workloads.engines.pytorch import lean
from tunebench.workloads.engines.pytorch.session import TorchSession, to_torch, version
from tunebench.workloads.engines.session import Evaluation, Mark, no_mark
from tunebench.workloads.methods.plan import STATISTICS, Adapter, counts, own_parts
from tunebench.workloads.methods.table import FORWARD_ONLY
from tunebench.workloads.models.graph import product, shapes_of, weight_shapes
from tunebench.workloads.tasks.task import Task

__all__ = ["Session", "version"]

_EVALUATE_ROWS = 256  # bounds the memory of an evaluation


class Session(TorchSession):
    """A fine-tuning of a chain of layers on torch.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).
    """

    def __init__(self, task: Task, cache: Optional[bool] = None) -> None:
        super().__init__(task)
        self.scale = task.spec.scale
        self.layers = self.plan.graph.layers
        self.last = len(self.layers) - 1
        shapes = shapes_of(self.plan.graph)
        self.in_shapes = [
            (layer.channels_in,) if layer.op == "linear" else shapes[layer.inputs[0]] for layer in self.layers
        ]
        self.places = self.plan.places
        #: numbers of the layers whose input is cached, and its size
        self.cached = [(index, product(self.in_shapes[index])) for index in self.plan.cached_inputs]
        self.train_x, self.train_y = self._part("finetune")
        self.test_x, self.test_y = self._part("test")
        self.base = {
            name: to_torch(task.weights.need(name)).clone().to(self.device)
            for name, _ in weight_shapes(self.plan.graph)
        }
        self.adapters = [self._start_adapter(adapter) for adapter in self.plan.adapters]
        self.will_train(self._trained(), [second for _, second in self.adapters])
        self.statistics = [
            self.base[name + "." + part] for name in self.plan.statistics for part in STATISTICS
        ]
        #: while statistics are re-estimated: how far they move towards a batch's own
        self.share: Optional[float] = None
        self.cache = self._empty_cache() if self.plan.caches and cache is not False else None

    def _part(self, part: str) -> Tuple[Any, Any]:
        inputs, labels = (to_torch(self.task.data.need(part + suffix)) for suffix in ("_x", "_y"))
        return inputs.to(self.device), labels.to(torch.int64).to(self.device)

    def _start_adapter(self, adapter: Adapter) -> Tuple[Any, Any]:
        count = product(adapter.extractor)
        values = seeds.kaiming_uniform(count, adapter.fan_in, self.task.spec.seed, adapter.name)
        first = torch.frombuffer(values, dtype=torch.float32).reshape(adapter.extractor).clone()
        return first.to(self.device), torch.zeros(adapter.mapper, device=self.device)

    def _trained(self) -> List[Any]:
        chosen: List[Any] = []
        for layer in self.layers:
            chosen += [self.base[layer.name + "." + part] for part in own_parts(self.plan, layer)]
        if self.plan.frozen_extractors:
            return chosen + [second for _, second in self.adapters]
        return chosen + [item for pair in self.adapters for item in pair]

    def _empty_cache(self) -> Any:
        width = counts(self.plan).cache_floats
        return torch.full((self.task.n_train, width), float("nan"), device=self.device)

    # forward -----------------------------------------------------------------------------------------------

    def _layer(self, index: int, x: Any) -> Any:
        """Return the output of a layer's linear part: weight and bias, no adapter, no BatchNorm."""
        layer = self.layers[index]
        weight, bias = self.base[layer.name + ".weight"], self.base[layer.name + ".bias"]
        if layer.op == "linear":
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding)

    def _adapt(self, y: Any, which: int, x: Any) -> Any:
        """Return ``y + scale * B(A(x))`` for adapter number ``which``."""
        layer, (first, second) = self.layers[self.places[which][0]], self.adapters[which]
        if layer.op == "linear":
            low = F.linear(F.linear(x, first), second)
        else:
            low = F.conv2d(F.conv2d(x, first, None, layer.stride, layer.padding), second)
        return y + low if self.scale == 1.0 else torch.add(y, low, alpha=self.scale)

    def _norm(self, index: int, y: Any) -> Any:
        name, base = self.layers[index].name, self.base
        part = name + "."
        if self.plan.frozen_extractors and self.share is None and name not in self.plan.norms:
            parts = tuple(base[part + key] for key in ("mean", "variance", "gamma", "beta"))
            return lean.relu(lean.norm(y, parts, defaults.BATCHNORM_EPSILON))
        y = F.batch_norm(
            y,
            base[part + "mean"],
            base[part + "variance"],
            base[part + "gamma"],
            base[part + "beta"],
            self.share is not None,
            self.share or 0.0,
            defaults.BATCHNORM_EPSILON,
        )
        return F.relu(y)

    def _body(self, x: Any) -> List[Any]:
        """Return the inputs of all layers; the last layer itself is not run."""
        inputs: List[Any] = []
        for index, shape in enumerate(self.in_shapes):
            x = x.reshape((x.shape[0],) + shape)
            inputs.append(x)
            if index < self.last:
                y = self._layer(index, x)
                for which, (start, end) in enumerate(self.places):
                    if end == index:
                        y = self._adapt(y, which, inputs[start])
                x = self._norm(index, y)
        return inputs

    def _head(self, inputs: Dict[int, Any], output: Optional[Any]) -> Any:
        """Return the logits from the layers' inputs and, if given, the last layer's output before its adapters."""
        logits = self._layer(self.last, inputs[self.last]) if output is None else output
        for which, (start, end) in enumerate(self.places):
            if end == self.last:
                logits = self._adapt(logits, which, inputs[start])
        return logits

    def forward(self, x: Any) -> Any:
        """Compute logits (n, n_classes) of inputs (n, n_in), nothing cached."""
        return self._head(dict(enumerate(self._body(x))), None)

    # the cache ---------------------------------------------------------------------------------------------

    def compute_cached(self, x: Any) -> Any:
        """Compute what the cache must hold for inputs ``x``: (n, cache_floats)."""
        with torch.no_grad():
            inputs = self._body(x)
            kept = [inputs[index].reshape(x.shape[0], -1) for index, _ in self.cached]
            if self.plan.cached_output:
                kept.append(self._layer(self.last, inputs[self.last]))
            return torch.cat(kept, 1)

    def _forward_cached(self, x: Any, kept: Any) -> Any:
        """Return the logits from the inputs ``x`` and their cached rows."""
        inputs, at = {0: x}, 0
        for index, size in self.cached:
            inputs[index] = kept[:, at : at + size]
            at += size
        return self._head(inputs, kept[:, at:] if self.plan.cached_output else None)

    def cache_error(self) -> Optional[float]:
        """Return the largest |cached - recomputed| over the fine-tuning set; None if nothing is cached.

        Recomputed in the batches in which the cache was filled: matrix products of another number of rows
        round differently, by more than 1e-6 where activations are large.
        """
        if self.cache is None:
            return None
        worst = 0.0
        for rows in self.batches[self.filled_epoch or 0]:
            kept = self.cache.index_select(0, rows)
            again = self.compute_cached(self.train_x.index_select(0, rows))
            difference = float((kept - again).abs().max())
            if math.isnan(difference):  # a row that was never filled
                return float("inf")
            worst = max(worst, difference)
        return worst

    # training ----------------------------------------------------------------------------------------------

    def warm_up(self, steps: int) -> None:
        task = self.task._replace(spec=self.task.spec._replace(epochs=1))
        copy = Session(task, cache=None if self.cache is not None else False)
        if self.plan.statistics:
            copy.reestimate(copy.batches[0][:steps])
        if not self.plan.trains:
            return
        for _ in range(2 if self.cache is not None else 1):  # a cached plan has two kinds of step
            for rows in copy.batches[0][:steps]:
                copy.step(rows, no_mark)
            copy.filled_epoch = 0

    def observe(self, rows: Any, share: float) -> None:
        self.share = share
        self._body(self.train_x.index_select(0, rows))
        self.share = None

    def step(self, rows: Any, mark: Mark) -> Any:
        """Do one update on the samples ``rows``; return the loss before it, detached, on the device."""
        mark("gather")
        x, y = self.train_x.index_select(0, rows), self.train_y.index_select(0, rows)
        if self.plan.gradient == FORWARD_ONLY:
            return self._forward_only(lambda: F.cross_entropy(self.forward(x), y), mark)
        if self.cache is None:
            mark("forward")
            logits = self.forward(x)
        else:
            logits = self._forward_cached(x, self._lookup(self.cache, rows, x, mark))
        loss = F.cross_entropy(logits, y)
        return self._descend(loss, mark)

    def _lookup(self, cache: Any, rows: Any, x: Any, mark: Mark) -> Any:
        """Return the cached rows of a batch; in the first epoch they are computed and stored."""
        self.lookups += len(rows)
        if self.filled_epoch is None:
            mark("cache_fill")
            kept = self.compute_cached(x)
            cache.index_copy_(0, rows, kept)
        else:
            self.hits += len(rows)
            kept = cache.index_select(0, rows)
        mark("forward")
        return kept

    def evaluate(self) -> Evaluation:
        predicted: List[int] = []
        with torch.no_grad():
            for at in range(0, self.test_x.shape[0], _EVALUATE_ROWS):
                logits = self.forward(self.test_x[at : at + _EVALUATE_ROWS])
                predicted += logits.argmax(1).tolist()
        labels = self.test_y.tolist()
        right = sum(label == guess for label, guess in zip(labels, predicted))
        return Evaluation(right / len(labels), len(labels), labels, predicted)
