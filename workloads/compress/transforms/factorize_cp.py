"""Factorise convolutions by the canonical polyadic decomposition: 1x1 down, one kernel a channel, 1x1 up.

The weight (outputs, inputs, places of the kernel) becomes a sum of products of three vectors, found by alternating least
squares. Source: Lebedev et al., Speeding-up Convolutional Neural Networks Using Fine-tuned CP-Decomposition, ICLR 2015
(there with the kernel's two sides apart).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Array, State, TransformError
from tunebench.workloads.models.graph import Node, shapes_of

KEYS = {"keep": Key(0.5, 0, 1)}
_ROUNDS = 100
_ENOUGH = 1e-7


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Split each convolution of one group and a kernel above 1x1; its rank is ``keep`` of the smaller of its channels.

    Raises:
        TransformError: the network has none.
    """
    nodes: list[Node] = []
    tensors, n_split, shapes = dict(state.tensors), 0, shapes_of(state.graph)
    for node in state.graph.nodes:
        if node.op != "conv" or node.groups != 1 or node.kernel == 1 or node.fixed or node.channels_in == 1:
            nodes.append(node)
            continue
        rank = max(1, round(keys["keep"] * min(node.channels_in, node.channels_out)))
        down, middle, up, weights = split(
            node, tensors.pop(f"{node.name}.weight"), rank, shapes[node.inputs[0]][1:]
        )
        tensors.update(weights)
        nodes += [down, middle, up]
        n_split += 1
    if not n_split:
        raise TransformError(
            f"factorize cp: model {state.graph.name!r} has no convolution of one group with a kernel above 1x1"
        )
    return replace(state, graph=state.graph._replace(nodes=tuple(nodes)), tensors=tensors, masks={})


def split(
    node: Node, weight: Array, rank: int, source_sides: tuple[int, ...]
) -> tuple[Node, Node, Node, dict[str, Array]]:
    """Return the three layers and their weights; ``source_sides``: height and width of what the convolution reads."""
    outputs, inputs, places = decomposed(weight.reshape(*weight.shape[:2], -1).astype(np.float64), rank)
    names = f"{node.name}_down", f"{node.name}_places"
    down = node._replace(
        name=names[0], shape=(rank, *source_sides), kernel=1, stride=1, padding=0, dilation=1,
        bias=False, norm=False, act="", block=False,
    )  # fmt: skip
    middle = node._replace(
        name=names[1], inputs=(names[0],), shape=(rank, *node.shape[1:]), channels_in=rank, groups=rank,
        bias=False, norm=False, act="", block=False,
    )  # fmt: skip
    up = node._replace(inputs=(names[1],), channels_in=rank, kernel=1, stride=1, padding=0, dilation=1)
    weights = {
        f"{names[0]}.weight": inputs.T.reshape(down.weight_shape),
        f"{names[1]}.weight": places.T.reshape(middle.weight_shape),
        f"{node.name}.weight": outputs.reshape(up.weight_shape),
    }
    return down, middle, up, {name: values.astype(np.float32) for name, values in weights.items()}


def decomposed(tensor: Array, rank: int) -> tuple[Array, Array, Array]:
    """Return the three factors of a tensor, (size, rank) each: alternating least squares from fixed random starts."""
    random = np.random.default_rng(0)
    factors: list[Array] = [random.standard_normal((size, rank)) for size in tensor.shape]
    unfolded = [np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1) for axis in range(3)]
    before = np.inf
    for _ in range(_ROUNDS):
        for axis in range(3):
            left, right = (factors[other] for other in range(3) if other != axis)
            both = (left[:, None] * right[None]).reshape(-1, rank)
            gram = (left.T @ left) * (right.T @ right)
            factors[axis] = np.linalg.lstsq(gram, (unfolded[axis] @ both).T, rcond=None)[0].T
        error = relative_error(tensor, factors)
        if before - error < _ENOUGH:
            break
        before = error
    # The three vectors of a product are made equally long, so that no layer starts far smaller than another.
    lengths = [np.linalg.norm(factor, axis=0) for factor in factors]
    each = np.cbrt(lengths[0] * lengths[1] * lengths[2])
    even = [
        factor * np.where(length > 0, each / np.where(length > 0, length, 1), 0)
        for factor, length in zip(factors, lengths, strict=True)
    ]
    return even[0], even[1], even[2]


def relative_error(tensor: Array, factors: list[Array] | tuple[Array, Array, Array]) -> float:
    """Return the distance between a tensor and its factors' product, over the tensor's length."""
    made = np.einsum("ar,br,cr->abc", *factors, optimize=True)
    return float(np.linalg.norm(tensor - made) / max(float(np.linalg.norm(tensor)), 1e-30))
