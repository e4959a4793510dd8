"""Adapters on any ``nn.Module``, by rule: which layers, which rank, what else trains.

:func:`wrap` replaces layers inside a model; :func:`merge`, :func:`unmerge` and :func:`fold` take a whole model
to one form or the other.
"""

from fnmatch import fnmatchcase
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import torch
from torch import nn

from tunebench.workloads.engines.pytorch.networks import equality
from tunebench.workloads.engines.pytorch.networks.adapter import (
    COMPOSED,
    DEFAULT_FORM,
    Adapted,
    AdaptedConv2d,
    AdaptedLinear,
    AdapterError,
    has_own_way,
    is_depthwise,
    kind_of,
    unsupported,
)

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
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
        frozen_extractors: of the adapters the mappers alone train (LoRA-FA), and an adapted layer keeps no input for its
            gradient; one with a forward of its own does.
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
    frozen_extractors: bool = False


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

    def __getattr__(self, name: str) -> Any:
        """Return what only the BatchNorm has, for a module that reads it itself."""
        try:
            return super(FrozenNorm, self).__getattr__(name)
        except AttributeError:
            norm = self.__dict__.get("_modules", {}).get("norm")
            if norm is None or name.startswith("__"):
                raise
            return getattr(norm, name)

    def train(self, mode: bool = True) -> "FrozenNorm":
        super(FrozenNorm, self).train(False)
        return self

    def forward(self, x: Any) -> Any:
        return self.norm(x)


def wrap(model: Any, rule: Rule = Rule(), example: Any = None) -> Wrapped:  # noqa: B008  an immutable default
    """Put adapters into a model and freeze everything else that the rule does not train.

    Each adapted layer is compared with its base on a small input (:mod:`.equality`), the model where an example is given.
    A layer that stands at several places gets one adapter, at all of them.

    Args:
        model: any module; layers inside it are replaced, itself is not.
        rule: see :class:`Rule`.
        example: an input of the model, or a tuple of its positional arguments; its output must not change.

    Raises:
        AdapterError: a layer that is named cannot carry an adapter, a pattern meets nothing, a rank below 1, no
            layer at all to adapt, the model is wrapped already, or its output changes. The model is then as it was.
    """
    layers = _places(model)
    _check(model, rule, layers)
    flags = [(item, item.requires_grad) for item in model.parameters()]
    arguments = example if isinstance(example, tuple) else (example,)
    before = None if example is None else _outputs(model, arguments)
    undo: List[Tuple[Any, str, Any]] = []
    try:
        new, adapted, skipped = _replacements(model, rule, layers)
        undo = _put(model, new)
        gap = None if before is None else equality.changed(before, equality.outputs_of(model, arguments))
        if gap is not None:
            raise AdapterError(
                "with adapters of nothing at %s the model's output changes by %s: one of them is used in another way "
                "than by calling it; leave it out (exclude)" % (", ".join(adapted)[:300], gap)
            )
    except BaseException:
        for parent, name, layer in undo:
            parent._modules[name] = layer
        for item, flag in flags:
            item.requires_grad_(flag)
        raise
    trained = tuple(name for name, item in model.named_parameters() if item.requires_grad)
    return Wrapped(tuple(adapted), skipped, trained)


#: the names of a layer, the first one first, and the layer
_Place = Tuple[Tuple[str, ...], Any]


def _places(model: Any) -> List[_Place]:
    """Return every module of a model once, with all names that it has there, in the model's order."""
    names: Dict[int, List[str]] = {}
    modules: Dict[int, Any] = {}

    def walk(module: Any, name: str, above: Tuple[int, ...]) -> None:
        names.setdefault(id(module), []).append(name)
        modules[id(module)] = module
        for key, child in module._modules.items():
            if child is not None and id(child) not in above:  # a child may know its parent
                walk(child, name + "." + key if name else key, above + (id(child),))

    walk(model, "", (id(model),))
    return [(tuple(names[key]), module) for key, module in modules.items()]


def _replacements(
    model: Any, rule: Rule, layers: List[_Place]
) -> Tuple[Dict[int, Any], List[str], Dict[str, str]]:
    """Return what comes where (by the old layer's id), the adapted layers and the others with their reasons."""
    for item in model.parameters():
        item.requires_grad_(False)
    tied = _tied(layers)
    new: Dict[int, Any] = {}
    adapted: List[str] = []
    skipped: Dict[str, str] = {}
    for names, layer in layers:
        if isinstance(layer, _NORMS):
            new.update(_treated_norm(layer, rule))
        elif _meets(names, rule.head) and not list(layer.children()):
            for item in layer.parameters():
                item.requires_grad_(True)
        elif _meets(names, rule.include) and not _meets(names, rule.exclude) and _is_weighed(layer):
            reason = _why_not(layer, rule) or tied.get(id(layer))
            if reason is None:
                new[id(layer)] = _adapter(names, layer, rule)
                reason = equality.why_unequal(new[id(layer)])
            if reason is None:
                adapted.append(names[0])
                continue
            new.pop(id(layer), None)
            if set(names) & set(rule.include):
                raise AdapterError("layer %r: %s" % (names[0], reason))
            skipped[names[0]] = reason
    if not adapted:
        words = "".join("; %r: %s" % pair for pair in sorted(skipped.items())[:3])
        raise AdapterError("the rule %s meets no layer that can carry an adapter%s" % (rule.include, words))
    for names, layer in layers:  # a name without wildcards promises an adapter there
        if (
            set(names) & set(rule.include)
            and id(layer) not in new
            and not _meets(names, rule.head + rule.exclude)
        ):
            raise AdapterError("layer %r: %s" % (names[0], unsupported(layer)))
    return new, adapted, skipped


def _tied(layers: List[_Place]) -> Dict[int, str]:
    """Return layer's id -> why not, for layers whose weight is another layer's, too: merging would change both."""
    users: Dict[int, List[_Place]] = {}
    for place in layers:
        weight = dict(place[1]._parameters.items()).get("weight")  # a scripted module's are no dict
        if weight is not None:
            users.setdefault(weight.data_ptr() or id(weight), []).append(place)
    reasons: Dict[int, str] = {}
    for places in users.values():
        for _, layer in places:
            others = [other[0] for other, another in places if another is not layer]
            if others:
                reasons[id(layer)] = "its weight is that of %s, too" % ", ".join(map(repr, others))
    return reasons


def _outputs(model: Any, arguments: Tuple[Any, ...]) -> List[Any]:
    try:
        return equality.outputs_of(model, arguments)
    except Exception as error:
        raise AdapterError(
            "the model does not take the example: %s" % str(error).split("\n")[0][:200]
        ) from error


def _check(model: Any, rule: Rule, layers: List[_Place]) -> None:
    if isinstance(model, _WEIGHED + _NORMS):
        raise AdapterError("wrap() replaces layers inside a model; a single layer takes AdaptedConv2d itself")
    if any(isinstance(layer, (Adapted, FrozenNorm)) for layer in model.modules()):
        raise AdapterError("the model has adapters already: fold() it first")
    for own, layer in layers:
        if any(isinstance(item, nn.parameter.UninitializedParameter) for item in layer._parameters.values()):
            raise AdapterError(
                "layer %r: %s has no weight yet: run one batch through the model first"
                % (own[0], kind_of(layer))
            )
    names = [name for own, _ in layers for name in own]
    patterns = rule.include + rule.exclude + rule.head + tuple(pattern for pattern, _ in rule.ranks)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names if name):
            raise AdapterError("pattern %r meets no layer, there are: %s" % (pattern, ", ".join(names)[:300]))


def _meets(names: Tuple[str, ...], patterns: Tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _is_weighed(layer: Any) -> bool:
    """Return whether a layer is one that may be asked for an adapter; quantised ones are, to be told why not."""
    return isinstance(layer, _WEIGHED) or hasattr(layer, "_packed_params")


def _why_not(layer: Any, rule: Rule) -> Any:
    reason = unsupported(layer)
    if reason is None and isinstance(layer, nn.Linear) and not rule.linear:
        reason = "Linear layers are left out (linear=True adapts them)"
    if reason is None and is_depthwise(layer) and not rule.depthwise:
        reason = "depthwise convolution: an adapter is larger than its weight (depthwise=True adapts it)"
    if reason is None and not isinstance(layer, nn.Linear) and rule.form != COMPOSED and has_own_way(layer):
        reason = "%s has a forward or hooks of its own, which a branch beside it would miss (form %r does not)" % (
            kind_of(layer), COMPOSED,
        )  # fmt: skip
    return reason


def _adapter(names: Tuple[str, ...], layer: Any, rule: Rule) -> Any:
    rank = next((rank for pattern, rank in rule.ranks if _meets(names, (pattern,))), rule.rank)
    made: Any
    if isinstance(layer, nn.Linear):
        made = AdaptedLinear(layer, rank, rule.scale, name=names[0], seed=rule.seed)
    else:
        made = AdaptedConv2d(layer, rank, rule.scale, form=rule.form, name=names[0], seed=rule.seed)
    if rule.frozen_extractors:
        made.freeze_extractor()
    return made


def _treated_norm(layer: Any, rule: Rule) -> Dict[int, Any]:
    if not rule.train_norms:
        return {id(layer): FrozenNorm(layer)}
    for item in layer.parameters():
        item.requires_grad_(True)
    return {}


def _put(model: Any, new: Dict[int, Any]) -> List[Tuple[Any, str, Any]]:
    """Put new layers at every place of the old ones (by id); return parents, names and old layers, to undo it."""
    done: List[Tuple[Any, str, Any]] = []
    for parent in list(model.modules()):
        for name, layer in list(parent._modules.items()):
            if id(layer) in new:
                done.append((parent, name, layer))
                parent._modules[name] = new[id(layer)]
                new[id(layer)].train(parent.training)
    return done


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
    new: Dict[int, Any] = {}
    for layer in model.modules():
        if isinstance(layer, Adapted):
            new[id(layer)] = layer.folded()
        elif isinstance(layer, FrozenNorm):
            new[id(layer)] = layer.norm
    _put(model, new)
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
