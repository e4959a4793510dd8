# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""The torch engine: autograd, as practitioners run it; torch 1.10 and later, no numpy.

Every method goes through the same code: frozen tensors do not require gradients, so autograd builds a graph
only from the lowest trained tensor upwards. SGD is written out in place (``p -= lr * g``). BatchNorm uses its
stored statistics and affine in every method.

A plan that caches fills one buffer of ``cache_floats`` floats a sample during the first epoch; from the
second epoch on a step is: gather the batch's rows, adapters, loss, backward through the adapters, update.
"""

import math
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F

from workloads import methods, protocol, seeds
from workloads.artefact import Tensor
from workloads.engines.session import Evaluation, Mark, no_mark
from workloads.engines.session import Session as BaseSession
from workloads.spec import SpecError
from workloads.task import Task, weight_shapes

_EVALUATE_ROWS = 256  # bounds the memory of an evaluation


def version() -> str:
    """The engine's version, e.g. ``torch 2.13.0+cpu``."""
    return "torch %s" % torch.__version__


def to_torch(item: Tensor) -> Any:
    """An artefact's tensor as a torch tensor of its own memory."""
    dtype = {"float32": torch.float32, "int32": torch.int32, "uint8": torch.uint8}[item.dtype]
    if item.size == 0:
        return torch.empty(item.shape, dtype=dtype)
    return torch.frombuffer(item.array(), dtype=dtype).reshape(item.shape)


def exact_float32() -> None:
    """float32 means float32: no TF32 on a GPU, and the same convolution algorithm every time."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True


class Session(BaseSession):
    """A fine-tuning on torch.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).
    """

    def __init__(self, task: Task, cache: Optional[bool] = None) -> None:
        spec = task.spec
        if spec.device == "cuda" and not torch.cuda.is_available():
            raise SpecError("workload.device is 'cuda', but %s finds no CUDA device" % version())
        torch.set_num_threads(spec.threads)
        exact_float32()
        self.task, self.plan, self.lr, self.scale = task, task.plan, spec.lr, spec.scale
        self.device = torch.device(spec.device)
        self.synchronise = torch.cuda.synchronize if spec.device == "cuda" else None
        self.train_x, self.train_y = self._part("finetune")
        self.test_x, self.test_y = self._part("test")
        self.batches = [self._epoch_batches(epoch) for epoch in range(spec.epochs)]
        self.base = {
            name: to_torch(task.weights.need(name)).clone().to(self.device)
            for name, _ in weight_shapes(self.plan.layers)
        }
        self.adapters = [self._start_adapter(adapter) for adapter in self.plan.adapters]
        self.trained = self._trained()
        for item in self.trained:
            item.requires_grad_(True)
        self.cache = self._empty_cache() if self.plan.caches and cache is not False else None
        self.filled_epoch: Optional[int] = None
        self.step_losses: List[Any] = []
        self.steps = self.lookups = self.hits = 0
        self.start: List[Any] = []

    def _part(self, part: str) -> Tuple[Any, Any]:
        inputs, labels = (to_torch(self.task.data.need(part + suffix)) for suffix in ("_x", "_y"))
        return inputs.to(self.device), labels.to(torch.int64).to(self.device)

    def _epoch_batches(self, epoch: int) -> List[Any]:
        spec = self.task.spec
        rows = seeds.batches(self.task.n_train, spec.batch, spec.seed, epoch)
        return [torch.tensor(row, dtype=torch.int64, device=self.device) for row in rows]

    def _start_adapter(self, adapter: methods.Adapter) -> Tuple[Any, Any]:
        count = 1
        for size in adapter.a_shape:
            count *= size
        values = seeds.kaiming_uniform(count, adapter.fan_in, self.task.spec.seed, adapter.name)
        first = torch.frombuffer(values, dtype=torch.float32).reshape(adapter.a_shape).clone()
        return first.to(self.device), torch.zeros(adapter.b_shape, device=self.device)

    def _trained(self) -> List[Any]:
        chosen: List[Any] = []
        for index, (weight, bias) in enumerate(zip(self.plan.weights, self.plan.biases)):
            chosen += [self.base["layer%d.weight" % index]] if weight else []
            chosen += [self.base["layer%d.bias" % index]] if bias else []
        return chosen + [item for pair in self.adapters for item in pair]

    def _empty_cache(self) -> Any:
        width = methods.counts(self.plan).cache_floats
        return torch.full((self.task.n_train, width), float("nan"), device=self.device)

    # forward -----------------------------------------------------------------------------------------------

    def _layer(self, index: int, x: Any) -> Any:
        """A layer's linear part: weight and bias, no adapter, no BatchNorm."""
        layer = self.plan.layers[index]
        weight, bias = self.base["layer%d.weight" % index], self.base["layer%d.bias" % index]
        if layer.kind == "linear":
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding)

    def _adapt(self, y: Any, which: int, x: Any) -> Any:
        """``y + scale * B(A(x))`` of adapter number ``which``."""
        adapter, (first, second) = self.plan.adapters[which], self.adapters[which]
        if adapter.conv is None:
            low = F.linear(F.linear(x, first), second)
        else:
            _, stride, padding = adapter.conv
            low = F.conv2d(F.conv2d(x, first, None, stride, padding), second)
        return y + low if self.scale == 1.0 else torch.add(y, low, alpha=self.scale)

    def _norm(self, index: int, y: Any) -> Any:
        part = "layer%d." % index
        base = self.base
        y = F.batch_norm(
            y,
            base[part + "mean"],
            base[part + "variance"],
            base[part + "gamma"],
            base[part + "beta"],
            False,
            0.0,
            protocol.BATCHNORM_EPSILON,
        )
        return F.relu(y)

    def _body(self, x: Any) -> List[Any]:
        """The inputs of all layers: everything before the last layer."""
        inputs, last = [], len(self.plan.layers) - 1
        for index, layer in enumerate(self.plan.layers):
            x = x.reshape((x.shape[0],) + layer.in_shape)
            inputs.append(x)
            if index < last:
                y = self._layer(index, x)
                for which, adapter in enumerate(self.plan.adapters):
                    if adapter.end == index:
                        y = self._adapt(y, which, inputs[adapter.start])
                x = self._norm(index, y)
        return inputs

    def _head(self, inputs: Dict[int, Any], output: Optional[Any]) -> Any:
        """The logits, from the layers' inputs and (if frozen and at hand) the last layer's output."""
        last = len(self.plan.layers) - 1
        logits = self._layer(last, inputs[last]) if output is None else output
        for which, adapter in enumerate(self.plan.adapters):
            if adapter.end == last:
                logits = self._adapt(logits, which, inputs[adapter.start])
        return logits

    def forward(self, x: Any) -> Any:
        """Logits (n, n_classes) of inputs (n, n_in), nothing cached."""
        return self._head(dict(enumerate(self._body(x))), None)

    # the cache ---------------------------------------------------------------------------------------------

    def compute_cached(self, x: Any) -> Any:
        """What the cache must hold for inputs ``x``: (n, cache_floats)."""
        with torch.no_grad():
            inputs = self._body(x)
            kept = [inputs[index].reshape(x.shape[0], -1) for index in self.plan.cached_inputs]
            if self.plan.cached_output:
                last = len(self.plan.layers) - 1
                kept.append(self._layer(last, inputs[last]))
            return torch.cat(kept, 1)

    def _forward_cached(self, x: Any, kept: Any) -> Any:
        """Logits from the inputs ``x`` and their cached rows."""
        inputs, at = {0: x}, 0
        for index in self.plan.cached_inputs:
            layer = self.plan.layers[index]
            inputs[index] = kept[:, at : at + layer.size_in]
            at += layer.size_in
        return self._head(inputs, kept[:, at:] if self.plan.cached_output else None)

    def cache_error(self) -> Optional[float]:
        """Largest |cached - recomputed| over the fine-tuning set; None if nothing is cached.

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

    def steps_per_epoch(self) -> int:
        return self.task.steps_per_epoch

    def warm_up(self, steps: int) -> None:
        once = self.task._replace(spec=self.task.spec._replace(epochs=1))
        copy = Session(once, cache=None if self.cache is not None else False)
        for _ in range(2 if self.cache is not None else 1):  # a cached plan has two kinds of step
            for rows in copy.batches[0][:steps]:
                copy.step(rows, no_mark)
            copy.filled_epoch = 0

    def hold_start(self) -> None:
        self.start = [item.detach().clone() for item in self.trained]

    def restart(self) -> None:
        with torch.no_grad():
            for item, first in zip(self.trained, self.start):
                item.copy_(first)
        self.filled_epoch = None  # the cache is computed anew and overwritten row by row
        self.steps = self.lookups = self.hits = 0

    def train_epoch(self, epoch: int, mark: Mark) -> float:
        self.step_losses = [self.step(rows, mark) for rows in self.batches[epoch]]
        if self.cache is not None and self.filled_epoch is None:
            self.filled_epoch = epoch
        sizes = [float(len(rows)) for rows in self.batches[epoch]]
        weights = torch.tensor(sizes, device=self.device)
        return float(torch.dot(torch.stack(self.step_losses), weights)) / self.task.n_train

    def step(self, rows: Any, mark: Mark) -> Any:
        """One update on the samples ``rows``; return the loss before it, detached, on the device."""
        mark("gather")
        x, y = self.train_x.index_select(0, rows), self.train_y.index_select(0, rows)
        if self.cache is None:
            mark("forward")
            logits = self.forward(x)
        else:
            logits = self._forward_cached(x, self._lookup(self.cache, rows, x, mark))
        loss = F.cross_entropy(logits, y)
        mark("backward")
        gradients = torch.autograd.grad(loss, self.trained)
        mark("update")
        with torch.no_grad():
            for item, gradient in zip(self.trained, gradients):
                item.add_(gradient, alpha=-self.lr)
        self.steps += 1
        return loss.detach()

    def _lookup(self, cache: Any, rows: Any, x: Any, mark: Mark) -> Any:
        """The cached rows of a batch; in the first epoch they are computed and stored."""
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

    def facts(self) -> Dict[str, Any]:
        counted = methods.counts(self.plan)
        metrics: Dict[str, float] = {}
        if self.device.type == "cuda":
            # Tensors, and what the caching allocator holds for them: on a Jetson neither is in VmHWM.
            metrics["cuda_max_allocated_b"] = torch.cuda.max_memory_allocated()
            metrics["cuda_max_reserved_b"] = torch.cuda.max_memory_reserved()
        return {
            "steps": self.steps,
            "params_total": counted.total,
            "params_trainable": counted.trainable,
            "update_b": counted.update_b,
            "cache_b": None if self.cache is None else 4 * self.cache.numel(),
            "cache_hit_ratio": self.hits / self.lookups if self.cache is not None and self.lookups else None,
            "engine_version": version(),
            "metrics": metrics,
        }
