"""A fine-tuned network as plain arrays: what an update is made of."""

from array import array
from typing import Any, Dict, List, Tuple

import torch

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.pytorch.networks.adapter import Adapted
from tunebench.workloads.engines.pytorch.networks.network import Network, norm_of
from tunebench.workloads.methods.plan import Plan, changed_names, own_names
from tunebench.workloads.methods.skips import MAPPER
from tunebench.workloads.updates import Exported, Values

_NORM_PARTS = (("gamma", "weight"), ("beta", "bias"), ("mean", "running_mean"), ("variance", "running_var"))


def exported(model: Network, plan: Plan, base: Artefact, scale: float) -> Exported:
    """Return the network as it is now, by the names of its weights artefact; adapters are merged in a copy.

    Args:
        base: the weights that it started from.
        scale: factor of the adapters' part.
    """
    weights: Dict[str, Values] = {}
    own: Dict[str, Values] = {}
    adapter: Dict[str, Values] = {}
    with torch.no_grad():
        for node in plan.graph.layers:
            layer = getattr(model, node.name)
            if isinstance(layer, Adapted):
                weights[node.name + ".weight"] = _values(layer.composed_weight())
                adapter[node.name + ".extractor"] = _values(layer.extractor)
                adapter[node.name + ".mapper"] = _values(layer.mapper)
                layer = layer.base
                own[node.name + ".weight"] = _values(layer.weight)
            else:
                weights[node.name + ".weight"] = _values(layer.weight)
            if node.bias:
                weights[node.name + ".bias"] = _values(layer.bias)
            if node.norm:
                weights.update(_norm(model, node.name))
    # What cannot be merged stands beside; in the weights with its scale, and before the first step it was nothing.
    for node in plan.graph.added:
        name, layer = node.name + ".weight", getattr(model, node.name)
        adapter[name] = _values(layer.weight)
        weights[name] = _values(layer.weight * scale) if node.name == MAPPER else adapter[name]
    if adapter:
        adapter.update((name, own[name] if name in own else weights[name]) for name in own_names(plan))
    changed = changed_names(plan)
    before = {
        name: Values(
            weights[name].shape, base.need(name).array() if name in base.tensors else _zeros(weights[name])
        )
        for name in changed
    }
    return Exported(weights, changed, before, adapter, scale)


def _norm(model: Network, name: str) -> List[Tuple[str, Values]]:
    norm = norm_of(model, name)
    return [("%s.%s" % (name, part), _values(getattr(norm, to))) for part, to in _NORM_PARTS]


def _zeros(like: Values) -> "array[float]":
    return array("f", bytes(4 * len(like.data)))


def _values(item: Any) -> Values:
    """Return a tensor's values, read through a list: boards' torch may come without numpy."""
    flat = item.detach().to("cpu", torch.float32).reshape(-1)
    return Values(tuple(item.shape), array("f", flat.tolist()))
