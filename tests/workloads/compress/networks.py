"""Networks with made-up weights: what is tested is arithmetic, not learning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import numpy as np

from tunebench.workloads.compress import TRANSFORMS
from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import settled
from tunebench.workloads.compress.state import State, checked
from tunebench.workloads.compress.train import Part
from tunebench.workloads.models import graph_of
from tunebench.workloads.models.graph import Builder, weight_shapes

IMAGES = (1, 28, 28)
SMALL = {
    "mlp": (64,),
    "cnn": (64,),
    "resnet-small": IMAGES,
    "squeezenet-small": IMAGES,
    "mobilenetv2-small": IMAGES,
    "shufflenetv2-small": IMAGES,
    "mobilenetv3-tiny": IMAGES,
    "efficientnet-small": IMAGES,
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


#: transform -> keys that must be given
KEYS = {("prune", "structured"): {"ratio": 0.5}, ("prune", "magnitude"): {"ratio": 0.8}}


def applied(state: State, kind: str, how: str, **keys: object) -> State:
    """Return the network after a transform."""
    transform = TRANSFORMS[kind, how]
    given = {**KEYS.get((kind, how), {}), **keys}
    return checked(
        transform.load().apply(state, settled("it", given, transform.keys, transform.trains), context(state))
    )


def odd(first_act: str = "silu") -> State:
    """Return a network of the ops that no small classifier has, and of every activation in every place it has."""
    build = Builder("odd", "classify", (1, 9, 9))
    scaled = build.normalise("scaled", "input", ((0.3, 0.5), (0.4, 0.6), (0.5, 0.7)))
    again = build.normalise("again", scaled, ((0.1, 0.9), (0.2, 0.8), (0.3, 0.7)))
    padded = build.pad("padded", again, (0, 1, 2, 3))
    first = build.conv("first", padded, 8, 3, 2, act=first_act)
    deep = build.conv("deep", first, 8, 3, 2, groups=8, act="relu6")
    pooled = build.maxpool("pooled", first, 3, 2, padding=1)
    both = build.concat("both", deep, pooled)
    part = build.slice("part", both, 3, 6)
    other = build.slice("other", both, 10, 6)
    total = build.add("total", part, other, act="relu6")
    mixed = build.shuffle("mixed", total, 3)
    factors = build.activate("factors", build.linear("low", build.avgpool("means", mixed), 6), "sigmoid")
    y = build.multiply("again_scaled", build.multiply("scaled_maps", mixed, factors), total)
    for act in ("silu", "sigmoid", "hardsigmoid", "hardswish"):
        y = build.add(f"with_{act}", y, build.activate(act, y, act))
    build.linear("head", y, 5)
    graph = build.graph("head")
    random = np.random.default_rng(3)
    return State(
        graph,
        {
            name: (np.abs(values) + 0.5 if name.endswith("variance") else 0.4 * values).astype(np.float32)
            for name, shape in weight_shapes(graph)
            for values in (random.standard_normal(shape),)
        },
    )


def with_node(state: State, **fields: object) -> State:
    """Return the network with another first node."""
    first, *rest = state.graph.nodes
    return replace(state, graph=state.graph._replace(nodes=(first._replace(**fields), *rest)))


#: name -> network that every writer is held against
CASES: dict[str, Callable[[], State]] = {
    **{name: partial(network, name) for name in SMALL},
    "odd": odd,
    "pruned": lambda: applied(network("resnet-small"), "prune", "structured"),
    "svd": lambda: applied(network("resnet-small"), "factorize", "svd"),
    "cp": lambda: applied(network("resnet-small"), "factorize", "cp"),
    "shared": lambda: applied(network("resnet-small"), "share", "kmeans"),
}


@cache
def case(name: str) -> State:
    """Return a network of :data:`CASES`, made once."""
    return CASES[name]()
