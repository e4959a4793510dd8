"""Remove whole channels, smallest filters first, and everything in the network that belongs to them.

Channels that must go together are one class: the two sides of a sum or a product, a depthwise convolution's input and
output. Classes whose layers share any class are pruned as one group, each group by the same share, so that widths stay
in proportion.
Counts equal torch-pruning's on ResNet and MobileNetV2 (44,226 and 147,042 parameters at half the channels).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import Key
from tunebench.workloads.compress.state import Array, State, TransformError
from tunebench.workloads.models.graph import INPUT, Graph, Node, product, shapes_of

KEYS = {"ratio": Key(None, 0, 1), "round_to": Key(8, 1, 1024, integer=True)}
#: ops whose output channels are their (first) input's
_PASSING = ("maxpool", "avgpool", "upsample", "pad", "activate")


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Remove a share of the channels of every group; what is left is a multiple of ``round_to``, at least once that.

    Raises:
        TransformError: a node that this cannot follow.
    """
    if state.masks:
        raise TransformError("prune structured stands before prune magnitude: masks belong to shapes")
    channels = _Channels(state.graph)
    gone = _chosen(state, channels, keys["ratio"], keys["round_to"])
    if not gone:
        return state
    return _without(state, channels, gone)


class _Channels:
    """Which channels of a network are the same thing: every channel has a number, numbers that are tied have one root."""

    def __init__(self, graph: Graph) -> None:
        self._parents: list[int] = []
        #: node -> numbers of its output's channels
        self.of_node: dict[str, list[int]] = {INPUT: self._new(graph.shape[0])}
        self.kept: set[int] = set(self.of_node[INPUT])
        self.producers: list[Node] = []
        for node in graph.nodes:
            self.of_node[node.name] = self._outputs(node)
        for name in graph.outputs:
            self.kept.update(self.of_node[name])

    def _new(self, count: int) -> list[int]:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return self._parents[first:]

    def root(self, number: int) -> int:
        """Return the number by which a class is called."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def _outputs(self, node: Node) -> list[int]:
        sources = [self.of_node[name] for name in node.inputs]
        if node.op == "linear" or (node.op == "conv" and node.groups == 1):
            return self._produced(node, sources[0])
        if node.depthwise and node.channels_out == node.channels_in:
            self.producers.append(node)
        elif node.op == "normalise":
            self.kept.update(sources[0])
            made = self._new(node.channels_out)
            self.kept.update(made)
            return made
        elif node.op in ("add", "multiply"):
            for left, right in zip(*sources, strict=True):
                self._parents[self.root(right)] = self.root(left)
        elif node.op == "concat":
            return [number for source in sources for number in source]
        elif node.op == "slice":
            return sources[0][node.first : node.first + node.channels_out]
        elif node.op not in _PASSING or len(sources[0]) != node.channels_out:
            raise TransformError(
                f"prune structured cannot follow channels through node {node.name!r} ({node.op})"
            )
        return sources[0]

    def _produced(self, node: Node, source: list[int]) -> list[int]:
        self.producers.append(node)
        made = self._new(node.channels_out)
        if node.head or node.fixed:
            self.kept.update(made)
        if node.fixed:
            self.kept.update(source)
        return made

    def classes(self, name: str) -> list[int]:
        """Return the class of each output channel of a node, in order."""
        return [self.root(number) for number in self.of_node[name]]

    def protected(self) -> set[int]:
        """Return the classes that stay."""
        return {self.root(number) for number in self.kept}


def _chosen(state: State, channels: _Channels, ratio: float, round_to: int) -> set[int]:
    """Return the classes that go: of each group the smallest by the length of their filters."""
    protected = channels.protected()
    lengths: dict[int, float] = {}
    members = {node.name: channels.classes(node.name) for node in channels.producers}
    for node in channels.producers:
        weight = state.tensors[f"{node.name}.weight"].astype(np.float64)
        for number, length in zip(
            members[node.name], (weight.reshape(len(weight), -1) ** 2).sum(1), strict=True
        ):
            lengths[number] = lengths.get(number, 0.0) + float(length)
    gone: set[int] = set()
    for group in _groups(members.values()):
        free = [number for number in group if number not in protected]
        if len(free) < len(group) or len(group) <= round_to:
            continue
        keep = max(round_to, round(len(group) * (1 - ratio) / round_to) * round_to)
        # The number itself breaks ties: the same weights lose the same channels.
        order = sorted(free, key=lambda number: (lengths[number], number))
        gone.update(order[: max(0, len(group) - keep)])
    return gone


def _groups(members: Iterable[list[int]]) -> list[list[int]]:
    """Return the classes of layers that share any, put together."""
    groups: list[set[int]] = []
    for numbers in members:
        joined = set(numbers)
        apart = []
        for group in groups:
            if group & joined:
                joined |= group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return [sorted(group) for group in groups]


def _without(state: State, channels: _Channels, gone: set[int]) -> State:
    """Return the network without some classes of channels."""
    shapes = shapes_of(state.graph)
    left = {
        name: np.array([at for at, number in enumerate(numbers) if channels.root(number) not in gone])
        for name, numbers in channels.of_node.items()
    }
    nodes, tensors = [], dict(state.tensors)
    for node in state.graph.nodes:
        source = left[node.inputs[0]]
        changed = node._replace(shape=(len(left[node.name]), *node.shape[1:]))
        if node.op == "linear":
            places = product(shapes[node.inputs[0]][1:])
            read = (source[:, None] * places + np.arange(places)).reshape(-1)
            changed = changed._replace(channels_in=len(read))
            _cut(tensors, node, left[node.name], read)
        elif node.op == "conv" and node.groups == 1:
            changed = changed._replace(channels_in=len(source))
            _cut(tensors, node, left[node.name], source)
        elif node.op == "conv":
            changed = changed._replace(channels_in=len(source), groups=len(source))
            _cut(tensors, node, left[node.name], None)
        elif node.op == "slice":
            changed = changed._replace(channels_in=len(source), first=int((source < node.first).sum()))
        elif node.channels_in:
            changed = changed._replace(channels_in=len(source))
        nodes.append(changed)
    return replace(state, graph=state.graph._replace(nodes=tuple(nodes)), tensors=tensors)


def _cut(tensors: dict[str, Array], node: Node, rows: Array, columns: Array | None) -> None:
    """Leave the given outputs (and inputs) of a layer's tensors."""
    weight = tensors[f"{node.name}.weight"][rows]
    tensors[f"{node.name}.weight"] = np.ascontiguousarray(weight if columns is None else weight[:, columns])
    for part in ("bias", "gamma", "beta", "mean", "variance"):
        if f"{node.name}.{part}" in tensors:
            tensors[f"{node.name}.{part}"] = tensors[f"{node.name}.{part}"][rows]
