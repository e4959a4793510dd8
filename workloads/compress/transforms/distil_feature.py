"""Learn what a teacher's blocks give: the teacher is the chain's own network before its first transform.

Hints of Romero et al., FitNets, ICLR 2015, at every block. A block that has lost channels meets the teacher's through a
1x1 map, which trains with it and is thrown away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import STEPS, Key
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.train import Hints, trained
from tunebench.workloads.models.graph import Graph, Node

KEYS = {"weight": Key(1.0, 0, 1000)}
#: its steps are its work: the chain trains nothing behind it
OWN_STEPS = True


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Train on the source domain with the distance of the blocks' values in the loss.

    Raises:
        TransformError: it has no steps, or no block that both networks have.
    """
    if context.source is None or not keys[STEPS]:
        raise TransformError("distil feature trains: give it 'steps'")
    names = shared_blocks(state.graph, context.teacher.graph)
    if not names:
        raise TransformError("distil feature finds no block that network and teacher share; use distil soft")
    return trained(
        state,
        context.source,
        steps=keys[STEPS],
        batch=context.batch,
        rate=context.rate,
        seed=context.seed,
        hints=Hints(context.teacher, names, keys["weight"]),
    )


def shared_blocks(graph: Graph, teacher: Graph) -> tuple[str, ...]:
    """Return the blocks whose values lie at the same places in both networks; their channels may differ."""
    ours = {node.name: node for node in graph.nodes}
    return tuple(
        node.name
        for node in _blocks(teacher)
        if node.name in ours and ours[node.name].shape[1:] == node.shape[1:]
    )


def _blocks(graph: Graph) -> list[Node]:
    """Return the nodes that end a block; of a chain every layer but the last."""
    return list(graph.layers[:-1]) if graph.chain else [node for node in graph.nodes if node.block]
