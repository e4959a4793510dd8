"""What trains behind a network's frozen trunk, as the kernels see it: its last layer, its adapter, skip adapters.

A head that is a 1x1 convolution with the mean over its map behind it (SqueezeNet) is linear: the mean is taken before it,
which is the same map, needs one product an image and keeps one value a channel.
"""

from typing import NamedTuple, Tuple

from tunebench.workloads.engines.native.layout import LayerRow, Layout
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.skips import MAPPER, POOLED, PREFIX, SCORES
from tunebench.workloads.models.graph import Graph, Node, product
from tunebench.workloads.tasks.spec import SpecError


class Head(NamedTuple):
    """What is trained, and what the trunk gives it.

    Attributes:
        layout: of the kernels; layer 0 stands for the trunk.
        graph: the network that the trunk is taken from.
        given: nodes whose values are the kept planes, in order.
        layer: the last layer's name, whose weights the kernels hold; "" if the trunk gives its output.
        extractors: name of each adapter's start values and inputs of one output of it.
    """

    layout: Layout
    graph: Graph
    given: Tuple[str, ...]
    layer: str
    extractors: Tuple[Tuple[str, int], ...]


def head_of(plan: Plan) -> Head:
    """Return the head of a plan that leaves the trunk frozen.

    Raises:
        SpecError: the network does not end with a layer of classes that the kernels have.
    """
    return _skips(plan) if plan.graph.added else _last_layer(plan)


def _skips(plan: Plan) -> Head:
    graph = plan.graph
    by_name = {node.name: node for node in graph.nodes}
    pools, lows = by_name[POOLED].inputs, by_name[PREFIX + "low"].inputs
    (scores,) = (name for name in by_name[SCORES].inputs if name != MAPPER)
    widths = [product(by_name[name].shape) for name in pools] + [product(by_name[scores].shape)]
    count = len(pools)
    rows = [LayerRow(0, widths[0])] + [LayerRow(widths[at], widths[at + 1]) for at in range(count)]
    adapters = tuple((start, count) for start in range(1, count + 1))
    layout = Layout(tuple(rows), adapters, plan.rank, (False,) + (True,) * (count + 1), fed=True)
    extractors = tuple((name, by_name[name].fan_in) for name in lows)
    return Head(layout, graph, tuple(pools) + (scores,), "", extractors)


def _last_layer(plan: Plan) -> Head:
    graph = _mean_first(plan.graph)
    by_name = {node.name: node for node in graph.nodes}
    last = by_name[graph.outputs[0]]
    if len(graph.outputs) != 1 or last.op != "linear" or last.norm or last.act or not last.bias:
        raise SpecError(
            "workload.engine 'native' needs one linear layer with bias as a network's head, model %r ends with %s"
            % (graph.name, " and ".join(by_name[name].op for name in graph.outputs))
        )
    n_in = last.channels_in
    row = LayerRow(n_in, last.channels_out, False, last.name in plan.weights, last.name in plan.biases)
    ends = tuple((1, 1) for _ in plan.adapters)
    layout = Layout((LayerRow(0, n_in), row), ends, plan.rank, (False, True, False), fed=True)
    extractors = tuple((adapter.name, adapter.fan_in) for adapter in plan.adapters)
    return Head(layout, graph, last.inputs, last.name, extractors)


def _mean_first(graph: Graph) -> Graph:
    """Return the network with a head of a 1x1 convolution and a mean as a mean and a linear layer."""
    by_name = {node.name: node for node in graph.nodes}
    pool = by_name[graph.outputs[0]]
    conv = by_name.get(pool.inputs[0])
    if pool.op != "avgpool" or pool.kernel != 1 or conv is None or not _linear(conv):
        return graph
    mean = Node(conv.name + "_mean", "avgpool", conv.inputs, (conv.channels_in,))
    head = conv._replace(op="linear", inputs=(mean.name,), shape=(conv.channels_out,))
    nodes = [node for node in graph.nodes if node not in (pool, conv)] + [mean, head]
    return graph._replace(nodes=tuple(nodes), outputs=(head.name,))


def _linear(node: Node) -> bool:
    """Return whether a node is a 1x1 convolution and nothing else, so that it may change places with a mean."""
    plain = node.kernel == node.stride == node.groups == 1 and not node.padding
    return node.op == "conv" and node.head and plain and not node.norm and not node.act
