"""Networks with made-up weights: what is tested is arithmetic, not learning."""

from __future__ import annotations

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.state import State
from tunebench.workloads.compress.train import Part
from tunebench.workloads.models import graph_of
from tunebench.workloads.models.graph import weight_shapes

IMAGES = (1, 28, 28)
SMALL = {
    "mlp": (64,),
    "cnn": (64,),
    "resnet-small": IMAGES,
    "squeezenet-small": IMAGES,
    "mobilenetv2-small": IMAGES,
}


def network(name: str, seed: int = 1) -> State:
    """Return a network whose values stay near 1 from layer to layer."""
    graph = graph_of(name, SMALL[name], 10)
    random = np.random.default_rng(seed)
    tensors = {}
    for tensor, shape in weight_shapes(graph):
        values = random.standard_normal(shape)
        if tensor.endswith(".weight"):
            values *= (2 / np.prod(shape[1:])) ** 0.5
        elif tensor.endswith(".variance"):
            values = np.abs(values) + 0.5
        elif tensor.endswith(".gamma"):
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        tensors[tensor] = values.astype(np.float32)
    return State(graph, tensors)


def samples(state: State, n: int = 8) -> np.ndarray:
    """Return samples from 0 to 1."""
    return np.random.default_rng(2).random((n, *state.graph.shape)).astype(np.float32)


def context(state: State, n: int = 24) -> Context:
    """Return a context whose source domain is a few samples."""
    part = Part(samples(state, n), (np.arange(n) % 10).astype(np.int32))
    return Context(part, part, state, batch=8, rate=0.001, seed=0)
