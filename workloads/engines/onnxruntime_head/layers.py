# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""The layers behind a trunk, in numpy: scores of classes, and the gradients of what trains.

    scores = x W^T + b + scale * [x_1 A_1^T ... x_k A_k^T] B^T

``x`` and ``x_i`` are values that the trunk gives. With skip adapters it gives ``x W^T + b`` itself; the adapter of a last
layer reads the layer's own input.
"""

from typing import Any, List, Tuple

import numpy

from tunebench.workloads import seeds
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.head import Head
from tunebench.workloads.engines.onnxruntime_head.trunk import columns_of


class Layers(object):
    """A linear layer, or none, and adapters beside it.

    Args:
        head: which layers.
        weights: start weights of the last layer.
        rank, scale, seed: of the adapters.

    Attributes:
        trained: float32 arrays that train, in the order of the updates.
        mapper: the joined B (classes, adapters x rank); one of the trained if there are adapters.
    """

    def __init__(self, head: Head, weights: Artefact, rank: int, scale: float, seed: int) -> None:
        columns = columns_of(head.widths)
        self.scale, self.rank = numpy.float32(scale), rank
        self._read = columns[-1]  # what the last layer reads, or the scores
        self._starts = [columns[adapter.given] for adapter in head.adapters]
        self._trains, self._layer = head.trains, head.layer
        self.weight: Any = None
        self.bias: Any = None
        if head.layer:
            self.weight = start_values(weights, head.layer + ".weight").reshape(head.classes, -1)
            self.bias = start_values(weights, head.layer + ".bias")
        self.extractors = [
            numpy.array(
                seeds.kaiming_uniform(rank * head.widths[adapter.given], adapter.fan_in, seed, adapter.name),
                numpy.float32,
            ).reshape(rank, -1)
            for adapter in head.adapters
        ]
        self.mapper = numpy.zeros((head.classes, rank * len(head.adapters)), numpy.float32)
        self.trained: List[Any] = (
            [self.weight] * head.trains[0] + [self.bias] * head.trains[1] + self.extractors
        )
        self.trained += [self.mapper] * bool(head.adapters)

    def scores(self, values: Any) -> Tuple[Any, Any]:
        """Return the scores (n, classes) of samples' values, and the adapters' middle values (n, adapters x rank)."""
        scores = values[:, self._read]
        if self._layer:
            scores = scores @ self.weight.T + self.bias
        if not self.extractors:
            return scores, None
        parts = [values[:, start] @ extractor.T for start, extractor in zip(self._starts, self.extractors)]
        low = numpy.concatenate(parts, 1)
        return scores + self.scale * (low @ self.mapper.T), low

    def gradients(self, values: Any, low: Any, slope: Any) -> List[Any]:
        """Return the gradients of what trains, in its order.

        Args:
            values: of the trunk.
            low: the adapters' middle values.
            slope: of the loss by the scores.
        """
        made = []
        if self._trains[0]:
            made.append(slope.T @ values[:, self._read])
        if self._trains[1]:
            made.append(slope.sum(0))
        if self.extractors:
            slope = self.scale * slope
            below = slope @ self.mapper
            for at, start in enumerate(self._starts):
                made.append(below[:, at * self.rank : (at + 1) * self.rank].T @ values[:, start])
            made.append(slope.T @ low)
        return made


def start_values(weights: Artefact, name: str) -> Any:
    """Return a copy of a tensor of start weights, flat."""
    return numpy.frombuffer(weights.need(name).data, "<f4").astype(numpy.float32)


def cross_entropy(scores: Any, labels: Any) -> Tuple[float, Any]:
    """Return the mean cross-entropy of a batch, and its gradient by the scores.

    Args:
        scores: float32 (n, classes).
        labels: class of each sample (n,).
    """
    shifted = scores - scores.max(1, keepdims=True)
    shares = numpy.exp(shifted)
    sums = shares.sum(1, keepdims=True)
    rows = numpy.arange(len(labels))
    loss = float((numpy.log(sums[:, 0]) - shifted[rows, labels]).mean())
    shares /= sums
    shares[rows, labels] -= 1
    shares /= len(labels)
    return loss, shares
