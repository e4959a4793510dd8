"""A network's frozen part as a program for the kernels: which node reads which map, and where maps lie.

A map's room is used again once its last reader has run. Channels are padded to the build's vectors, so the program is
made for a library.
"""

import math
from array import array
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from tunebench.workloads import defaults
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.engines.native.errors import NativeError
from tunebench.workloads.engines.native.loader import Library, address
from tunebench.workloads.models.graph import INPUT, Graph, Node, nodes_for, product
from tunebench.workloads.tasks.spec import SpecError

#: as the kernels number them
CONV, DEPTHWISE, ADD, PUT, MAX, MEAN, NORMALISE, BORDER = range(8)
ACTIVATIONS = {"": 0, "relu": 1, "relu6": 2}
#: images run together: many share the weights they read, few leave the maps in a small core's cache
CHUNK, CHUNK_B = 16, 4 << 20
_LINE = 16  # floats of 64 bytes
#: inputs of a block of outputs, at least of a tile's: TB_BLOCK and TB_PIXELS of conv.h
_BLOCK, _MOST_PIXELS = 24576, 6


class Program(NamedTuple):
    """A trunk for libraries of one vector length.

    Attributes:
        ops: rows of numbers, one an operation, as ``tb_trunk_new`` takes them.
        maps: rows (height, width, channels, floats before it), the image first.
        outputs: numbers of the maps that are wanted.
        arena: floats of one image's maps.
        nodes: nodes with weights or constants, and the number of the operation that has them.
        weight_b: bytes of their weights as the kernels keep them.
        columns_b: bytes for the inputs of the largest convolution that is not 1x1, gathered block by block.
    """

    ops: Tuple[Tuple[int, ...], ...]
    maps: Tuple[Tuple[int, ...], ...]
    outputs: Tuple[int, ...]
    arena: int
    nodes: Tuple[Tuple[int, Node], ...]
    weight_b: int
    columns_b: int

    @property
    def run_b(self) -> int:
        """Return the bytes that a run takes besides the weights."""
        return 4 * self.arena * self.chunk + self.columns_b

    @property
    def chunk(self) -> int:
        """Return how many images are run together."""
        return max(1, min(CHUNK, CHUNK_B // (4 * self.arena)))


def compile_trunk(graph: Graph, wanted: Sequence[str], vector_floats: int) -> Program:
    """Return the program that computes some nodes of a network from an image.

    Raises:
        SpecError: a node that the kernels do not have.
    """
    nodes = nodes_for(graph, wanted)
    for node in nodes:
        _check(graph, node)
    last_use = {name: at for at, node in enumerate(nodes) for name in node.inputs}
    last_use.update((name, len(nodes)) for name in wanted)
    room = Room()
    maps: List[Tuple[int, ...]] = []
    ops: List[Tuple[int, ...]] = []
    numbered: List[Tuple[int, Node]] = []
    number: Dict[str, int] = {}
    shapes = {INPUT: graph.shape}

    def place(name: str, shape: Tuple[int, ...]) -> None:
        c, h, w = (tuple(shape) + (1, 1))[:3]
        size = h * w * -(-c // vector_floats) * vector_floats
        number[name], shapes[name] = len(maps), shape
        maps.append((h, w, c, room.take(size, name)))

    place(INPUT, graph.shape)
    for at, node in enumerate(nodes):
        place(node.name, node.shape)
        out = number[node.name]
        inputs = [number[name] for name in node.inputs]
        if node.op in ("conv", "linear", "normalise"):
            numbered.append((len(ops), node))
        for row in _rows(node, [shapes[name] for name in node.inputs]):
            right = inputs[1] if row[0] == ADD else 0
            ops.append((row[0], inputs[row[1]], right, out) + row[2:] + (0,))
        for name in set(node.inputs) | {node.name}:
            if last_use.get(name, -1) <= at:
                room.give(name)
    weights = sum(_weight_floats(node, shapes, vector_floats) for _, node in numbered)
    outputs = tuple(number[name] for name in wanted)
    gathered = [node.fan_in for _, node in numbered if node.op == "conv" and not node.depthwise]
    columns = max([_BLOCK] + [_MOST_PIXELS * inputs for inputs in gathered])
    return Program(tuple(ops), tuple(maps), outputs, room.end, tuple(numbered), 4 * weights, 4 * columns)


def _check(graph: Graph, node: Node) -> None:
    """Refuse a node that the kernels do not have."""
    has = node.op in ("conv", "linear", "add", "concat", "maxpool", "avgpool", "normalise", "pad")
    what = node.op
    if node.op == "conv" and node.groups > 1 and not (node.depthwise and node.channels_out == node.groups):
        has, what = False, "convolution of %d groups over %d channels" % (node.groups, node.channels_in)
    if node.act not in ACTIVATIONS:
        has, what = False, "activation %s" % node.act
    if not has:
        raise SpecError(
            "workload.engine 'native' has no %s, which node %r of model %r is: use engine 'torch'"
            % (what, node.name, graph.name)
        )


def _rows(node: Node, shapes: Sequence[Tuple[int, ...]]) -> List[Tuple[int, ...]]:
    """Return a node's operations: (kind, which input, kernel y and x, stride, padding, dilation, act, first)."""
    act = ACTIVATIONS[node.act]
    if node.op == "linear":  # a window as large as the map: torch's order of channels, rows, columns
        height, width = (tuple(shapes[0]) + (1, 1))[1:3]
        return [(CONV, 0, height, width, 1, 0, 1, act, 0)]
    if node.op == "conv":
        kind = DEPTHWISE if node.depthwise else CONV
        k = node.kernel
        return [(kind, 0, k, k, node.stride, node.padding, node.dilation, act, 0)]
    if node.op == "concat":
        first = 0
        rows: List[Tuple[int, ...]] = []
        for index, shape in enumerate(shapes):
            rows.append((PUT, index, 1, 1, 1, 0, 1, 0, first))
            first += shape[0]
        return rows
    if node.op == "maxpool":
        return [(MAX, 0, node.kernel, node.kernel, node.stride, node.padding, 1, 0, 0)]
    if node.op == "pad":
        return [(BORDER, 0, node.pads[0], node.pads[2], 1, 0, 1, 0, 0)]
    kind = {"add": ADD, "avgpool": MEAN, "normalise": NORMALISE}[node.op]
    return [(kind, 0, node.kernel, node.kernel, 1, 0, 1, act, 0)]


def _weight_floats(node: Node, shapes: Dict[str, Tuple[int, ...]], vector_floats: int) -> int:
    out = -(-node.channels_out // vector_floats) * vector_floats
    rows = 1 if node.op == "normalise" else node.fan_in
    return (rows + 1) * out


class Room:
    """First-fit places for maps; room that is given back is used again."""

    def __init__(self) -> None:
        self.taken: Dict[str, Tuple[int, int]] = {}
        self.end = 0

    def take(self, size: int, name: str) -> int:
        """Return where a map of so many floats lies."""
        size, at = -(-size // _LINE) * _LINE, 0
        for start, stop in sorted(self.taken.values()):
            if start - at >= size:
                break
            at = max(at, stop)
        self.taken[name] = (at, at + size)
        self.end = max(self.end, at + size)
        return at

    def give(self, name: str) -> None:
        """Take a map's room back."""
        del self.taken[name]


class Trunk:
    """A network's frozen part, ready to run: images in, values out.

    Args:
        graph: the network.
        wanted: nodes whose values it gives.
        weights: tensors by the names of :func:`tunebench.workloads.models.graph.weight_shapes`.
        library: the kernels.

    Raises:
        SpecError: a node that the kernels do not have.
        NativeError: out of memory.
    """

    def __init__(self, graph: Graph, wanted: Sequence[str], weights: Artefact, library: Library) -> None:
        self.library = library
        self.handle: Optional[int] = None
        self.program = program = compile_trunk(graph, wanted, library.vector_floats)
        self.image_b = product(graph.shape)
        shapes = {node.name: node.shape for node in graph.nodes}
        self.sizes = [product(shapes[name]) for name in wanted]
        ops, maps, outputs = (
            array("i", [value for row in rows for value in row])
            for rows in (program.ops, program.maps, [program.outputs])
        )
        self.handle = library.c.tb_trunk_new(
            address(ops), len(program.ops), address(maps), len(program.maps), address(outputs), len(wanted),
            program.chunk, program.arena,
        )  # fmt: skip
        if not self.handle:
            raise NativeError("out of memory for the trunk of model %r" % graph.name)
        for index, node in program.nodes:
            self._set(index, node, weights)

    def _set(self, index: int, node: Node, weights: Artefact) -> None:
        if node.op == "normalise":
            weight, (slope, shift) = array("f", [0.0]), constants(node)  # it has none, and none is read
        else:
            weight, slope, shift = folded_layer(node, weights)
        self.library.c.tb_trunk_set(self.handle, index, address(weight), address(slope), address(shift))

    def __del__(self) -> None:
        if self.handle is not None:
            self.library.c.tb_trunk_free(self.handle)
            self.handle = None

    def values(self, images: Any, count: int) -> "array[float]":
        """Compute the wanted values of some images of bytes (c, h, w): image by image, one node behind another."""
        values = array("f", bytes(4 * count * sum(self.sizes)))
        self.library.c.tb_trunk_values(self.handle, address(images), self.image_b, count, address(values))
        return values


def constants(node: Node) -> "Tuple[array[float], array[float]]":
    """Return slope and shift of a ``normalise``."""
    slope = [1.0 / deviation for _, deviation in node.scaling]
    shift = [-mean / deviation for mean, deviation in node.scaling]
    return array("f", slope), array("f", shift)


def folded_layer(node: Node, weights: Artefact) -> "Tuple[array[float], array[float], array[float]]":
    """Return a layer's weight, and slope and shift of what follows its products: bias and frozen BatchNorm."""
    weight = weights.need(node.name + ".weight").array()
    n = node.channels_out
    bias = weights.need(node.name + ".bias").array() if node.bias else array("f", bytes(4 * n))
    slope, shift = folded_norm(weights, node.name, node.norm, n)
    return weight, slope, array("f", [a * b + c for a, b, c in zip(slope, bias, shift)])  # noqa: B905  Python 3.10


def folded_norm(weights: Artefact, layer: str, norm: bool, n: int) -> "Tuple[array[float], array[float]]":
    """Return slope and shift of a frozen BatchNorm, y = slope * x + shift; 1 and 0 where there is none."""
    if not norm:
        return array("f", [1.0] * n), array("f", [0.0] * n)
    gamma, beta, mean, variance = (
        weights.need("%s.%s" % (layer, part)).array() for part in ("gamma", "beta", "mean", "variance")
    )
    slope = [g / math.sqrt(v + defaults.BATCHNORM_EPSILON) for g, v in zip(gamma, variance)]  # noqa: B905
    return array("f", slope), array("f", [b - m * s for b, m, s in zip(beta, mean, slope)])  # noqa: B905
