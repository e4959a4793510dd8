"""Factorise layers by singular values: a layer becomes one of low rank and one that spreads its outputs again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Array, State
from tunebench.workloads.models.graph import Node

KEYS = {"keep": Key(0.5, 0, 1)}


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Split each convolution of one group and each linear layer, so that ``keep`` of its multiply-adds are left."""
    nodes: list[Node] = []
    tensors = dict(state.tensors)
    for node in state.graph.nodes:
        rank = rank_of(node, keys["keep"])
        if rank is None:
            nodes.append(node)
            continue
        first, second, weights = split(node, tensors.pop(f"{node.name}.weight"), rank)
        tensors.update(weights)
        nodes += [first, second]
    return replace(state, graph=state.graph._replace(nodes=tuple(nodes)), tensors=tensors, masks={})


def rank_of(node: Node, keep: float) -> int | None:
    """Return the largest rank that keeps so much of a layer's multiply-adds; None of a layer that is left as it is."""
    if node.op not in ("conv", "linear") or node.fixed or node.groups != 1:
        return None
    fan_in = node.fan_in if node.op == "conv" else node.channels_in
    rank = int(keep * node.channels_out * fan_in / (node.channels_out + fan_in))
    return rank if 1 <= rank < min(node.channels_out, fan_in) else None


def split(node: Node, weight: Array, rank: int) -> tuple[Node, Node, dict[str, Array]]:
    """Return the two layers and their weights; at full rank they give what the layer gave."""
    matrix = weight.reshape(len(weight), -1).astype(np.float64)
    left, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    # The sign of a singular vector is free: the largest entry of each is made positive, so that bits are the same again.
    signs = np.sign(left[np.abs(left).argmax(0), np.arange(left.shape[1])])
    root = np.sqrt(sizes[:rank])
    out, low = left[:, :rank] * signs[:rank] * root, (right[:rank].T * signs[:rank] * root).T
    name = f"{node.name}_low"
    if node.op == "linear":
        first = node._replace(name=name, shape=(rank,), bias=False, norm=False, act="", block=False)
        second = node._replace(inputs=(name,), channels_in=rank)
    else:
        first = node._replace(
            name=name, shape=(rank, *node.shape[1:]), bias=False, norm=False, act="", block=False
        )
        second = node._replace(inputs=(name,), channels_in=rank, kernel=1, stride=1, padding=0, dilation=1)
    weights = {
        f"{name}.weight": low.astype(np.float32).reshape(first.weight_shape),
        f"{node.name}.weight": out.astype(np.float32).reshape(second.weight_shape),
    }
    return first, second, weights
