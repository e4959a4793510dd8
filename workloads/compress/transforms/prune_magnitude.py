"""Set the smallest weights of the whole network to zero. Shapes stay: only packed bytes shrink, nothing gets faster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import State

KEYS = {"ratio": Key(None, 0, 1)}


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Mask the given share of all weights of layers (biases and BatchNorm are kept), smallest first over all layers."""
    names = [f"{node.name}.weight" for node in state.graph.layers if not node.fixed]
    sizes = np.concatenate([np.abs(state.tensors[name]).reshape(-1) for name in names])
    n_zero = round(keys["ratio"] * len(sizes))
    # Stable: of equal weights the earlier ones go, so that the count is exact and the bits are the same again.
    alive = np.ones(len(sizes), np.float32)
    alive[np.argsort(sizes, kind="stable")[:n_zero]] = 0
    masks, tensors, at = {}, dict(state.tensors), 0
    for name in names:
        values = tensors[name]
        masks[name] = alive[at : at + values.size].reshape(values.shape)
        tensors[name] = values * masks[name]
        at += values.size
    return replace(state, tensors=tensors, masks=masks)
