"""Frozen layers that keep no input for their gradients: what LoRA-FA needs (Zhang et al., arXiv 2308.03303).

A frozen layer's gradient is its weight's alone, and that of an adapter whose extractor (A) is frozen needs what A gives,
rank values a place. torch keeps more: a convolution its input although nothing of it trains, BatchNorm its input, ReLU
its result, ReLU6 a copy. So the layer's input would stay alive whatever the adapter keeps. Here

- a convolution (also transposed) keeps its weight; with an adapter also what the extractor gives, and its own gradient
  is that of one convolution by the merged weight;
- BatchNorm by its stored statistics keeps one number a channel;
- ReLU and ReLU6 keep which places let a gradient through, one byte each;

and each gives forward what torch's own gives, bit for bit, since it is called. A linear layer with a frozen weight keeps
no input in torch either.
"""

from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch.nn import grad as gradients


def _of_input(shape: Any, weight: Any, gradient: Any, how: Tuple[Any, Any, Any, int]) -> Any:
    """Return the gradient of a convolution's input.

    torch.nn.grad.conv2d_input would do, but oneDNN makes a tensor of the input's size there, only to read its shape.
    """
    stride, padding, dilation, groups = how
    more = []
    for axis in (0, 1):
        reach = dilation[axis] * (weight.shape[2 + axis] - 1) + 1
        least = (gradient.shape[2 + axis] - 1) * stride[axis] - 2 * padding[axis] + reach
        more.append(shape[2 + axis] - least)
    return F.conv_transpose2d(gradient, weight, None, stride, padding, tuple(more), groups, dilation)


class _Convolution(torch.autograd.Function):  # type: ignore[misc]  # torch is Any to mypy
    """A convolution by a frozen weight."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, how: Tuple[Any, Any, Any, int]) -> Any:
        ctx.weight, ctx.how, ctx.shape = weight, how, x.shape
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tuple[Any, ...]:
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return _of_input(ctx.shape, ctx.weight, gradient, ctx.how), None, None, None


class _Transposed(torch.autograd.Function):  # type: ignore[misc]
    """A transposed convolution by a frozen weight; without padding, dilation or groups, as graphs have it."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, stride: Any) -> Any:
        ctx.weight, ctx.stride = weight, stride
        return F.conv_transpose2d(x, weight, bias, stride)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tuple[Any, ...]:
        return F.conv2d(gradient, ctx.weight, None, ctx.stride), None, None, None


class _Norm(torch.autograd.Function):  # type: ignore[misc]
    """BatchNorm by its stored statistics, scale and shift frozen: a factor and a summand for each channel."""

    @staticmethod
    def forward(ctx: Any, x: Any, parts: Tuple[Any, Any, Any, Any], epsilon: float) -> Any:
        mean, variance, scale, shift = parts
        ctx.factor = scale * torch.rsqrt(variance + epsilon)
        return F.batch_norm(x, mean, variance, scale, shift, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tuple[Any, ...]:
        return gradient * ctx.factor.reshape((1, -1) + (1,) * (gradient.dim() - 2)), None, None


class _Clipped(torch.autograd.Function):  # type: ignore[misc]
    """ReLU, or with ``most`` ReLU6, in place."""

    @staticmethod
    def forward(ctx: Any, x: Any, most: Any) -> Any:
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(x > 0 if most is None else (x > 0) & (x < most))
        ctx.mark_dirty(x)
        return F.relu_(x) if most is None else F.hardtanh_(x, 0.0, most)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tuple[Any, ...]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None


class _LowRank(torch.autograd.Function):  # type: ignore[misc]
    """A frozen convolution with an adapter beside it whose mapper trains."""

    @staticmethod
    def forward(ctx: Any, x: Any, mapper: Any, adapted: Any) -> Any:
        base, how = adapted.base, _how(adapted.base)
        low = F.conv2d(x, adapted.extractor, None, *how)
        ctx.adapted, ctx.shape = adapted, x.shape
        ctx.save_for_backward(low, mapper)
        y = F.conv2d(x, base.weight, base.bias, *how)
        return y.add_(F.conv2d(low, mapper, groups=base.groups), alpha=adapted.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Tuple[Any, ...]:
        (low, mapper), adapted = ctx.saved_tensors, ctx.adapted
        of_x = of_mapper = None
        if ctx.needs_input_grad[1]:
            of_mapper = gradients.conv2d_weight(low, mapper.shape, gradient, groups=adapted.base.groups)
            of_mapper = of_mapper.mul_(adapted.scale)
        if ctx.needs_input_grad[0]:
            of_x = _of_input(ctx.shape, adapted.composed_weight(), gradient, _how(adapted.base))
        return of_x, of_mapper, None


def _how(layer: Any) -> Tuple[Any, Any, Any, int]:
    return layer.stride, layer.padding, layer.dilation, layer.groups


def adapted_convolution(x: Any, adapted: Any) -> Any:
    """Return what a convolution with an adapter gives for ``x``: base and extractor are frozen, the mapper may train.

    Args:
        x: input.
        adapted: the :class:`tunebench.workloads.engines.pytorch.networks.adapter.AdaptedConv2d`.
    """
    return _LowRank.apply(x, adapted.mapper, adapted)


def is_frozen(layer: Any) -> bool:
    """Return whether nothing of a layer trains."""
    return not any(item.requires_grad for item in layer.parameters())


def is_lean(layer: Any) -> bool:
    """Return whether a convolution can keep no input: it is frozen, and its padding is numbers."""
    return is_frozen(layer) and not isinstance(layer.padding, str)


def layer_of(x: Any, layer: Any) -> Any:
    """Return what a layer of a network gives for ``x``; a frozen convolution keeps no input."""
    if isinstance(layer, torch.nn.Conv2d) and is_lean(layer):
        return _Convolution.apply(x, layer.weight, layer.bias, _how(layer))
    if is_frozen(layer) and isinstance(layer, torch.nn.ConvTranspose2d):
        return _Transposed.apply(x, layer.weight, layer.bias, layer.stride)
    return layer(x)


def norm(x: Any, parts: Tuple[Any, Any, Any, Any], epsilon: float) -> Any:
    """Return BatchNorm of ``x`` by stored statistics.

    Args:
        x: input.
        parts: mean, variance, scale and shift of each channel, none of which trains.
        epsilon: added to the variance.
    """
    return _Norm.apply(x, parts, epsilon)


def relu(x: Any) -> Any:
    """Return ``x`` after ReLU, in place."""
    return _Clipped.apply(x, None)


def relu6(x: Any) -> Any:
    """Return ``x`` after ReLU6, in place."""
    return _Clipped.apply(x, 6.0)
