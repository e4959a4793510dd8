"""A method of the table applied to a network with branches: what trains, where adapters sit, what is cached.

The counterpart of :func:`tunebench.workloads.methods.chain_plan.plan` for
:class:`tunebench.workloads.models.graph.Graph`. A network's convolutions have no bias of their own where BatchNorm
follows: BatchNorm's shift is their bias, its scale belongs to their weight; its statistics are frozen in every
method. "Last" is the head: the layers the outputs come from.

An adapter on a convolution is an extractor of the convolution's kernel to ``rank`` channels and a 1x1 mapper:
``rank (c_in kh kw + c_out)`` parameters (Wang et al., LoRAE, Scientific Reports 15:33109, 2025). That is also LoRA
on the weight flattened to c_out x (c_in kh kw), so on one convolution the two are the same map.
"""

from typing import Dict, List, NamedTuple, Optional, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import table as methods_table
from tunebench.workloads.methods.chain_plan import Counts
from tunebench.workloads.methods.table import (
    ALL,
    CONVOLUTIONS,
    LAST,
    NONE,
    OWN_LAST,
    Method,
    UnsupportedMethod,
)
from tunebench.workloads.models.graph import INPUT, Graph, Node, madds, product, shapes_of, weight_shapes


class NetworkPlan(NamedTuple):
    """A method applied to a network.

    Attributes:
        graph: the network.
        weights: layers whose weight trains, with the scale of the BatchNorm behind it.
        biases: layers whose bias trains, which is BatchNorm's shift where there is one.
        adapters: layers that have an adapter, in the network's order.
        rank: of every adapter.
        skipped: layer -> why the method's rule gives it no adapter.
        cached: nodes whose output is kept from the first epoch on; what lies before is then not run again.
    """

    graph: Graph
    weights: Tuple[str, ...]
    biases: Tuple[str, ...]
    adapters: Tuple[str, ...]
    rank: int
    skipped: Dict[str, str]
    cached: Tuple[str, ...]

    @property
    def caches(self) -> bool:
        """Whether activations are kept from the first epoch on."""
        return bool(self.cached)


def plan(row: Method, graph: Graph, rank: int) -> NetworkPlan:
    """Apply a method to a network.

    Raises:
        UnsupportedMethod: the method's adapters have no meaning on a network with branches.
        WorkloadError: rank below 1.
        ValueError: a row that cannot be: it caches what its training changes.
    """
    if not row.networks:
        raise UnsupportedMethod(
            "method %r does not apply to model %r; for it use one of: %s"
            % (row.name, graph.name, ", ".join(names()))
        )
    if row.adapters != NONE and rank < 1:
        raise WorkloadError("workload.rank is %d: adapters need a rank of at least 1" % rank)
    trainable = [node for node in graph.layers if not node.fixed]
    weights = tuple(node.name for node in trainable if _chosen(row.weights, node))
    biases = tuple(node.name for node in trainable if _chosen(row.biases, node) and (node.bias or node.norm))
    skipped: Dict[str, str] = {}
    adapted: List[str] = []
    for node in graph.layers:
        reason = _why_not(row.adapters, node)
        if reason is None:
            adapted.append(node.name)
        elif reason:
            skipped[node.name] = reason
    cached: Tuple[str, ...] = ()
    if row.cache:
        cached = _cacheable(row, graph, set(weights) | set(biases) | set(adapted))
    return NetworkPlan(graph, weights, biases, tuple(adapted), rank, skipped, cached)


def names(table: Tuple[Method, ...] = methods_table.METHODS) -> List[str]:
    """Methods that apply to networks with branches."""
    return [row.name for row in table if row.networks]


def _chosen(which: str, node: Node) -> bool:
    return which == ALL or (which == LAST and node.head)


def _why_not(where: str, node: Node) -> Optional[str]:
    """None: the layer gets an adapter; a reason: the rule passes it over; "": the rule does not mean it."""
    if where == NONE or (where == OWN_LAST and not node.head):
        return ""
    if node.fixed:
        return "its weights are constants"
    if node.op == "deconv":
        return "a transposed convolution"
    if node.op == "linear" and where == CONVOLUTIONS:
        return "a Linear layer: this method adapts convolutions"
    if node.depthwise:
        return "a depthwise convolution: an adapter is larger than its weight"
    return None


def _cacheable(row: Method, graph: Graph, trained: "set[str]") -> Tuple[str, ...]:
    """The nodes that the head reads: frozen, so their values are those of the first epoch."""
    heads = [node for node in graph.nodes if node.head]
    if not trained <= {node.name for node in heads}:
        raise ValueError("method %r cannot cache: what it trains changes the activations" % row.name)
    found: List[str] = []
    for node in heads:
        found += [name for name in node.inputs if name not in found and name != INPUT]
    return tuple(found)


def adapter_params(node: Node, rank: int) -> int:
    """Parameters of an adapter: extractor and mapper; ``rank`` counts channels of each group."""
    return rank * (node.channels_in * node.kernel * node.kernel + node.channels_out)


def counts(made: NetworkPlan) -> Counts:
    """Parameters, bytes of the update and cached floats of a plan; ``total`` counts the adapters too."""
    trainable = 0
    for node in made.graph.layers:
        if node.name in made.weights:
            trainable += node.n_weights + node.channels_out * node.norm
        if node.name in made.biases:
            trainable += node.channels_out * (node.bias + node.norm)
    adapters = sum(adapter_params(node, made.rank) for node in _adapted(made))
    shapes = shapes_of(made.graph)
    cached = sum(product(shapes[name]) for name in made.cached)
    trainable += adapters
    return Counts(made.graph.n_params + adapters, trainable, 4 * trainable, cached)


class ForwardMadds(NamedTuple):
    """Multiply-adds of one sample's forward pass; BatchNorm and activations are left out.

    Attributes:
        base: of the network's own weights; also of a network whose adapters are merged.
        adapters: of the adapters as branches beside them.
    """

    base: int
    adapters: int


def forward_madds(made: NetworkPlan) -> ForwardMadds:
    """Count a plan's multiply-adds for one sample."""
    shapes = shapes_of(made.graph)
    base = sum(madds(node, shapes) for node in made.graph.layers)
    beside = 0
    for node in _adapted(made):
        places = product(node.shape[1:])
        beside += places * made.rank * (node.groups * node.fan_in + node.channels_out)
    return ForwardMadds(base, beside)


def _adapted(made: NetworkPlan) -> List[Node]:
    chosen = set(made.adapters)
    return [node for node in made.graph.layers if node.name in chosen]


def changed_names(made: NetworkPlan) -> Tuple[str, ...]:
    """Tensors of the weights artefact that a plan can change; an adapter changes its layer's weight."""
    found: List[str] = []
    for node in made.graph.layers:
        if node.name in made.weights or node.name in made.adapters:
            found.append(node.name + ".weight")
        if node.name in made.weights and node.norm:
            found.append(node.name + ".gamma")
        if node.name in made.biases:
            found += [node.name + ".bias"] * node.bias + [node.name + ".beta"] * node.norm
    return tuple(found)


def adapter_shapes(made: NetworkPlan) -> Dict[str, Tuple[int, ...]]:
    """``NAME.extractor`` and ``NAME.mapper`` -> shape, as the engine keeps them."""
    found: Dict[str, Tuple[int, ...]] = {}
    for node in _adapted(made):
        tail = node.weight_shape[2:]
        found[node.name + ".extractor"] = (node.groups * made.rank, node.weight_shape[1]) + tail
        found[node.name + ".mapper"] = (node.channels_out, made.rank) + (1,) * len(tail)
    return found


def update_shapes(made: NetworkPlan, what: str) -> Dict[str, Tuple[int, ...]]:
    """Tensors of an update's form -> shape; an adapter's are empty without adapters.

    Args:
        made: the plan of a network.
        what: one of :data:`tunebench.workloads.updates.FORMS`.
    """
    if what == "adapter":
        return adapter_shapes(made)
    every = dict(weight_shapes(made.graph))
    return every if what == "weights" else {name: every[name] for name in changed_names(made)}
