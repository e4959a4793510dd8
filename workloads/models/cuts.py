"""Cut a network in two: where one tensor alone crosses, and the network on each side of such a cut."""

from typing import List, Tuple

from tunebench.workloads.models.graph import INPUT, Graph, UnsupportedModel, product

#: in the place of a layer: all cuts among which the best may be
AUTO = "auto"
#: before a cut's name: what an artefact calls the part on each side of it
DEVICE, REMOTE = "device:", "remote:"


def cut_points(graph: Graph) -> List[str]:
    """Return the nodes behind which one tensor alone crosses, in order of execution.

    The first is the input: all of the network lies behind it. The last is the output: nothing is left to compute.
    """
    if len(graph.outputs) != 1:
        return []
    last_use = {name: at for at, node in enumerate(graph.nodes) for name in node.inputs}
    last_use[graph.outputs[0]] = len(graph.nodes)
    points: List[str] = []
    open_names = {INPUT}
    for at, name in enumerate([INPUT] + [node.name for node in graph.nodes]):
        # What is still read behind this place; node number ``at - 1`` has just been computed.
        open_names = {other for other in open_names | {name} if last_use.get(other, -1) >= at}
        if open_names == {name}:
            points.append(name)
    return points


def candidates(graph: Graph) -> List[str]:
    """Return the cuts among which the best one is looked for: input, output, and those where less crosses than before.

    A later cut at which no less crosses costs the board more and the link as much; it could only win on a board that is
    faster than the host there, and then not to cut at all wins as well.
    """
    points = cut_points(graph)
    candidates = points[:1]
    smallest = 0
    for cut in points[1:-1]:
        size = product(shape_at(graph, cut))
        if not smallest or size < smallest:
            candidates.append(cut)
            smallest = size
    return candidates + points[1:][-1:]


def check_cut(graph: Graph, cut: str) -> str:
    """Return a cut that a network has.

    Raises:
        UnsupportedModel: it has none there; lists those that it has.
    """
    points = cut_points(graph)
    if cut not in points:
        raise UnsupportedModel(
            "model %r has no cut behind %r: one tensor alone must cross; cuts: %s"
            % (graph.name, cut, ", ".join(points) or "none")
        )
    return cut


def cuts_of(graph: Graph, wanted: str) -> List[str]:
    """Return the cuts that are measured, the output last: a layer stands beside no cut at all.

    Raises:
        UnsupportedModel: there is no such cut; lists those that there are.
    """
    if wanted == AUTO:
        return candidates(graph)
    return [name for name in (check_cut(graph, wanted),) if name != graph.outputs[0]] + [graph.outputs[0]]


def device_part(graph: Graph, cut: str) -> Graph:
    """Return the network up to a cut: what runs on the board.

    Raises:
        UnsupportedModel: there is no such cut, or nothing is before it.
    """
    count = _place(graph, cut)
    if not count:
        raise UnsupportedModel("model %r: nothing is computed before %r" % (graph.name, cut))
    return graph._replace(nodes=graph.nodes[:count], outputs=(cut,))


def remote_part(graph: Graph, cut: str) -> Graph:
    """Return the network behind a cut; its input is the tensor that crosses.

    Raises:
        UnsupportedModel: there is no such cut, or nothing is behind it.
    """
    count = _place(graph, cut)
    nodes = tuple(
        node._replace(inputs=tuple(INPUT if name == cut else name for name in node.inputs))
        for node in graph.nodes[count:]
    )
    if not nodes:
        raise UnsupportedModel("model %r: nothing is computed behind %r" % (graph.name, cut))
    return graph._replace(shape=shape_at(graph, cut), nodes=nodes)


def shape_at(graph: Graph, cut: str) -> Tuple[int, ...]:
    """Return the shape of what crosses at a cut, of one sample."""
    return graph.shape if cut == INPUT else next(node.shape for node in graph.nodes if node.name == cut)


def _place(graph: Graph, cut: str) -> int:
    """Return how many nodes lie before a cut."""
    check_cut(graph, cut)
    return 0 if cut == INPUT else 1 + [node.name for node in graph.nodes].index(cut)
