"""Multiply-adds of a fine-tuning of a network, computed from its graph: what the engine does, whatever runs it.

Counted are the products of convolutions, linear maps and adapters: forward, gradients of inputs, gradients of what
trains. BatchNorm, activations, biases and losses are left out. An adapter on a convolution is composed: its weight is
formed in every step, once for the whole batch, and its gradient is as large as the weight's.
"""

from typing import Dict, List, NamedTuple, Set

from tunebench.workloads.methods.network_memory import needs_grad, run_nodes
from tunebench.workloads.methods.network_plan import NetworkPlan
from tunebench.workloads.models.graph import Node, madds, shapes_of


class _Counts(NamedTuple):
    """Multiply-adds by phase."""

    forward: int
    backward: int
    update: int


def of_training(plan: NetworkPlan, samples: int, epochs: int, batch: int) -> Dict[str, int]:
    """Multiply-adds of one fine-tuning whose cache, if any, holds every sample.

    Args:
        plan: the method applied to the network.
        samples: fine-tuning samples.
        epochs: passes over them.
        batch: of a step; an epoch's last one may be smaller.
    """
    nodes = [node for node in run_nodes(plan) if node.op in ("conv", "deconv", "linear")]
    each, step = of_sample(plan, nodes), of_step(plan, nodes)
    seen, steps = samples * epochs, -(-samples // batch) * epochs
    return {
        "forward": each.forward * seen + step.forward * steps,
        "backward": each.backward * seen + step.backward * steps,
        "update": each.update * seen + step.update * steps,
        "cache_fill": _fill(plan) * samples,
    }


def of_sample(plan: NetworkPlan, nodes: List[Node]) -> _Counts:
    """What every sample of a step costs."""
    shapes = shapes_of(plan.graph)
    graded = needs_grad(plan, run_nodes(plan))
    forward = backward = update = 0
    for node in nodes:
        own = madds(node, shapes)
        forward += own
        above = any(name in graded for name in node.inputs)
        backward += own * above
        update += own * (node.name in plan.weights)
        if node.name in plan.adapters:
            if node.op == "linear":
                low, high = plan.rank * node.channels_in, plan.rank * node.channels_out
                forward += low + high
                backward += high + low * above
                update += low + high
            else:
                update += own
    return _Counts(forward, backward, update)


def of_step(plan: NetworkPlan, nodes: List[Node]) -> _Counts:
    """What a step costs beside its samples: weights of adapters composed, and their gradients taken apart."""
    composed = sum(
        plan.rank * node.n_weights for node in nodes if node.name in plan.adapters and node.op != "linear"
    )
    return _Counts(composed, 0, 2 * composed)


def _fill(plan: NetworkPlan) -> int:
    """The frozen part, once a sample."""
    if not plan.caches:
        return 0
    shapes = shapes_of(plan.graph)
    head: Set[str] = {node.name for node in run_nodes(plan)}
    return sum(madds(node, shapes) for node in plan.graph.layers if node.name not in head)
