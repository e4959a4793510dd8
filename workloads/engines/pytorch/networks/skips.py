"""Start values of skip adapters, which are nodes of a network's graph."""

from typing import Any, List

import torch

from tunebench.workloads import seeds
from tunebench.workloads.engines.pytorch.networks.network import Network
from tunebench.workloads.methods.skips import MAPPER


def start_skips(model: Network, scale: float, seed: int) -> List[Any]:
    """Set every A Kaiming-uniform and B to zero, so that the scores are those of before; return their weights.

    Args:
        model: a network whose graph has skip adapters, or none.
        scale: factor of their part.
        seed: of the start values.
    """
    model.scale = scale
    weights: List[Any] = []
    with torch.no_grad():
        for node in model.graph.added:
            weight = getattr(model, node.name).weight
            if node.name == MAPPER:
                weight.zero_()
            else:
                values = seeds.kaiming_uniform(node.n_weights, node.fan_in, seed, node.name)
                weight.copy_(torch.frombuffer(values, dtype=torch.float32).reshape(weight.shape))
            weights.append(weight)
    return weights


def mapper_of(model: Network) -> List[Any]:
    """Return the weight of the joined B of a network's skip adapters; nothing of a network without."""
    return [getattr(model, MAPPER).weight] if model.graph.added else []
