"""Fold BatchNorm into the layer before it: what is left is a weight and a bias, as every runtime wants them."""

from __future__ import annotations

import numpy as np

from tunebench.workloads import defaults
from tunebench.workloads.compress.state import Array, State
from tunebench.workloads.models.graph import Node


def folded(state: State, node: Node) -> tuple[Array, Array]:
    """Return weight and bias of a layer, float32, with its BatchNorm in them."""
    tensors = state.tensors
    weight = tensors[f"{node.name}.weight"].astype(np.float64)
    bias = np.zeros(node.channels_out)
    if node.bias:
        bias = tensors[f"{node.name}.bias"].astype(np.float64)
    if node.norm:
        gamma, beta, mean, variance = (
            tensors[f"{node.name}.{part}"].astype(np.float64)
            for part in ("gamma", "beta", "mean", "variance")
        )
        scale = gamma / np.sqrt(variance + defaults.BATCHNORM_EPSILON)
        weight = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        bias = beta + (bias - mean) * scale
    return weight.astype(np.float32), bias.astype(np.float32)
