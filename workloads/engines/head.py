"""What trains behind a network's frozen trunk, whichever engine runs it: the last layer, its adapter, skip adapters.

A head that is a 1x1 convolution with the mean over its map behind it (SqueezeNet) is linear: the mean is taken before it,
which is the same map, needs one product an image and keeps one value a channel.
"""

from typing import List, NamedTuple, Tuple

from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.skips import MAPPER, POOLED, PREFIX, SCORES
from tunebench.workloads.models.graph import Graph, Node, nodes_for, product
from tunebench.workloads.tasks.spec import SpecError


class HeadAdapter(NamedTuple):
    """An adapter that ends at the scores.

    Attributes:
        name: of its start values.
        given: number of the trunk's node that it reads.
        fan_in: inputs of one output of its extractor.
    """

    name: str
    given: int
    fan_in: int


class Head(NamedTuple):
    """What trains, and what the trunk gives it.

    Attributes:
        graph: the network that the trunk is taken from.
        given: nodes whose values the trunk gives, in order; the last one is what the last layer reads, or the scores.
        widths: values of each.
        layer: the last layer's name; "" if the trunk gives its output.
        classes: scores of one sample.
        adapters: in order; all have the plan's rank, and their B are joined.
        trains: whether the last layer's weight trains, and its bias.
    """

    graph: Graph
    given: Tuple[str, ...]
    widths: Tuple[int, ...]
    layer: str
    classes: int
    adapters: Tuple[HeadAdapter, ...]
    trains: Tuple[bool, bool] = (False, False)

    @property
    def floats(self) -> int:
        """Return how many values the trunk gives of a sample: what a cache keeps."""
        return sum(self.widths)

    @property
    def trunk(self) -> Graph:
        """Return the network's part that computes what is given, which are its outputs."""
        nodes = nodes_for(self.graph, self.given)
        return self.graph._replace(nodes=tuple(nodes), outputs=self.given)


def head_of(plan: Plan, engine: str) -> Head:
    """Return the head of a plan that leaves the trunk frozen.

    Args:
        plan: method and network.
        engine: for the error's words.

    Raises:
        SpecError: the network does not end with one linear layer with bias.
    """
    return _skips(plan) if plan.graph.added else _last_layer(plan, engine)


def _skips(plan: Plan) -> Head:
    graph = plan.graph
    by_name = {node.name: node for node in graph.nodes}
    pools, lows = by_name[POOLED].inputs, by_name[PREFIX + "low"].inputs
    (scores,) = (name for name in by_name[SCORES].inputs if name != MAPPER)
    given = tuple(pools) + (scores,)
    widths = tuple(product(by_name[name].shape) for name in given)
    adapters = tuple(HeadAdapter(name, at, by_name[name].fan_in) for at, name in enumerate(lows))
    return Head(graph, given, widths, "", widths[-1], adapters)


def _last_layer(plan: Plan, engine: str) -> Head:
    graph = _mean_first(plan.graph)
    by_name = {node.name: node for node in graph.nodes}
    last = by_name[graph.outputs[0]]
    ends = [by_name[name].op for name in graph.outputs] + _further(plan, last)
    if len(ends) != 1 or last.op != "linear" or last.norm or last.act or not last.bias:
        raise SpecError(
            "workload.engine %r needs one linear layer with bias as a network's head, model %r ends with %s"
            % (engine, graph.name, " and ".join(ends))
        )
    adapters = tuple(HeadAdapter(adapter.name, 0, adapter.fan_in) for adapter in plan.adapters)
    trains = last.name in plan.weights, last.name in plan.biases
    return Head(graph, last.inputs, (last.channels_in,), last.name, last.channels_out, adapters, trains)


def _further(plan: Plan, last: Node) -> List[str]:
    """Return the operations of layers that train before the last one: a factorised head has two."""
    trained = set(plan.weights) | set(plan.biases) | set(plan.adapted)
    return [node.op for node in plan.graph.layers if node.name in trained and node.name != last.name]


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
