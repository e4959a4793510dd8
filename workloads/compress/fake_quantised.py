"""Train through 8 bits: a network whose weights and values are rounded on the way forward, and not on the way back.

Rounded as :mod:`~tunebench.workloads.compress.forms.onnx_writer` writes: weights for each output channel, symmetric;
values for each tensor, from the smallest to the largest of the batch, or of the calibration where there was one. A
channel's scale commutes with BatchNorm's, so rounding before BatchNorm is folded is rounding after. The gradient passes
as if nothing were rounded (straight-through estimator: Bengio et al., arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from tunebench.workloads.compress.forms.onnx_writer import SAME_SCALE, uint8_of
from tunebench.workloads.engines.pytorch.networks.network import Network
from tunebench.workloads.models.graph import INPUT, Node


class FakeQuantised(Network):
    """A network that computes in rounded numbers.

    Attributes:
        ranges: node (or ``input``) -> its smallest and largest value, which fix its scale; of others the batch does.
    """

    ranges: Mapping[str, tuple[float, float]] = {}

    def run(self, given: dict[str, Any], wanted: Any) -> tuple[Any, ...]:
        """Return the values of some nodes, from rounded inputs on."""
        rounded = {name: self._rounded(name, x) if name == INPUT else x for name, x in given.items()}
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
        return x if same else self._rounded(node.name, x)

    def _rounded(self, name: str, x: Any) -> Any:
        with torch.no_grad():
            scale, zero = uint8_of(*self.ranges[name]) if name in self.ranges else _of_batch(x)
            rounded = ((x / scale).round() + zero).clamp(0, 255).sub(zero) * scale
        return _through(x, rounded)


def _through(x: Any, rounded: Any) -> Any:
    return x + (rounded - x).detach()


def _weight(weight: Any) -> Any:
    with torch.no_grad():
        largest = weight.abs().flatten(1).amax(1)
        scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
        scale = scale.reshape(-1, *[1] * (weight.dim() - 1))
        rounded = (weight / scale).round().clamp(-127, 127) * scale
    return _through(weight, rounded)


def _of_batch(x: Any) -> tuple[Any, Any]:
    """Return scale and zero point of the values that there are."""
    low, high = x.min().clamp(max=0.0), x.max().clamp(min=0.0)
    scale = (high - low) / 255
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return scale, (-low / scale).round()
