"""Let the weights of each layer share a few values, found by k-means. Weights stay floats: only packed bytes shrink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Array, State

KEYS = {"clusters": Key(16, 2, 256, integer=True)}
_ROUNDS = 30


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Replace each weight by the centre of its cluster; zeros that are masked stay zeros."""
    tensors = dict(state.tensors)
    for node in state.graph.layers:
        name = f"{node.name}.weight"
        values = clustered(tensors[name], keys["clusters"])
        tensors[name] = values * state.masks[name] if name in state.masks else values
    return replace(state, tensors=tensors)


def clustered(values: Array, clusters: int) -> Array:
    """Return values, each replaced by the nearest of so many centres: Lloyd's rounds from evenly spaced quantiles."""
    flat = np.sort(values.reshape(-1).astype(np.float64))
    centres = np.unique(np.quantile(flat, (np.arange(clusters) + 0.5) / clusters))
    for _ in range(_ROUNDS):
        edges = np.searchsorted(flat, (centres[1:] + centres[:-1]) / 2)
        means = [
            part.mean() if len(part) else centre
            for part, centre in zip(np.split(flat, edges), centres, strict=True)
        ]
        moved = np.unique(np.array(means))
        if len(moved) == len(centres) and np.array_equal(moved, centres):
            break
        centres = moved
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values.reshape(-1))
    return centres[nearest].astype(np.float32).reshape(values.shape)
