"""Convolutional low-rank adapters on torch (1.10 and later).

LoRAE (Wang, Ma, Zhai, Scientific Reports 15:33109, 2025) puts beside a frozen convolution ``W`` an *extractor*,
a k x k convolution to ``r`` channels with the stride, padding and dilation of ``W``, and a *mapper*, a 1 x 1
convolution from ``r`` to the output channels that starts at zero::

    y = W * x + scale * mapper * (extractor * x)

Both are linear and the mapper acts on channels only, so the sum is one convolution with the weight
``W + scale * mapper . extractor`` (each seen as a matrix). That gives two equal forms: :data:`BRANCH` runs two
small convolutions beside the base, :data:`COMPOSED` forms the weight in every step and runs one convolution. It
also means that, on one convolution, LoRAE is LoRA (Hu et al., ICLR 2022) on the weight flattened to
``c_out x (c_in kh kw)``.

With ``groups`` the extractor and the mapper have as many groups and ``r`` channels a group; the count stays
``r (c_in kh kw + c_out)``, which for a depthwise convolution is more than the weight it adapts.
"""

from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from tunebench.workloads import seeds
from tunebench.workloads.engines.pytorch import lean
from tunebench.workloads.errors import WorkloadError

#: two convolutions beside the base; the weight of one, formed anew in every step
BRANCH, COMPOSED = "branch", "composed"
FORMS = (BRANCH, COMPOSED)
#: The form that trains faster on all five small networks, on one x86 thread: ``benchmarks.lorae_forms``, docs/lorae.md.
DEFAULT_FORM = COMPOSED


class AdapterError(WorkloadError):
    """An adapter that cannot be made; the message names the layer, what is wrong and what is allowed."""


def unsupported(module: Any) -> Optional[str]:
    """Return why a module cannot carry an adapter; None if it can."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        reason = _no_plain_weight(module)
        if reason is not None:
            return reason
    if isinstance(module, nn.Conv2d):
        if module.padding_mode != "zeros":
            return (
                "padding_mode %r (zeros only: the extractor would see another border)" % module.padding_mode
            )
        return None
    if isinstance(module, nn.Linear):
        return None
    return "%s carries no adapter (Conv2d and Linear do)" % kind_of(module)


def kind_of(module: Any) -> str:
    """Return the name of a module's class; with its module's where torch has a layer of that name, too."""
    kind = type(module)
    stranger = getattr(nn, kind.__name__, kind) is not kind
    return "%s.%s" % (kind.__module__, kind.__name__) if stranger else str(kind.__name__)


def _no_plain_weight(module: Any) -> Optional[str]:
    """Return why a layer's weight cannot be adapted: it is no parameter, has no values yet, or is quantised."""
    weight = module._parameters.get("weight")
    if hasattr(module, "parametrizations") or weight is None:
        return (
            "its weight is computed from other values (a parametrization, weight_norm, spectral_norm or pruning): "
            "make it a plain parameter first, e.g. by torch.nn.utils.parametrize.remove_parametrizations"
        )
    if isinstance(weight, nn.parameter.UninitializedParameter):
        return "%s has no weight yet: run one batch through the model first" % type(module).__name__
    if not weight.is_floating_point():
        return "its weight is quantised (%s)" % str(weight.dtype).replace("torch.", "")
    return None


def has_own_way(module: Any) -> bool:
    """Return whether calling a layer does more than torch's own layer does: a subclass, a patched object, hooks."""
    plain = nn.Conv2d if isinstance(module, nn.Conv2d) else nn.Linear
    methods = ("__call__", "_call_impl", "forward", "_conv_forward", "__getattr__")
    own_class = any(getattr(type(module), name, None) is not getattr(plain, name, None) for name in methods)
    patched = any(name in module.__dict__ for name in methods + ("weight", "bias"))
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return own_class or patched or any(module.__dict__.get(name) for name in hooks)


def is_depthwise(module: Any) -> bool:
    """Return whether each group of a convolution reads one channel: an adapter would be larger than its weight."""
    return isinstance(module, nn.Conv2d) and module.groups > 1 and module.groups == module.in_channels


class Adapted(nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """A frozen layer with a low-rank adapter. Base class; use :class:`AdaptedConv2d` or :class:`AdaptedLinear`.

    Attributes:
        base: the layer; its own parameters do not require gradients.
        extractor: ``(groups * r, c_in / groups, kh, kw)``; of a linear layer ``(r, n_in)``.
        mapper: ``(c_out, r, 1, 1)``; of a linear layer ``(n_out, r)``; starts at zero.
        scale: factor of the adapter's part.
        frozen_extractor: the mapper alone trains (:meth:`freeze_extractor`).
        own_way: calling the base does more than torch's own layer (:func:`has_own_way`): it is then always called itself,
            with the composed weight in its weight's place, so that it pads, casts and calls hooks as before.
    """

    def __init__(
        self, base: Any, rank: int, scale: float, *, groups: int, fan_in: int, name: str, seed: int
    ) -> None:
        super(Adapted, self).__init__()
        if type(rank) is not int or rank < 1:
            raise AdapterError("adapter of %r: rank is %r, expected an integer of at least 1" % (name, rank))
        self.base, self.rank, self.scale, self.groups = base, rank, float(scale), groups
        self.own_way = has_own_way(base)
        weight = base.weight
        tail = tuple(weight.shape[2:])
        a_shape = (groups * rank, weight.shape[1]) + tail
        count = groups * rank * fan_in
        values = torch.frombuffer(seeds.kaiming_uniform(count, fan_in, seed, name), dtype=torch.float32)
        kind = {"dtype": weight.dtype, "device": weight.device}
        self.extractor = nn.Parameter(values.reshape(a_shape).to(**kind).clone())
        self.mapper = nn.Parameter(torch.zeros((weight.shape[0], rank) + (1,) * len(tail), **kind))
        self._kept: Optional[Any] = None
        self.frozen_extractor = False
        for item in base.parameters():
            item.requires_grad_(False)

    def freeze_extractor(self) -> None:
        """Train the mapper alone, as LoRA-FA does: a convolution's gradient then needs the extractor's output, no input.

        It is a branch beside the base from then on, whatever its form; with a forward of its own it stays composed.
        """
        self.frozen_extractor = True
        self.extractor.requires_grad_(False)

    @property
    def merged(self) -> bool:
        """Return whether the adapter is folded into the base weight now."""
        return self._kept is not None

    def _matrices(self) -> Tuple[Any, Any, Any]:
        """Return weight (g, c_out / g, m), mapper (g, c_out / g, r) and extractor (g, r, m) as matrices of each group."""
        g, r = self.groups, self.rank
        weight = self.base.weight
        rows = weight.shape[0] // g
        return weight.reshape(g, rows, -1), self.mapper.reshape(g, rows, r), self.extractor.reshape(g, r, -1)

    def composed_weight(self) -> Any:
        """Return ``W + scale * mapper . extractor`` in the weight's shape; gradients reach mapper and extractor."""
        whole, mapper, extractor = self._matrices()
        return torch.baddbmm(whole, mapper, extractor, alpha=self.scale).reshape(self.base.weight.shape)

    @property
    def weight(self) -> Any:
        """Return the weight in use: a module that reads its layer's weight itself (attention) gets the adapter, too."""
        return self.base.weight if self.merged else self.composed_weight()

    @property
    def bias(self) -> Any:
        """Return the base's bias; None if it has none."""
        return self.base.bias

    def __getattr__(self, name: str) -> Any:
        """Return what only the base has (``stride``, ``in_features``, what a subclass added)."""
        try:
            return super(Adapted, self).__getattr__(name)
        except AttributeError:
            base = self.__dict__.get("_modules", {}).get("base")
            if base is None or name.startswith("__"):
                raise
            return getattr(base, name)

    def _called_itself(self, x: Any) -> Any:
        """Call the base as it is, with the composed weight where it looks for its own."""
        attributes = self.base.__dict__
        attributes["weight"] = self.composed_weight()
        try:
            return self.base(x)
        finally:
            del attributes["weight"]

    def merge(self) -> None:
        """Fold the adapter into the base weight; the output changes by rounding only. A second call does nothing.

        The base weight is kept aside, so that :meth:`unmerge` gives it back bit for bit.
        """
        if self._kept is None:
            with torch.no_grad():
                merged = self.composed_weight()
                self._kept = self.base.weight.detach().clone()
                self.base.weight.copy_(merged)

    def unmerge(self) -> None:
        """Restore the base weight as it was before :meth:`merge`, bit for bit."""
        if self._kept is not None:
            with torch.no_grad():
                self.base.weight.copy_(self._kept)
            self._kept = None

    def folded(self) -> Any:
        """Return the plain layer with the adapter in its weight; this object is not to be used afterwards."""
        self.merge()
        self._kept = None
        return self.base


class AdaptedConv2d(Adapted):
    """A frozen ``nn.Conv2d`` with a LoRAE adapter: (n, c_in, h, w) -> (n, c_out, h', w') as the base does.

    Args:
        base: the convolution; its parameters are frozen.
        rank: channels between extractor and mapper (of each group).
        scale: factor of the adapter's part.
        form: :data:`BRANCH` or :data:`COMPOSED`; equal up to rounding.
        name: of the layer: keeps the start values of layers independent, and stands in errors.
        seed: of the extractor's start (Kaiming-uniform, bound ``1 / sqrt(fan_in)``).

    Raises:
        AdapterError: another layer, padding mode, form or rank than can be.
    """

    def __init__(
        self,
        base: Any,
        rank: int,
        scale: float = 1.0,
        *,
        form: str = DEFAULT_FORM,
        name: str = "adapter",
        seed: int = 0,
    ) -> None:
        reason = unsupported(base) if isinstance(base, nn.Conv2d) else "expected a Conv2d"
        if reason:
            raise AdapterError("adapter of %r: %s" % (name, reason))
        if form not in FORMS:
            raise AdapterError("adapter of %r: form %r, use one of: %s" % (name, form, ", ".join(FORMS)))
        if form == BRANCH and has_own_way(base):
            raise AdapterError(
                "adapter of %r: %s has a forward or hooks of its own, which a branch beside it would miss: use form %r"
                % (name, kind_of(base), COMPOSED)
            )
        kernel = base.kernel_size
        fan_in = base.in_channels // base.groups * kernel[0] * kernel[1]
        super(AdaptedConv2d, self).__init__(
            base, rank, scale, groups=base.groups, fan_in=fan_in, name=name, seed=seed
        )
        self.form = form

    def forward(self, x: Any) -> Any:
        base = self.base
        if self.merged:
            return base(x)
        if self.own_way:
            return self._called_itself(x)
        if self.frozen_extractor and lean.is_lean(base):  # what is kept is rank channels, not x
            return lean.adapted_convolution(x, self)
        if self.form == COMPOSED:
            weight = self.composed_weight()
            return F.conv2d(x, weight, base.bias, base.stride, base.padding, base.dilation, base.groups)
        low = F.conv2d(x, self.extractor, None, base.stride, base.padding, base.dilation, base.groups)
        return torch.add(base(x), F.conv2d(low, self.mapper, groups=base.groups), alpha=self.scale)


class AdaptedLinear(Adapted):
    """A frozen ``nn.Linear`` with a LoRA adapter: (..., n_in) -> (..., n_out).

    Two thin products beside the base: forming the weight would cost more than it saves. Arguments and errors as
    of :class:`AdaptedConv2d`.
    """

    def __init__(
        self, base: Any, rank: int, scale: float = 1.0, name: str = "adapter", seed: int = 0
    ) -> None:
        reason = unsupported(base) if isinstance(base, nn.Linear) else "expected a Linear"
        if reason:
            raise AdapterError("adapter of %r: %s" % (name, reason))
        super(AdaptedLinear, self).__init__(
            base, rank, scale, groups=1, fan_in=base.in_features, name=name, seed=seed
        )

    def forward(self, x: Any) -> Any:
        if self.merged:
            return self.base(x)
        if self.own_way:
            return self._called_itself(x)
        low = F.linear(F.linear(x, self.extractor), self.mapper)
        return torch.add(self.base(x), low, alpha=self.scale)
