"""A network whose layers carry adapters as a program for the kernels: what a node reads, and where gradients lie.

Values of a whole batch stay for the way back, gradients do not: one's room is used again once its node is behind.
Channels are padded to the build's vectors, so the program is made for a library.
"""

from typing import Dict, List, NamedTuple, Set, Tuple

from tunebench.workloads.engines.native.trunk import ACTIVATIONS, Room
from tunebench.workloads.methods.plan import Adapter, Plan
from tunebench.workloads.models.graph import INPUT, Node, shapes_of

#: as the kernels number them: nodes, and what an input's gradient does
CONV, ADD, PUT, MAX, MEAN = range(5)
NEEDLESS, FIRST, MORE = range(3)
#: kinds of nodes that a gradient finds its way through
OPS = ("conv", "linear", "add", "concat", "maxpool", "avgpool")
#: the end of a row without weights
_NO_LAYER = (0, 0, 0, 0, 0, -1, 0, 0)


class Program(NamedTuple):
    """A network with adapters for libraries of one vector length.

    Attributes:
        nodes: rows of numbers, one an operation, as ``tb_net_new`` takes them.
        grids: rows (height, width, channels, border, floats before its gradient or -1), the inputs first.
        sizes: of the image, of the window that reads it, number of the logits, floats of an image's gradients.
        layers: layers, and the number of the operation that each one is.
        adapters: in the plan's order.
        weight_b: bytes of weights as the kernels keep them; factors and their gradients included.
        values_b: bytes of an image's values and gradients.
        scratch_b: bytes of what one image at a time needs besides.
    """

    nodes: Tuple[Tuple[int, ...], ...]
    grids: Tuple[Tuple[int, ...], ...]
    sizes: Tuple[int, ...]
    layers: Tuple[Tuple[int, Node], ...]
    adapters: Tuple[Adapter, ...]
    weight_b: int
    values_b: int
    scratch_b: int


def why_not(plan: Plan) -> str:
    """Return what the kernels train in a trunk, and what of a plan they do not, in a sentence's words; "" if they do."""
    if plan.weights or plan.biases or any(adapter.start != adapter.end for adapter in plan.adapters):
        return "adapters alone, not the layers' own weights"
    readers = [node for node in plan.graph.nodes if INPUT in node.inputs]
    for node in plan.graph.nodes:
        what = node.op
        has = node.op in OPS and node.act in ACTIVATIONS and (node.op != "avgpool" or node.kernel == 1)
        if node.op == "conv" and (node.groups > 1 or node.dilation > 1):
            has = False
            what = "depthwise convolution" if node.depthwise else "convolution with groups or dilation"
        if node in readers and (len(readers) > 1 or node.op != "conv"):
            has, what = False, "%s that reads the image" % node.op
        if not has:
            return "adapters, but not through a %s, node %r of model %r" % (what, node.name, plan.graph.name)
    return ""


def graded_nodes(plan: Plan) -> Set[str]:
    """Return the nodes whose values depend on an adapter."""
    graded: Set[str] = set()
    adapted = set(plan.adapted)
    for node in plan.graph.nodes:
        if node.name in adapted or graded & set(node.inputs):
            graded.add(node.name)
    return graded


def compile_net(plan: Plan, vector_floats: int) -> Program:
    """Return the program of a plan that :func:`why_not` has nothing against."""
    return _Compiler(plan, vector_floats).program()


class _Compiler:
    """Writes a plan's program node by node."""

    def __init__(self, plan: Plan, vector_floats: int) -> None:
        self.plan, graph = plan, plan.graph
        self.shapes = shapes_of(graph)
        (self.reader,) = (node for node in graph.nodes if INPUT in node.inputs)
        self.shapes[INPUT] = (self.reader.fan_in,) + self.reader.shape[1:]  # its windows, one behind another
        self.wide = {name: _padded(shape[0], vector_floats) for name, shape in self.shapes.items()}
        self.number = {name: at for at, name in enumerate([INPUT] + [node.name for node in graph.nodes])}
        graded = graded_nodes(plan)
        self.needs = _needs(plan, graded)
        self.where, self.arena = _rooms(plan, graded, self.wide)
        self.adapter = {adapter.end: at for at, adapter in enumerate(plan.adapters)}
        self.rows: List[Tuple[int, ...]] = []
        self.layers: List[Tuple[int, Node]] = []
        self.weights = self.gated = self.middle = 0

    def program(self) -> Program:
        """Return the whole."""
        graph, reader = self.plan.graph, self.reader
        for node in graph.nodes:
            if node.op in ("conv", "linear"):
                self._layer(node)
            elif node.op == "concat":
                self._concat(node)
            else:
                self._plain(node)
        grids, values = self._grids()
        window = (reader.kernel, reader.kernel, reader.stride, reader.padding)
        sizes = tuple(graph.shape) + window + (self.number[graph.outputs[0]], self.arena)
        return Program(
            tuple(self.rows), grids, sizes, tuple(self.layers), self.plan.adapters, 4 * self.weights,
            4 * (values + self.arena), 4 * (self.gated + 2 * self.middle),
        )  # fmt: skip

    def _layer(self, node: Node) -> None:
        source, out = node.inputs[0], self.wide[node.name]
        height, width = _window(node, self.shapes)
        adapter, need = self.adapter.get(node.name, -1), self.needs[node.name][0]
        unfolded = node is self.reader
        window = (1, 1, 1, 0) if unfolded else (height, width, node.stride, node.padding)
        channels = node.channels_in if node.op == "conv" else self.shapes[source][0]
        tap = channels if unfolded else self.wide[source]
        self.layers.append((len(self.rows), node))
        self.rows.append(
            (CONV, self.number[source], 0, self.number[node.name]) + window + (ACTIVATIONS[node.act], 0, need, 0)
            + (node.channels_out, channels, height, width, tap, adapter, self.plan.rank, 0)
        )  # fmt: skip
        inputs, rank = window[0] * window[1] * self.wide[source], _padded(self.plan.rank, 4) * (adapter >= 0)
        forms = (1 + bool(need)) * (2 if rank else 1)  # fixed and composed, forth and back
        self.weights += forms * inputs * out + 2 * out + rank * (2 * inputs + 3 * out)
        h, w = (tuple(node.shape) + (1, 1))[1:3]
        border = max(window[:2]) - 1
        self.gated = max(self.gated, (h + 2 * border) * (w + 2 * border) * out)
        self.middle = max(self.middle, h * w * rank)

    def _concat(self, node: Node) -> None:
        first = 0
        for name, need in zip(node.inputs, self.needs[node.name]):  # noqa: B905  Python 3.10
            places = (PUT, self.number[name], 0, self.number[node.name], 1, 1, 1, 0, 0, first, need, 0)
            self.rows.append(places + _NO_LAYER)
            first += self.shapes[name][0]

    def _plain(self, node: Node) -> None:
        left, right = self.number[node.inputs[0]], self.number[node.inputs[-1]]
        needs = (self.needs[node.name] + [NEEDLESS])[:2]
        kind = {"add": ADD, "maxpool": MAX, "avgpool": MEAN}[node.op]
        window = (node.kernel, node.kernel, node.stride, node.padding)
        row = (kind, left, right, self.number[node.name]) + window + (ACTIVATIONS[node.act], 0) + tuple(needs)
        self.rows.append(row + _NO_LAYER)

    def _grids(self) -> Tuple[Tuple[Tuple[int, ...], ...], int]:
        """Return the maps, and the floats of one image's values."""
        borders = dict.fromkeys(self.number, 0)
        for node in self.plan.graph.nodes:
            if node.op == "conv" and node is not self.reader:
                borders[node.inputs[0]] = max(borders[node.inputs[0]], node.padding)
        grids, values = [], 0
        for name, border in borders.items():
            c, h, w = (tuple(self.shapes[name]) + (1, 1))[:3]
            grids.append((h, w, c, border, self.where.get(name, -1)))
            values += (h + 2 * border) * (w + 2 * border) * self.wide[name]
        return tuple(grids), values


def _padded(count: int, to: int) -> int:
    return -(-count // to) * to


def _window(node: Node, shapes: Dict[str, Tuple[int, ...]]) -> Tuple[int, int]:
    """Return the window of a layer; a linear one's is as large as the map, in torch's order."""
    if node.op == "conv":
        return node.kernel, node.kernel
    height, width = (tuple(shapes[node.inputs[0]]) + (1, 1))[1:3]
    return height, width


def _needs(plan: Plan, graded: Set[str]) -> Dict[str, List[int]]:
    """Return for each node what the gradients of its inputs do: the last reader is the first one on the way back."""
    written: Set[str] = set()
    needs: Dict[str, List[int]] = {}
    for node in reversed(plan.graph.nodes):
        needs[node.name] = []
        for name in node.inputs:
            if name not in graded:
                needs[node.name].append(NEEDLESS)
                continue
            needs[node.name].append(MORE if name in written else FIRST)
            written.add(name)
    return needs


def _rooms(plan: Plan, graded: Set[str], wide: Dict[str, int]) -> Tuple[Dict[str, int], int]:
    """Return where the nodes' gradients lie for one image, and the floats of all."""
    sizes = {}
    for node in plan.graph.nodes:
        height, width = (tuple(node.shape) + (1, 1))[1:3]
        sizes[node.name] = height * width * wide[node.name]
    room, where = Room(), {}
    for node in reversed(plan.graph.nodes):
        for name in (node.name,) + node.inputs:
            if name in graded and name not in where:
                where[name] = room.take(sizes[name], name)
        if node.name in where:
            room.give(node.name)
    return where, room.end
