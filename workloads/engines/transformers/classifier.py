# ruff: noqa: B905  zip(strict=) came with Python 3.10
"""A transformer with a head: Hugging Face's trunk, the mean over a text's tokens, a linear head, and a plan's adapters.

The trunk stays in inference mode in every method: no dropout. So what a method caches is what it would compute again,
and methods differ by what they train alone.
"""

import contextlib
import importlib
import sys
from typing import Any, Dict, List, Set

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils import checkpoint

from tunebench.workloads import seeds
from tunebench.workloads.artefact import Artefact, Tensor
from tunebench.workloads.engines.pytorch.networks.checkpointing import check_torch
from tunebench.workloads.engines.pytorch.session import to_torch
from tunebench.workloads.engines.transformers.quantized import packed, unpacked
from tunebench.workloads.methods import skips
from tunebench.workloads.methods.plan import Adapter, Plan, own_names, own_parts
from tunebench.workloads.methods.quantized_base import is_quantized
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.language import BLOCKS, HEAD, OUTPUT, POOL, TABLE
from tunebench.workloads.tasks.spec import SpecError

try:
    import transformers
except ImportError as error:
    raise SpecError(
        "engine 'transformers' needs the package transformers in this interpreter (%s); install it there: "
        "%s -m pip install transformers" % (error, sys.executable)
    ) from None

#: layers that are no part of a trunk
OWN = (HEAD, OUTPUT)
#: keys of a config.json that describe a file, not a network
_OF_THE_FILE = ("architectures", "transformers_version", "torch_dtype", "dtype", "_name_or_path")


def version() -> str:
    """Return the package's version."""
    return "transformers %s" % transformers.__version__


class LoraLinear(nn.Module):  # type: ignore[misc]
    """A linear layer with a low-rank path beside it: ``base(x) + scale * mapper(extractor(x))``."""

    def __init__(self, base: Any, adapter: Adapter, scale: float, seed: int) -> None:
        super().__init__()
        self.base, self.scale = base, scale
        count = adapter.extractor[0] * adapter.extractor[1]
        values = seeds.kaiming_uniform(count, adapter.fan_in, seed, adapter.name)
        start = torch.frombuffer(values, dtype=torch.float32).reshape(adapter.extractor).clone()
        self.extractor = nn.Parameter(start)
        self.mapper = nn.Parameter(torch.zeros(adapter.mapper))

    def forward(self, x: Any) -> Any:
        low = F.linear(x, self.extractor)
        return self.base(x) + F.linear(low, self.mapper) * self.scale


class Classifier(nn.Module):  # type: ignore[misc]
    """A transformer that a plan is applied to.

    Args:
        plan: what trains, where adapters sit, what is cached.
        weights: base weights; tensors that do not train are views of its memory, not copies.
        scale: of the adapters' part.
        seed: of their start values.

    Attributes:
        trained: tensors that train, in the order of the updates.
        mappers: those of them that are an adapter's B.
        frozen: nothing in the trunk trains.
        context: makes a context in which maps are computed in the number format that is asked for.
    """

    def __init__(self, plan: Plan, weights: Artefact, scale: float, seed: int) -> None:
        super().__init__()
        self.plan, self.scale = plan, scale
        self.context: Any = contextlib.ExitStack
        self.trunk = _trunk(weights.meta["config"])
        self.places = _places(self.trunk, plan.graph.layers)
        for node in plan.graph.layers:
            if node.name in OWN:
                self.places[node.name] = nn.Linear(node.channels_in, node.channels_out, node.bias)
        #: of classes; None of a language model
        self.head: Any = self.places.get(HEAD)
        #: of a language model what gives the scores of tokens; None of classes
        self.output: Any = self.places.get(OUTPUT, self.places.get(TABLE)) if self.head is None else None
        self._load(weights)
        self.eval()
        self.trained: List[Any] = []
        for node in plan.graph.layers:
            self.trained += [getattr(self.places[node.name], part) for part in own_parts(plan, node)]
        self.mappers: List[Any] = []
        for adapter in plan.adapters:
            self._adapt(adapter, seed)
        self._start_skips(seed)
        if plan.checkpoint:
            check_torch()
            for block in self.trunk.get_submodule(BLOCKS[weights.meta["config"]["model_type"]]):
                _run_again(block)
        changed = (set(plan.weights) | set(plan.biases) | set(plan.adapted)) - {HEAD}
        self.frozen = not changed - {node.name for node in plan.graph.added}
        self.state_count = len(skips.blocks(plan.graph))

    def _load(self, weights: Artefact) -> None:
        """Put the base weights into the modules; what trains is copied, the rest shares the artefact's memory.

        Above a quantised base all but the maps to be packed is copied, so that the artefact's memory can go.
        """
        form = self.plan.quantized_base
        maps = [node.name for node in self.plan.graph.layers if form is not None and is_quantized(node)]
        copied = set(own_names(self.plan))
        if form is not None:
            copied = {name for name, _ in weight_shapes(self.plan.graph)} - {
                name + ".weight" for name in maps
            }
        for name, _ in weight_shapes(self.plan.graph):
            node, _, part = name.rpartition(".")
            value = to_torch(weights.need(name)) if name in copied else _shared(weights.need(name))
            setattr(self.places[node], part, nn.Parameter(value, requires_grad=False))
        for name in maps:
            base = self.places[name]
            compute = getattr(torch, self.plan.dtype)
            self.places[name] = packed(base.weight.data, base.bias, str(form), compute)
            self._replace(base, self.places[name])

    def _adapt(self, adapter: Adapter, seed: int) -> None:
        layer = LoraLinear(self.places[adapter.end], adapter, self.scale, seed)
        if adapter.end == HEAD:
            self.head = layer
        else:
            self._replace(layer.base, layer)
        self.trained += [layer.extractor, layer.mapper]
        self.mappers.append(layer.mapper)

    def _replace(self, module: Any, other: Any) -> None:
        """Put another module into the trunk in the place of one of its own."""
        path = next(path for path, own in self.trunk.named_modules() if own is module)
        parent, _, child = path.rpartition(".")
        setattr(self.trunk.get_submodule(parent), child, other)

    def _start_skips(self, seed: int) -> None:
        """Make the skip adapters: every A Kaiming-uniform, the joined B zero."""
        self.lows: List[Any] = []
        self.mapper: Any = None
        for node in self.plan.graph.added:
            shape = node.weight_shape
            if node.name == skips.MAPPER:
                self.mapper = nn.Parameter(torch.zeros(shape))
                continue
            values = seeds.kaiming_uniform(node.n_weights, node.fan_in, seed, node.name)
            self.lows.append(
                nn.Parameter(torch.frombuffer(values, dtype=torch.float32).reshape(shape).clone())
            )
        for index, low in enumerate(self.lows):
            self.register_parameter("low%d" % index, low)
        if self.mapper is not None:
            self.trained += self.lows + [self.mapper]
            self.mappers.append(self.mapper)

    def pooled(self, tokens: Any, mask: Any) -> Dict[str, Any]:
        """Run the trunk; return the mean over each text's tokens, and where skip adapters read them, of all states.

        Args:
            tokens: int64 (n, longest).
            mask: int64 likewise, 1 for a token, 0 for padding.
        """
        skipping = self.mapper is not None
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            with self.context():
                made = self.trunk(
                    input_ids=tokens, attention_mask=mask, output_hidden_states=skipping, return_dict=True
                )
            share = mask.to(torch.float32)
            share = (share / share.sum(1, keepdim=True)).unsqueeze(1)
            states = made.hidden_states[-len(self.lows) :] if skipping else ()
            values = {POOL: torch.bmm(share, made.last_hidden_state.float()).squeeze(1)}
            if skipping:
                values[skips.POOLED] = torch.cat(
                    [torch.bmm(share, state.float()).squeeze(1) for state in states], 1
                )
        return values

    def token_scores(self, tokens: Any, mask: Any) -> Any:
        """Return the scores of each next token: float32 (n, longest - 1, known), nothing behind the last one."""
        with self.context():
            made = self.trunk(input_ids=tokens, attention_mask=mask, return_dict=True)
            return F.linear(made.last_hidden_state[:, :-1], self.output.weight).float()

    def scores(self, values: Dict[str, Any]) -> Any:
        """Return the scores of classes from pooled states, or from the head's own scores where those are kept."""
        with self.context():
            own = (values[HEAD] if HEAD in values else self.head(values[POOL])).float()
            if self.mapper is None:
                return own
            parts = values[skips.POOLED].split([low.shape[1] for low in self.lows], 1)
            lows = torch.cat([F.linear(part, low) for part, low in zip(parts, self.lows)], 1)
            return own + F.linear(lows, self.mapper) * self.scale

    def kept(self, tokens: Any, mask: Any) -> List[Any]:
        """Return what the plan caches for texts, in its order."""
        values = self.pooled(tokens, mask)
        if HEAD in self.plan.cached:
            with self.context():
                values[HEAD] = self.head(values[POOL]).float()
        return [values[name] for name in self.plan.cached]

    def forward(self, tokens: Any, mask: Any) -> Any:
        return self.scores(self.pooled(tokens, mask))


def _trunk(config: Dict[str, Any]) -> Any:
    """Return the architecture that a config describes, without a head; its weights are still random."""
    keys = {key: value for key, value in config.items() if key not in _OF_THE_FILE}
    keys["use_cache"] = False
    model_type = keys.pop("model_type")
    models: Any = transformers.AutoModel
    with _uninitialised():
        trunk = models.from_config(transformers.AutoConfig.for_model(model_type, **keys))
    if hasattr(trunk, "pooler"):  # BERT's own pooling, which nothing here reads
        trunk.pooler = None
    return trunk


def _run_again(block: Any) -> None:
    """Let a block keep what enters it alone, and run it again in the backward pass."""
    inner = block.forward

    def forward(*args: Any, **keys: Any) -> Any:
        if not torch.is_grad_enabled():
            return inner(*args, **keys)
        # No dropout: no random numbers. The reentrant form gives no gradients to the caller of autograd.grad.
        return checkpoint.checkpoint(inner, *args, use_reentrant=False, preserve_rng_state=False, **keys)

    block.forward = forward


def _uninitialised() -> Any:
    """Return a context in which no weights are drawn, since all are replaced; the package has moved it."""
    for module in ("transformers.initialization", "transformers.modeling_utils"):
        try:
            return importlib.import_module(module).no_init_weights()
        except (ImportError, AttributeError):
            continue
    return contextlib.ExitStack()


def _places(trunk: Any, layers: Any) -> Dict[str, Any]:
    """Return the module of each layer of the graph in the trunk.

    Raises:
        SpecError: this version of transformers names its modules otherwise.
    """
    modules = {path.replace(".", "_"): module for path, module in trunk.named_modules()}
    missing: Set[str] = {node.name for node in layers if node.name not in OWN} - set(modules)
    if missing:
        raise SpecError("%s has no module %s in this architecture" % (version(), sorted(missing)[0]))
    return {node.name: modules[node.name] for node in layers if node.name not in OWN}


def _shared(item: Tensor) -> Any:
    """Return a float32 tensor that reads the artefact's own memory; a copy where that is not possible."""
    if sys.byteorder == "big" or not isinstance(item.data, memoryview) or item.data.readonly:
        return to_torch(item)
    return torch.frombuffer(item.data, dtype=torch.float32).reshape(item.shape)


def merge(model: Classifier) -> int:
    """Put each adapter beside a layer into its layer's weight; return how many there were.

    In place, or where the weight is packed into the float32 weight that it stands for: rounding the sum to few bits once
    more would lose what was learnt.
    """
    count = 0
    with torch.no_grad():
        for parent in [model] + list(model.trunk.modules()):
            for name, layer in list(parent.named_children()):
                if isinstance(layer, LoraLinear):
                    base = unpacked(layer.base)
                    base.weight.add_(layer.mapper @ layer.extractor, alpha=layer.scale)
                    setattr(parent, name, base)
                    count += 1
    return count
