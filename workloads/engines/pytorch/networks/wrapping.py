"""Adapters on any ``nn.Module``, by rule: which layers, which rank, what else trains.

:func:`wrap` replaces layers inside a model; :func:`merge`, :func:`unmerge` and :func:`fold` take a whole model
to one form or the other.
"""

from fnmatch import fnmatchcase
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import torch
from torch import nn

from tunebench.workloads.engines.pytorch.networks.adapter import (
    DEFAULT_FORM,
    Adapted,
    AdaptedConv2d,
    AdaptedLinear,
    AdapterError,
    is_depthwise,
    unsupported,
)

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_WEIGHED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)


class Rule(NamedTuple):
    """Where adapters sit and what trains besides them.

    Patterns are shell patterns over module names (``features.*``, ``head``). A layer that a pattern without
    wildcard names must be adaptable; one that a wildcard meets is passed over with a reason.

    Attributes:
        rank: channels of every adapter.
        ranks: pattern -> rank, first match wins over ``rank``.
        include, exclude: which layers; a layer needs one of the first and none of the second.
        linear: Linear layers, too (LoRAE adapts convolutions only).
        depthwise: depthwise convolutions, too; their adapter is larger than their weight.
        train_norms: BatchNorm trains (affine, and statistics follow ``model.train()``); else it is frozen whole.
        head: patterns of layers that train as they are, without an adapter.
        scale: factor of the adapters' part.
        form: of convolutions: ``branch`` or ``composed``.
        seed: of the start values.
    """

    rank: int = 4
    ranks: Tuple[Tuple[str, int], ...] = ()
    include: Tuple[str, ...] = ("*",)
    exclude: Tuple[str, ...] = ()
    linear: bool = False
    depthwise: bool = False
    train_norms: bool = False
    head: Tuple[str, ...] = ()
    scale: float = 1.0
    form: str = DEFAULT_FORM
    seed: int = 0


class Wrapped(NamedTuple):
    """What :func:`wrap` did.

    Attributes:
        adapted: names of layers that have an adapter now, in the model's order.
        skipped: name -> why a layer that an ``include`` pattern meets has none.
        trained: name of each parameter that trains (by the names after wrapping).
    """

    adapted: Tuple[str, ...]
    skipped: Dict[str, str]
    trained: Tuple[str, ...]


class FrozenNorm(nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """A BatchNorm that keeps its statistics and affine, also under ``model.train()``."""

    def __init__(self, norm: Any) -> None:
        super(FrozenNorm, self).__init__()
        self.norm = norm
        self.train(False)
        for item in norm.parameters():
            item.requires_grad_(False)

    def train(self, mode: bool = True) -> "FrozenNorm":
        super(FrozenNorm, self).train(False)
        return self

    def forward(self, x: Any) -> Any:
        return self.norm(x)


def wrap(model: Any, rule: Rule = Rule()) -> Wrapped:  # noqa: B008  an immutable default
    """Put adapters into a model and freeze everything else that the rule does not train.

    Args:
        model: any module; layers inside it are replaced, itself is not.
        rule: see :class:`Rule`.

    Raises:
        AdapterError: a layer that is named cannot carry an adapter, a pattern meets nothing, a rank below 1, no
            layer at all to adapt, or the model is wrapped already.
    """
    layers = dict(model.named_modules())
    _check(model, rule, layers)
    for item in model.parameters():
        item.requires_grad_(False)
    adapted: List[str] = []
    skipped: Dict[str, str] = {}
    for name, layer in layers.items():
        if isinstance(layer, _NORMS):
            _treat_norm(model, name, layer, rule)
        elif _meets(name, rule.head) and not list(layer.children()):
            for item in layer.parameters():
                item.requires_grad_(True)
        elif isinstance(layer, _WEIGHED) and _meets(name, rule.include) and not _meets(name, rule.exclude):
            reason = _why_not(layer, rule)
            if reason is None:
                _replace(model, name, _adapter(name, layer, rule))
                adapted.append(name)
            elif name in rule.include:
                raise AdapterError("layer %r: %s" % (name, reason))
            else:
                skipped[name] = reason
    if not adapted:
        raise AdapterError("the rule %s meets no layer that can carry an adapter" % (rule.include,))
    trained = tuple(name for name, item in model.named_parameters() if item.requires_grad)
    return Wrapped(tuple(adapted), skipped, trained)


def _check(model: Any, rule: Rule, layers: Dict[str, Any]) -> None:
    if isinstance(model, _WEIGHED + _NORMS):
        raise AdapterError("wrap() replaces layers inside a model; a single layer takes AdaptedConv2d itself")
    if any(isinstance(layer, (Adapted, FrozenNorm)) for layer in layers.values()):
        raise AdapterError("the model has adapters already: fold() it first")
    patterns = rule.include + rule.exclude + rule.head + tuple(pattern for pattern, _ in rule.ranks)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in layers if name):
            raise AdapterError(
                "pattern %r meets no layer, there are: %s" % (pattern, ", ".join(layers)[:300])
            )


def _meets(name: str, patterns: Tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _why_not(layer: Any, rule: Rule) -> Any:
    reason = unsupported(layer)
    if reason is None and isinstance(layer, nn.Linear) and not rule.linear:
        reason = "Linear layers are left out (linear=True adapts them)"
    if reason is None and is_depthwise(layer) and not rule.depthwise:
        reason = "depthwise convolution: an adapter is larger than its weight (depthwise=True adapts it)"
    return reason


def _adapter(name: str, layer: Any, rule: Rule) -> Any:
    rank = next((rank for pattern, rank in rule.ranks if fnmatchcase(name, pattern)), rule.rank)
    if isinstance(layer, nn.Linear):
        return AdaptedLinear(layer, rank, rule.scale, name=name, seed=rule.seed)
    return AdaptedConv2d(layer, rank, rule.scale, form=rule.form, name=name, seed=rule.seed)


def _treat_norm(model: Any, name: str, layer: Any, rule: Rule) -> None:
    if rule.train_norms:
        for item in layer.parameters():
            item.requires_grad_(True)
    else:
        _replace(model, name, FrozenNorm(layer))


def _replace(model: Any, name: str, new: Any) -> None:
    """Put ``new`` where the module called ``name`` stands; shared modules are replaced at this place only."""
    path, _, last = name.rpartition(".")
    parent = model
    for part in path.split(".") if path else ():
        parent = getattr(parent, part)
    setattr(parent, last, new)
    new.train(parent.training)


def adapters(model: Any) -> Iterator[Any]:
    """Return the adapted layers of a model."""
    return (layer for layer in model.modules() if isinstance(layer, Adapted))


def merge(model: Any) -> None:
    """Fold every adapter into its base weight; the base is kept for :func:`unmerge`."""
    for layer in adapters(model):
        layer.merge()


def unmerge(model: Any) -> None:
    """Restore every base weight as it was before :func:`merge`, bit for bit."""
    for layer in adapters(model):
        layer.unmerge()


def fold(model: Any) -> Any:
    """Make the adapters part of the weights for good: the model has its own layers and names again."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Adapted):
            _replace(model, name, layer.folded())
        elif isinstance(layer, FrozenNorm):
            _replace(model, name, layer.norm)
    return model


def adapter_state(model: Any) -> Dict[str, Any]:
    """Return what a device would send: the extractor and mapper of each adapted layer, detached, by name.

    The names are ``NAME.extractor`` and ``NAME.mapper``.
    """
    state: Dict[str, Any] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, Adapted):
            state[name + ".extractor"], state[name + ".mapper"] = (
                layer.extractor.detach(),
                layer.mapper.detach(),
            )
    return state


def load_adapter_state(model: Any, state: Dict[str, Any]) -> None:
    """Put an adapter state back.

    Raises:
        AdapterError: names or shapes are not those of the model's adapters; nothing is changed then.
    """
    own = adapter_state(model)
    for name in sorted(set(own) ^ set(state)):
        raise AdapterError(
            "adapter state: %r is %s" % (name, "missing" if name in own else "not of this model")
        )
    for name, item in own.items():
        if item.shape != state[name].shape:
            raise AdapterError(
                "adapter state: %r has shape %s, expected %s"
                % (name, list(state[name].shape), list(item.shape))
            )
    with torch.no_grad():
        for name, item in own.items():
            item.copy_(state[name])
