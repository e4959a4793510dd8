"""Write a graph as plain data and read it back: a network that no function builds, because a transform changed it."""

from typing import Any, Dict, List

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models.graph import Graph, Node

#: fields that are pairs of pairs
_NESTED = "scaling"


class GraphError(WorkloadError):
    """Plain data that are no graph."""


def to_json(graph: Graph) -> Dict[str, Any]:
    """Return a graph as what JSON holds; of a node only what is not the default."""
    defaults = Node("", "", (), ())._asdict()
    nodes: List[Dict[str, Any]] = []
    for node in graph.nodes:
        fields = node._asdict()
        nodes.append(
            {
                key: value
                for key, value in fields.items()
                if key in ("name", "op", "inputs", "shape") or value != defaults[key]
            }
        )
    return dict(graph._asdict(), nodes=nodes)


def from_json(value: Any) -> Graph:
    """Return the graph that :func:`to_json` has written.

    Raises:
        GraphError: it is none; nothing else is raised for what a file may hold.
    """
    try:
        nodes = tuple(
            Node(**{str(key): _tuples(item, key == _NESTED) for key, item in node.items()})
            for node in value["nodes"]
        )
        outputs = tuple(str(name) for name in value["outputs"])
        graph = Graph(str(value["name"]), str(value["task"]), tuple(value["shape"]), nodes, outputs)
    except (KeyError, TypeError, AttributeError) as error:
        raise GraphError("the network's description is damaged: %r" % (error,)) from None
    known = {"input"}
    for node in graph.nodes:
        if any(name not in known for name in node.inputs) or node.name in known:
            raise GraphError("the network's description is damaged: node %r" % node.name)
        known.add(node.name)
    if any(name not in known for name in graph.outputs):
        raise GraphError("the network's description is damaged: an output is no node")
    return graph


def _tuples(value: Any, nested: bool) -> Any:
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(tuple(item) for item in value) if nested else tuple(value)
