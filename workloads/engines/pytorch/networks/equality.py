"""Compare a layer or a model with itself before its adapters: with mappers at zero the output must be the same.

A layer may hide a forward of its own (a subclass, a method that is put on the object, a closure over its weight), so what
an adapter does to it is tried on a small input and not only read off its class. Nothing is left behind: modes, buffers,
mappers and torch's random numbers are as before. Hooks do not see a layer's trial; they belong to a model's.
"""

from typing import Any, Iterator, List, Optional, Tuple

import torch
from torch import nn

from tunebench.workloads.engines.pytorch.networks.adapter import Adapted

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
#: sums of a few thousand products may be rounded in another order; in units of the type's epsilon
_EPSILONS = 256.0


class _Undisturbed(object):
    """Keep a module as it is while it is tried: evaluation mode, no hooks, buffers and random numbers put back."""

    def __init__(self, module: Any, hooks: bool) -> None:
        self.modules = list(module.modules())
        self.buffers = [(item, item.detach().clone()) for item in module.buffers() if not _absent(item)]
        self.modes = [item.training for item in self.modules]
        self.kept: List[Tuple[Any, str, Any]] = []
        self.hooks = hooks

    def __enter__(self) -> None:
        self.state = torch.get_rng_state()
        for item in self.modules:
            item.training = False
            for kind in _HOOKS if not self.hooks else ():
                if item.__dict__.get(kind):
                    self.kept.append((item, kind, item.__dict__[kind]))
                    item.__dict__[kind] = type(item.__dict__[kind])()

    def __exit__(self, *error: Any) -> None:
        for item, kind, hooks in self.kept:
            item.__dict__[kind] = hooks
        for item, mode in zip(self.modules, self.modes):  # noqa: B905  Python 3.10
            item.training = mode
        with torch.no_grad():
            for item, values in self.buffers:
                item.copy_(values)
        torch.set_rng_state(self.state)


def why_unequal(layer: Adapted) -> Optional[str]:
    """Return why an adapted layer is not its base with mappers at zero; None if it is.

    A layer with a way of its own must also give with a mapper what it gives after :meth:`Adapted.merge`, and let a
    gradient reach the mapper. A layer as torch made it that cannot run here at all (float16 on some CPUs) is taken as
    equal.
    """
    base = layer.base
    if _absent(base.weight):
        return None
    x = _small_input(base)
    with _Undisturbed(layer, hooks=False):
        try:
            return _compared(layer, x)
        except Exception as error:  # noqa: BLE001  a stranger's forward may raise anything
            if layer.own_way:
                return "its own forward does not take an input of shape %s: %s" % (
                    list(x.shape), str(error).split("\n")[0][:200],
                )  # fmt: skip
            return None


def _compared(layer: Adapted, x: Any) -> Optional[str]:
    with torch.no_grad():
        expected = _seeded(layer.base, x)
        if not torch.is_tensor(expected):
            return "its own forward gives %s, not a tensor" % type(expected).__name__
        far = distance(_seeded(layer, x), expected)
        if far is not None:
            return "with an adapter of nothing its output changes by %s" % far
    return _trained_as_merged(layer, x) if layer.own_way else None


def _trained_as_merged(layer: Adapted, x: Any) -> Optional[str]:
    """Try a mapper that is not zero: it must act, train, and give what the merged weight gives."""
    zero = layer.mapper.detach().clone()
    draw = torch.Generator().manual_seed(1)
    values = torch.randn(tuple(zero.shape), generator=draw).to(zero.dtype).to(zero.device)
    try:
        with torch.no_grad():
            layer.mapper.copy_(values)
        with torch.enable_grad():
            output = _seeded(layer, x)
            slope = None
            if output.requires_grad:
                slope = torch.autograd.grad(output.float().pow(2).sum(), layer.mapper, allow_unused=True)[0]
        if slope is None or not bool((slope != 0).any()):
            return "its own forward does not use its weight in a way that an adapter could train through"
        with torch.no_grad():
            layer.merge()
            far = distance(output.detach(), _seeded(layer, x))
        return None if far is None else "merging its adapter changes its output by %s" % far
    finally:
        layer.unmerge()
        with torch.no_grad():
            layer.mapper.copy_(zero)


def _seeded(module: Any, x: Any) -> Any:
    """Run a module whose random numbers, if it draws any, are the same each time."""
    torch.manual_seed(0)
    return module(x.clone())


def _small_input(base: Any) -> Any:
    """Return an input of two samples that just has room for a layer's kernel, three places a side."""
    if isinstance(base, nn.Linear):
        shape: Tuple[int, ...] = (2, base.in_features)
    else:
        sides = [
            dilation * (kernel - 1) + 1 + 2 * stride
            for kernel, stride, dilation in zip(base.kernel_size, base.stride, base.dilation)  # noqa: B905
        ]
        shape = (2, base.in_channels) + tuple(sides)
    draw = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=draw).to(base.weight.dtype).to(base.weight.device)


def _absent(item: Any) -> bool:
    """Return whether a tensor has no values: a lazy one, or one of the device ``meta``."""
    return isinstance(item, nn.parameter.UninitializedTensorMixin) or item.device.type == "meta"


def distance(left: Any, right: Any) -> Optional[str]:
    """Return how far two tensors are apart in words; None if they are equal up to rounding (NaN equals NaN)."""
    if left.shape != right.shape:
        return "shape %s to %s" % (list(right.shape), list(left.shape))
    if not (left.is_floating_point() and right.is_floating_point()):
        return None if torch.equal(left, right) else "values"
    same = (left == right) | (torch.isnan(left) & torch.isnan(right))
    if bool(same.all()):
        return None
    gap = float(torch.where(same, torch.zeros_like(left), left - right).abs().max())
    scale = float(right[right.abs() < float("inf")].abs().max()) if right.numel() else 0.0
    if gap <= _EPSILONS * torch.finfo(left.dtype).eps * max(1.0, scale):
        return None
    return "%.3g on a scale of %.3g" % (gap, scale)


def outputs_of(model: Any, example: Tuple[Any, ...]) -> List[Any]:
    """Return the tensors that a model gives for an example in evaluation mode, detached; the model is left as it was."""
    with _Undisturbed(model, hooks=True), torch.no_grad():
        torch.manual_seed(0)
        return [item.detach().clone() for item in _tensors(model(*example))]


def _tensors(value: Any) -> Iterator[Any]:
    """Walk through what a model gives: a tensor, or tuples, lists and dicts of them."""
    if torch.is_tensor(value):
        yield value
    elif isinstance(value, dict):
        for key in value:
            for item in _tensors(value[key]):
                yield item
    elif isinstance(value, (tuple, list)):
        for part in value:
            for item in _tensors(part):
                yield item


def changed(before: List[Any], after: List[Any]) -> Optional[str]:
    """Return how a model's outputs differ in words; None if they are equal up to rounding."""
    if len(before) != len(after):
        return "%d tensors to %d" % (len(before), len(after))
    gaps = [distance(new, old) for old, new in zip(before, after)]  # noqa: B905  Python 3.10
    return next((gap for gap in gaps if gap is not None), None)
