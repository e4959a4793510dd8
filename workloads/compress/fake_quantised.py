"""Train through 8 bits: a network whose weights and values are rounded on the way forward, and not on the way back.

Rounded as :mod:`~tunebench.workloads.compress.forms.onnx_writer` writes: weights for each output channel, symmetric;
values for each tensor, from the smallest to the largest of the batch. A channel's scale commutes with BatchNorm's, so
rounding before BatchNorm is folded is rounding after. The gradient passes as if nothing were rounded (straight-
through estimator: Bengio et al., arXiv 1308.3432).
"""

from __future__ import annotations

from typing import Any

import torch

from tunebench.workloads.compress.forms.onnx_writer import SAME_SCALE
from tunebench.workloads.engines.pytorch.networks.network import Network
from tunebench.workloads.models.graph import INPUT, Node


class FakeQuantised(Network):
    """A network that computes in rounded numbers."""

    def run(self, given: dict[str, Any], wanted: Any) -> tuple[Any, ...]:
        """Return the values of some nodes, from rounded inputs on."""
        rounded = {name: _value(x) if name == INPUT else x for name, x in given.items()}
        values: tuple[Any, ...] = super().run(rounded, wanted)
        return values

    def _value(self, node: Node, inputs: list[Any]) -> Any:
        if node.op not in ("conv", "linear"):
            x = super()._value(node, inputs)
        else:
            layer = getattr(self, node.name)
            weight = layer.weight
            # The layer runs with rounded weights and keeps its own: only these are a parameter.
            del layer._parameters["weight"]
            layer.weight = _weight(weight)
            try:
                x = super()._value(node, inputs)
            finally:
                del layer.weight
                layer._parameters["weight"] = weight
        same = node.op in SAME_SCALE or node.name in self.graph.outputs
        return x if same else _value(x)


def _through(x: Any, rounded: Any) -> Any:
    return x + (rounded - x).detach()


def _weight(weight: Any) -> Any:
    with torch.no_grad():
        largest = weight.abs().flatten(1).amax(1)
        scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
        scale = scale.reshape(-1, *[1] * (weight.dim() - 1))
        rounded = (weight / scale).round().clamp(-127, 127) * scale
    return _through(weight, rounded)


def _value(x: Any) -> Any:
    with torch.no_grad():
        low, high = x.min().clamp(max=0.0), x.max().clamp(min=0.0)
        scale = (high - low) / 255
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        zero = (-low / scale).round()
        rounded = ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale
    return _through(x, rounded)
