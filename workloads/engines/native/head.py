"""What trains behind a network's frozen trunk, as the kernels see it: layers and adapters between planes of values."""

from typing import NamedTuple, Tuple

from tunebench.workloads.engines import head as heads
from tunebench.workloads.engines.native.layout import LayerRow, Layout
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.models.graph import Graph


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
    head = heads.head_of(plan, "native")
    layout = _last_layer(head, plan.rank) if head.layer else _skips(head, plan.rank)
    extractors = tuple((adapter.name, adapter.fan_in) for adapter in head.adapters)
    return Head(layout, head.graph, head.given, head.layer, extractors)


def _skips(head: heads.Head, rank: int) -> Layout:
    widths, count = head.widths, len(head.adapters)
    rows = [LayerRow(0, widths[0])] + [LayerRow(widths[at], widths[at + 1]) for at in range(count)]
    adapters = tuple((start, count) for start in range(1, count + 1))
    return Layout(tuple(rows), adapters, rank, (False,) + (True,) * (count + 1), fed=True)


def _last_layer(head: heads.Head, rank: int) -> Layout:
    (n_in,) = head.widths
    row = LayerRow(n_in, head.classes, False, *head.trains)
    ends = tuple((1, 1) for _ in head.adapters)
    return Layout((LayerRow(0, n_in), row), ends, rank, (False, True, False), fed=True)
