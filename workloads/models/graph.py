"""Describe a network as data: nodes in order of execution, each with its shapes. A chain is a graph without branches.

One description serves counting (no torch needed, also on the host) and every engine. A node is one layer with what
belongs to it: convolution, BatchNorm, activation.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from tunebench.workloads.errors import WorkloadError

#: nodes with weights; the last three are a transformer's, over the tokens of a text: (features, tokens, 1)
WEIGHED = ("conv", "deconv", "linear", "project", "embedding", "layernorm")
#: the others; ``unembed`` reads the weight of an embedding; ``rearrange`` stands for a view that is only counted and
#: cannot be built
PLAIN = ("add", "concat", "slice", "shuffle", "maxpool", "avgpool", "upsample", "normalise", "pad", "activate",
         "rearrange", "attention", "multiply", "unembed")  # fmt: skip
ACTIVATIONS = ("", "relu", "relu6", "silu", "gelu", "sigmoid", "hardsigmoid", "hardswish")
#: those that runtimes compute within the layer before them; another one stands behind it as an ``activate``
BUILT_IN = ACTIVATIONS[:3]
INPUT = "input"
#: task of a chain: to tell the class of a row of numbers
ROWS = "rows"
#: tasks of a transformer: to tell the class of a text; to tell each next token of a text
TEXT, LANGUAGE = "text", "language"


class UnsupportedModel(WorkloadError):
    """A model that does not take the data set's inputs."""


class Node(NamedTuple):
    """One layer of a network.

    Attributes:
        name: unique in its graph, without dots.
        op: one of :data:`WEIGHED` or :data:`PLAIN`.
        inputs: names of the nodes it reads; ``input`` is the network's input.
        shape: of its output for one sample: ``(c, h, w)`` or ``(n,)``.
        channels_in: channels or features of its (first) input; a linear layer reads all values of it. Of an
            ``embedding``, how many tokens (or places) it knows.
        kernel, stride, padding, dilation, groups: of a convolution or pooling; square. An ``avgpool``'s kernel is
            the side of its grid of means: (c, h, w) -> (c kernel kernel,). A ``shuffle``'s groups are the parts from
            which it takes a channel each in turn.
        bias: it has a bias of its own.
        norm: BatchNorm follows.
        act: activation behind it, one of :data:`ACTIVATIONS`.
        head: it belongs to the head, which last-layer methods train.
        fixed: its weights are constants, which no method trains (YOLOv8's DFL).
        first: first channel of a ``slice``.
        ceil: a pooling rounds its output's size up.
        scaling: mean and standard deviation of each channel that a ``normalise`` takes off and divides by.
        pads: zeros that a ``pad`` puts above, below, to the left and to the right.
        block: a block of the network ends with it, see :func:`tunebench.workloads.methods.skips.blocks`.
        added: a method put it there: it is none of the base model's.
    """

    name: str
    op: str
    inputs: Tuple[str, ...]
    shape: Tuple[int, ...]
    channels_in: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    norm: bool = False
    act: str = ""
    head: bool = False
    fixed: bool = False
    first: int = 0
    ceil: bool = False
    scaling: Tuple[Tuple[float, float], ...] = ()
    pads: Tuple[int, ...] = ()
    block: bool = False
    added: bool = False

    @property
    def channels_out(self) -> int:
        """Return the channels or features of its output."""
        return self.shape[0]

    @property
    def fan_in(self) -> int:
        """Return the number of inputs of one output value of a layer with weights."""
        if self.op == "deconv":  # kernel = stride: each output sees one place
            return self.channels_in // self.groups
        return self.channels_in // self.groups * self.kernel * self.kernel

    @property
    def weight_shape(self) -> Tuple[int, ...]:
        """Return the shape of its weight as torch keeps it; empty without weights."""
        k = self.kernel
        if self.op == "conv":
            return (self.channels_out, self.channels_in // self.groups, k, k)
        if self.op == "deconv":
            return (self.channels_in, self.channels_out // self.groups, k, k)
        if self.op == "embedding":
            return (self.channels_in, self.channels_out)
        if self.op == "layernorm":
            return (self.channels_out,)
        return (self.channels_out, self.channels_in) if self.op in ("linear", "project") else ()

    @property
    def norm_trains(self) -> bool:
        """Return whether its BatchNorm's scale and shift train with it, in place of a bias that it does not have."""
        return self.norm and not self.bias

    @property
    def n_weights(self) -> int:
        """Return the number of values of its weight."""
        return product(self.weight_shape) if self.op in WEIGHED else 0

    @property
    def depthwise(self) -> bool:
        """Return whether each group of the convolution reads one channel."""
        return self.op == "conv" and self.groups > 1 and self.groups == self.channels_in


class Graph(NamedTuple):
    """A network.

    Attributes:
        name: of the network.
        task: ``classify``, ``detect`` or ``segment`` images, :data:`ROWS`, :data:`TEXT` or :data:`LANGUAGE`.
        shape: of one input, (c, h, w); (n,) of rows, which a chain may read as an image; (tokens,) of a text.
        nodes: in order of execution.
        outputs: names of the nodes whose values it gives.
    """

    name: str
    task: str
    shape: Tuple[int, ...]
    nodes: Tuple[Node, ...]
    outputs: Tuple[str, ...]

    @property
    def layers(self) -> Tuple[Node, ...]:
        """Return the base model's nodes with weights."""
        return tuple(node for node in self.nodes if node.op in WEIGHED and not node.added)

    @property
    def added(self) -> Tuple[Node, ...]:
        """Return the nodes with weights that a method put there."""
        return tuple(node for node in self.nodes if node.op in WEIGHED and node.added)

    @property
    def chain(self) -> bool:
        """Return whether it is a chain over rows of numbers: every node is a layer that reads the one before it."""
        return self.task == ROWS

    @property
    def n_params(self) -> int:
        """Return the number of parameters: weights, biases, BatchNorm's scale and shift; not its statistics."""
        return sum(node.n_weights + node.channels_out * (node.bias + 2 * node.norm) for node in self.layers)


def product(sizes: Sequence[int]) -> int:
    """Return the product of sizes; 1 of none."""
    result = 1
    for size in sizes:
        result *= size
    return result


def weight_shapes(graph: Graph) -> List[Tuple[str, Tuple[int, ...]]]:
    """Return names and shapes of a network's tensors in a weights artefact, in order."""
    rows: List[Tuple[str, Tuple[int, ...]]] = []
    for node in graph.layers:
        rows.append((node.name + ".weight", node.weight_shape))
        if node.bias:
            rows.append((node.name + ".bias", (node.channels_out,)))
        if node.norm:
            for part in ("gamma", "beta", "mean", "variance"):
                rows.append(("%s.%s" % (node.name, part), (node.channels_out,)))
    return rows


def madds(node: Node, shapes: Dict[str, Tuple[int, ...]]) -> int:
    """Count the multiply-adds of a node's weights for one sample, forward."""
    if node.op == "conv":
        return product(node.shape) * node.fan_in
    if node.op == "deconv":
        return product(shapes[node.inputs[0]]) * node.channels_out // node.groups * node.kernel * node.kernel
    if node.op in ("embedding", "layernorm"):  # looked up, and of the order of a layer's outputs
        return 0
    if node.op in ("project", "unembed"):
        return product(node.shape) * node.channels_in
    return node.n_weights


def nodes_for(graph: Graph, wanted: Sequence[str]) -> List[Node]:
    """Return the nodes that some others are computed from, themselves included, in order of execution."""
    by_name = {node.name: node for node in graph.nodes}
    names: Set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name != INPUT and name not in names:
            names.add(name)
            todo += by_name[name].inputs
    return [node for node in graph.nodes if node.name in names]


def shapes_of(graph: Graph) -> Dict[str, Tuple[int, ...]]:
    """Return node -> shape of its output, the input included."""
    shapes = {node.name: node.shape for node in graph.nodes}
    shapes[INPUT] = graph.shape
    return shapes


class Builder(object):
    """Writes a graph node by node; each method returns the new node's name.

    Args:
        name, task: of the graph.
        shape: of one input, (c, h, w).
    """

    def __init__(self, name: str, task: str, shape: Tuple[int, ...]) -> None:
        self.name, self.task, self.shape = name, task, tuple(shape)
        self.nodes: List[Node] = []
        self.shapes: Dict[str, Tuple[int, ...]] = {INPUT: tuple(shape)}

    def graph(self, *outputs: str) -> Graph:
        """Return the finished graph."""
        return Graph(self.name, self.task, self.shape, tuple(self.nodes), outputs)

    def add_node(self, node: Node) -> str:
        """Append a node.

        Raises:
            UnsupportedModel: its output has no size: the input is too small.
            ValueError: its name is taken or has a dot, or it reads a node that is not there.
        """
        if (
            node.name in self.shapes
            or "." in node.name
            or any(name not in self.shapes for name in node.inputs)
        ):
            raise ValueError("node %r: its name is taken or has a dot, or an input is missing" % node.name)
        if any(size < 1 for size in node.shape):
            raise UnsupportedModel(
                "model %r: inputs of shape %s are too small" % (self.name, list(self.shape))
            )
        self.nodes.append(node)
        self.shapes[node.name] = node.shape
        return node.name

    def conv(
        self,
        name: str,
        source: str,
        channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        padding: Optional[int] = None,
        groups: int = 1,
        norm: bool = True,
        act: str = "relu",
        head: bool = False,
        fixed: bool = False,
        bias: Optional[bool] = None,
    ) -> str:
        """Add a convolution; ``padding`` None keeps the size at stride 1, ``bias`` None: where no BatchNorm follows."""
        c, h, w = self.shapes[source]
        pad = kernel // 2 if padding is None else padding
        out = (channels,) + tuple((size + 2 * pad - kernel) // stride + 1 for size in (h, w))
        own = not norm if bias is None else bias
        node = Node(
            name, "conv", (source,), out, c, kernel, stride, pad, 1, groups, own, norm, act, head, fixed
        )
        return self.add_node(node)

    def conv_same(
        self,
        name: str,
        source: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        *,
        groups: int = 1,
        act: str = "relu",
    ) -> str:
        """Add a convolution with BatchNorm whose output is ``ceil(size / stride)``, padded as TensorFlow's SAME does.

        An odd zero goes behind. Where before and after differ, a ``NAME_pad`` stands before it.
        """
        pads: List[int] = []
        for size in self.shapes[source][1:]:
            short = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [short // 2, short - short // 2]
        if len(set(pads)) == 1:
            return self.conv(name, source, channels, kernel, stride, padding=pads[0], groups=groups, act=act)
        padded = self.pad(name + "_pad", source, pads)
        return self.conv(name, padded, channels, kernel, stride, padding=0, groups=groups, act=act)

    def pad(self, name: str, source: str, pads: Sequence[int]) -> str:
        """Add a border of zeros: as many as told above, below, to the left and to the right."""
        (c, h, w), (top, bottom, left, right) = self.shapes[source], pads
        shape = (c, h + top + bottom, w + left + right)
        return self.add_node(Node(name, "pad", (source,), shape, c, pads=tuple(pads)))

    def normalise(self, name: str, source: str, scaling: Sequence[Tuple[float, float]]) -> str:
        """Add ``(x - mean) / deviation`` for each channel; a source of one channel is read by all of them.

        Raises:
            UnsupportedModel: the source has neither one channel nor as many as there are pairs.
        """
        c, h, w = self.shapes[source]
        if c not in (1, len(scaling)):
            raise UnsupportedModel(
                "model %r: inputs of %d channels, expected 1 or %d" % (self.name, c, len(scaling))
            )
        return self.add_node(
            Node(name, "normalise", (source,), (len(scaling), h, w), c, scaling=tuple(scaling))
        )

    def deconv(self, name: str, source: str, channels: int, kernel: int = 2) -> str:
        """Add a transposed convolution with bias whose stride is its kernel."""
        c, h, w = self.shapes[source]
        out = (channels, h * kernel, w * kernel)
        return self.add_node(Node(name, "deconv", (source,), out, c, kernel, kernel, bias=True))

    def linear(
        self,
        name: str,
        source: str,
        features: int,
        *,
        norm: bool = False,
        act: Optional[str] = None,
        head: bool = True,
    ) -> str:
        """Add a linear layer with bias: a classifier's head, or a hidden layer; ``act`` None: ReLU behind BatchNorm."""
        n_in = product(self.shapes[source])
        act = ("relu" if norm else "") if act is None else act
        return self.add_node(
            Node(name, "linear", (source,), (features,), n_in, bias=True, norm=norm, act=act, head=head)
        )

    def add(self, name: str, left: str, right: str, act: str = "") -> str:
        """Add the sum of two nodes of equal shape."""
        if self.shapes[left] != self.shapes[right]:
            raise ValueError("node %r: shapes %s and %s" % (name, self.shapes[left], self.shapes[right]))
        return self.add_node(Node(name, "add", (left, right), self.shapes[left], act=act))

    def concat(self, name: str, *sources: str) -> str:
        """Add the channels of the sources, one behind another."""
        shapes = [self.shapes[source] for source in sources]
        if len({shape[1:] for shape in shapes}) != 1:
            raise ValueError("node %r: shapes %s" % (name, shapes))
        out = (sum(shape[0] for shape in shapes),) + shapes[0][1:]
        return self.add_node(Node(name, "concat", sources, out))

    def slice(self, name: str, source: str, first: int, channels: int) -> str:
        """Add ``channels`` channels of the source, from number ``first`` on."""
        c, h, w = self.shapes[source]
        return self.add_node(Node(name, "slice", (source,), (channels, h, w), c, first=first))

    def shuffle(self, name: str, source: str, groups: int) -> str:
        """Add the channels in another order: the first of each of ``groups`` equal parts, then the second of each."""
        c, h, w = self.shapes[source]
        if c % groups:
            raise ValueError("node %r: %d channels in %d groups" % (name, c, groups))
        return self.add_node(Node(name, "shuffle", (source,), (c, h, w), c, groups=groups))

    def multiply(self, name: str, left: str, right: str) -> str:
        """Add the product of two nodes of equal shape, or of a map with one number for each of its channels."""
        if self.shapes[right] not in (self.shapes[left], self.shapes[left][:1]):
            raise ValueError("node %r: shapes %s and %s" % (name, self.shapes[left], self.shapes[right]))
        return self.add_node(Node(name, "multiply", (left, right), self.shapes[left]))

    def activate(self, name: str, source: str, act: str) -> str:
        """Add an activation that stands by itself, which none of :data:`BUILT_IN` does: they work in place."""
        if act in BUILT_IN or act not in ACTIVATIONS:
            raise ValueError("node %r: activation %r does not stand by itself" % (name, act))
        shape = self.shapes[source]
        return self.add_node(Node(name, "activate", (source,), shape, shape[0], act=act))

    def maxpool(
        self, name: str, source: str, kernel: int, stride: int, *, padding: int = 0, ceil: bool = False
    ) -> str:
        """Add a maximum over windows."""
        c, h, w = self.shapes[source]
        up = stride - 1 if ceil else 0
        out = (c,) + tuple((size + 2 * padding - kernel + up) // stride + 1 for size in (h, w))
        node = Node(
            name, "maxpool", (source,), out, c, kernel=kernel, stride=stride, padding=padding, ceil=ceil
        )
        return self.add_node(node)

    def avgpool(self, name: str, source: str) -> str:
        """Add the mean of each channel: (c, h, w) -> (c,)."""
        return self.add_node(Node(name, "avgpool", (source,), self.shapes[source][:1]))

    def end_block(self, name: str) -> str:
        """Say that a block of the network ends with a node; return its name."""
        self.nodes = [node._replace(block=True) if node.name == name else node for node in self.nodes]
        return name

    def upsample(self, name: str, source: str, factor: int = 2) -> str:
        """Add a larger copy of the source, in which every value is repeated."""
        c, h, w = self.shapes[source]
        return self.add_node(Node(name, "upsample", (source,), (c, h * factor, w * factor), c, stride=factor))

    def rearrange(self, name: str, sources: Tuple[str, ...], shape: Tuple[int, ...]) -> str:
        """Add a view of some nodes in another shape; it is for counting only."""
        return self.add_node(Node(name, "rearrange", sources, shape))
