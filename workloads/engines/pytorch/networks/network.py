"""A graph as a torch module: builds the layers, runs the nodes that are needed, frees what is not."""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import torch
from torch import nn

from tunebench.workloads import defaults, seeds
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.pytorch import lean
from tunebench.workloads.engines.pytorch.networks.checkpointing import run_again
from tunebench.workloads.engines.pytorch.networks.plain_nodes import PLAIN, activated
from tunebench.workloads.methods.checkpointing import Segment, segments
from tunebench.workloads.methods.skips import MAPPER
from tunebench.workloads.models.graph import INPUT, Graph, Node, UnsupportedModel

_NORM = "_norm"
#: tensor of a weights artefact -> attribute of the BatchNorm behind a layer
_NORM_PARTS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


class _Step(NamedTuple):
    """A node to run and the values that nothing needs afterwards."""

    node: Node
    free: Tuple[str, ...]


class Network(nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """A network with branches: (n, c, h, w) float32 -> a tuple of its graph's outputs.

    A layer is the attribute of its node's name, its BatchNorm ``NAME_norm``.

    Raises:
        UnsupportedModel: the graph is for counting only.
    """

    def __init__(self, graph: Graph) -> None:
        super(Network, self).__init__()
        self.graph = graph
        self._programs: Dict[Tuple[Tuple[str, ...], Tuple[str, ...]], List[_Step]] = {}
        for node in graph.nodes:
            if node.op == "rearrange":
                raise UnsupportedModel("model %r is for counting only and cannot be built" % graph.name)
            if node.op == "normalise":
                pairs = torch.tensor(node.scaling).reshape(-1, 2, 1, 1)
                self.register_buffer(node.name + "_scale", 1.0 / pairs[:, 1], persistent=False)
                self.register_buffer(node.name + "_shift", -pairs[:, 0] / pairs[:, 1], persistent=False)
        #: of the adapters that are nodes of the graph
        self.scale = 1.0
        #: values of blocks are computed again in the backward pass
        self.checkpoint = False
        #: frozen layers keep no input for their gradients
        self.lean = False
        for node in graph.layers + graph.added:
            self.add_module(node.name, _layer(node))
            if node.norm:
                kind = nn.BatchNorm1d if node.op == "linear" else nn.BatchNorm2d
                norm = kind(node.channels_out, eps=defaults.BATCHNORM_EPSILON)
                self.add_module(node.name + _NORM, norm)

    def forward(self, x: Any) -> Tuple[Any, ...]:
        return self.run({INPUT: x}, self.graph.outputs)

    def run(self, given: Dict[str, Any], wanted: Sequence[str]) -> Tuple[Any, ...]:
        """Return the values of some nodes, computed from those of others: only what lies between is run.

        Args:
            given: node (or ``input``) -> its value.
            wanted: names of nodes.
        """
        if self.checkpoint and torch.is_grad_enabled():
            return self._run_segments(given, wanted)
        key = (tuple(sorted(given)), tuple(wanted))
        if key not in self._programs:
            self._programs[key] = _program(self.graph, *key)
        values = dict(given)
        for node, free in self._programs[key]:
            values[node.name] = self._value(node, [values[name] for name in node.inputs])
            for name in free:
                del values[name]
        return tuple(values[name] for name in wanted)

    def _run_segments(self, given: Dict[str, Any], wanted: Sequence[str]) -> Tuple[Any, ...]:
        """Run segment by segment; those that end with a block are run again in the backward pass."""
        nodes = [step.node for step in _program(self.graph, tuple(given), tuple(wanted))]
        values, parts = dict(given), segments(nodes, wanted)
        for at, segment in enumerate(parts):

            def run(inside: Dict[str, Any], segment: Segment = segment) -> Tuple[Any, ...]:
                last = {name: node.name for node in segment.nodes for name in node.inputs}
                for node in segment.nodes:
                    inside[node.name] = self._value(node, [inside[name] for name in node.inputs])
                    for name in set(node.inputs):  # where layers keep no input, nothing else holds it
                        if last[name] == node.name and name not in segment.outputs:
                            del inside[name]
                return tuple(inside[name] for name in segment.outputs)

            if segment.again:
                outputs = run_again(segment, values, run)
            else:
                outputs = run({name: values[name] for name in segment.inputs})
            values.update(zip(segment.outputs, outputs))  # noqa: B905  Python 3.10
            del outputs
            needed = {name for part in parts[at + 1 :] for name in part.inputs} | set(wanted)
            values = {name: value for name, value in values.items() if name in needed}
        return tuple(values[name] for name in wanted)

    def _value(self, node: Node, inputs: List[Any]) -> Any:
        x = inputs[0]
        if node.op in ("conv", "deconv", "linear"):
            x = x.flatten(1) if node.op == "linear" else x
            layer = getattr(self, node.name)
            x = lean.layer_of(x, layer) if self.lean else layer(x)
            x = self._normed(node, x) if node.norm else x
            x = x * self.scale if node.name == MAPPER and self.scale != 1.0 else x
        elif node.op == "normalise":
            x = torch.addcmul(getattr(self, node.name + "_shift"), x, getattr(self, node.name + "_scale"))
        else:
            x = PLAIN[node.op](node, inputs)
        return activated(x, node.act, self.lean)

    def _normed(self, node: Node, x: Any) -> Any:
        norm = norm_of(self, node.name)
        if not self.lean or norm.training or not lean.is_frozen(norm):
            return norm(x)
        parts = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return lean.norm(x, parts, norm.eps)


def _layer(node: Node) -> Any:
    if node.op == "linear":
        return nn.Linear(node.channels_in, node.channels_out, node.bias)
    if node.op == "deconv":
        return nn.ConvTranspose2d(
            node.channels_in, node.channels_out, node.kernel, node.stride, bias=node.bias
        )
    return nn.Conv2d(
        node.channels_in, node.channels_out, node.kernel, node.stride, node.padding, node.dilation, node.groups, node.bias
    )  # fmt: skip


def _program(graph: Graph, given: Tuple[str, ...], wanted: Tuple[str, ...]) -> List[_Step]:
    """Return the nodes between ``given`` and ``wanted``, in order, each with the values that no later node needs."""
    by_name = {node.name: node for node in graph.nodes}
    needed, open_names = set(), list(wanted)
    while open_names:
        name = open_names.pop()
        if name not in given and name not in needed:
            needed.add(name)
            open_names += by_name[name].inputs
    nodes = [node for node in graph.nodes if node.name in needed]
    last_use = {name: at for at, node in enumerate(nodes) for name in node.inputs}
    return [
        _Step(node, tuple(name for name in set(node.inputs) if last_use[name] == at and name not in wanted))
        for at, node in enumerate(nodes)
    ]


def start(model: Network, seed: int, prior: float = 0.01) -> None:
    """Set start values for pretraining: biases 0, but a detector's classes start at ``prior``.

    Weights of a chain and of heads are Kaiming-uniform (bound 1/sqrt(fan_in)), the others He-uniform.
    """
    graph = model.graph
    with torch.no_grad():
        for node in graph.layers:
            layer = getattr(model, node.name)
            label = "pretrain/%s%s" % (node.name, ".weight" if graph.chain else "")
            values = seeds.kaiming_uniform(node.n_weights, node.fan_in, seed, label)
            layer.weight.copy_(torch.frombuffer(values, dtype=torch.float32).reshape(layer.weight.shape))
            layer.weight.mul_(1.0 if node.head or graph.chain else 6.0**0.5)
            if layer.bias is not None:
                rare = graph.task == "detect" and node.name == graph.outputs[0]
                layer.bias.fill_(float(torch.tensor(prior).logit()) if rare else 0.0)


def load_weights(model: Network, weights: Artefact) -> None:
    """Put a weights artefact into a network; its names are :func:`~tunebench.workloads.models.graph.weight_shapes`'."""
    with torch.no_grad():
        for name, place in places(model):
            item = weights.need(name)
            place.copy_(torch.frombuffer(item.array(), dtype=torch.float32).reshape(item.shape))


def places(model: Network) -> List[Tuple[str, Any]]:
    """Return pairs of a name in a weights artefact and the tensor it stands for, in the artefact's order."""
    tensors: List[Tuple[str, Any]] = []
    for node in model.graph.layers:
        layer = getattr(model, node.name)
        tensors.append((node.name + ".weight", layer.weight))
        if node.bias:
            tensors.append((node.name + ".bias", layer.bias))
        if node.norm:
            norm = getattr(model, node.name + _NORM)
            tensors += [(node.name + "." + part, getattr(norm, to)) for part, to in _NORM_PARTS.items()]
    return tensors


def norm_of(model: Network, name: str) -> Any:
    """Return the BatchNorm behind a layer, also of a model with adapters; None if there is none."""
    norm = getattr(model, name + _NORM, None)
    return getattr(norm, "norm", norm)
