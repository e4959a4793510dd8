"""What nodes without weights compute: an op, or an activation, is one function and one line."""

from typing import Any, Callable, Dict, List

import torch
import torch.nn.functional as F

from tunebench.workloads.engines.pytorch import lean
from tunebench.workloads.models.graph import Node


def _add(node: Node, inputs: List[Any]) -> Any:
    return inputs[0] + inputs[1]


def _concat(node: Node, inputs: List[Any]) -> Any:
    return torch.cat(inputs, 1)


def _slice(node: Node, inputs: List[Any]) -> Any:
    return inputs[0][:, node.first : node.first + node.channels_out]


def _shuffle(node: Node, inputs: List[Any]) -> Any:
    x = inputs[0]
    return x.reshape(len(x), node.groups, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)


def _multiply(node: Node, inputs: List[Any]) -> Any:
    x, factor = inputs
    return x * (factor if factor.dim() == x.dim() else factor[:, :, None, None])


def _maxpool(node: Node, inputs: List[Any]) -> Any:
    return F.max_pool2d(inputs[0], node.kernel, node.stride, node.padding, ceil_mode=node.ceil)


def _avgpool(node: Node, inputs: List[Any]) -> Any:
    x = inputs[0]
    return x.mean((2, 3)) if node.kernel == 1 else F.adaptive_avg_pool2d(x, node.kernel).flatten(1)


def _pad(node: Node, inputs: List[Any]) -> Any:
    top, bottom, left, right = node.pads
    return F.pad(inputs[0], (left, right, top, bottom))


def _upsample(node: Node, inputs: List[Any]) -> Any:
    return F.interpolate(inputs[0], scale_factor=float(node.stride), mode="nearest")


def _as_it_is(node: Node, inputs: List[Any]) -> Any:
    return inputs[0]


#: op -> what it computes of its inputs, before its activation
PLAIN: Dict[str, Callable[[Node, List[Any]], Any]] = {
    "add": _add,
    "concat": _concat,
    "slice": _slice,
    "shuffle": _shuffle,
    "multiply": _multiply,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "pad": _pad,
    "upsample": _upsample,
    "activate": _as_it_is,
}

#: activation -> function; ReLU works in place: what comes before (BatchNorm, convolution, sum) does not need its output
#: again
_ACTIVATIONS: Dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    "relu": lambda x: F.relu(x, inplace=True),
    "relu6": lambda x: F.relu6(x, inplace=True),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
}
_LEAN: Dict[str, Callable[[Any], Any]] = dict(_ACTIVATIONS, relu=lean.relu, relu6=lean.relu6)


def activated(x: Any, act: str, leanly: bool) -> Any:
    """Return ``x`` after its activation.

    Args:
        x: what the node has computed.
        act: its activation.
        leanly: no more is kept for the gradient than frozen layers need.
    """
    return (_LEAN if leanly else _ACTIVATIONS)[act](x)
