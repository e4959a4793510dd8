"""Count a plan's multiply-adds from its graph: what a fine-tuning costs, whatever runs it.

Counted are the products of convolutions, linear maps and adapters: forward, gradients of inputs and of the adapters'
middle values, gradients of what trains. BatchNorm, activations, biases and losses are left out: they are of the order
of a layer's outputs. An adapter on a convolution is composed: its weight is formed in every step, once for the whole
batch, and its gradient is as large as the weight's. Where the extractor is frozen it is a branch beside it, and the
weight is formed for the gradient of the layer's input.
"""

from typing import Dict, NamedTuple

from tunebench.workloads.methods.checkpointing import segments
from tunebench.workloads.methods.memory import needs_grad, run_nodes
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.table import FORWARD_ONLY
from tunebench.workloads.models.graph import madds, product, shapes_of


class MultiplyAdds(NamedTuple):
    """Multiply-adds for one sample.

    Attributes:
        forward: of a step; of a cached step where the plan caches.
        backward: gradients of activations and of the adapters' middle values.
        update: gradients of what trains, each applied where it is made.
        fill: of the frozen part, once for each cached sample; 0 where nothing is cached.
        reestimate: of the forward pass that re-estimates BatchNorm's statistics, once for each sample; mostly 0.
    """

    forward: int
    backward: int
    update: int
    fill: int
    reestimate: int = 0

    @property
    def step(self) -> int:
        """Return the multiply-adds of a step; filling the cache is left out."""
        return self.forward + self.backward + self.update


def of_training(plan: Plan, samples: int, epochs: int, batch: int) -> Dict[str, int]:
    """Count one fine-tuning whose cache, if any, holds every sample.

    Args:
        plan: the method applied to the network.
        samples: fine-tuning samples.
        epochs: passes over them.
        batch: of a step; an epoch's last one may be smaller.

    Raises:
        ValueError: a chain with convolutions.
    """
    sample, composed, still = of_sample(plan), _composed(plan), plan.frozen_extractors
    seen, steps = samples * epochs, -(-samples // batch) * epochs
    if not plan.trains:
        seen = steps = 0
    statistics = {"reestimate": sample.reestimate * samples} if plan.statistics else {}
    return {
        **statistics,
        "forward": sample.forward * seen + (not still) * composed * steps,
        "backward": sample.backward * seen + still * composed * steps,
        "update": sample.update * seen + (not still) * 2 * composed * steps,
        "cache_fill": sample.fill * samples,
    }


def of_sample(plan: Plan) -> MultiplyAdds:
    """Count what every sample of a step costs.

    Raises:
        ValueError: a chain with convolutions: its engine runs their adapters as branches, which this does not count.
    """
    layers = {node.name: node for node in plan.graph.layers + plan.graph.added}
    if plan.graph.chain and any(node.op != "linear" for node in layers.values()):
        raise ValueError("multiply-adds of a chain are counted for linear layers only")
    shapes, nodes = shapes_of(plan.graph), run_nodes(plan)
    graded, run = needs_grad(plan, nodes), {node.name for node in nodes}
    above = {name: any(before in graded for before in node.inputs) for name, node in layers.items()}
    forward = backward = update = fill = reestimate = 0
    for name, node in layers.items():
        own = madds(node, shapes)
        reestimate += own * bool(plan.statistics)
        if name not in run or (plan.cached_output and node.head):
            fill += own
        else:
            forward += own
        backward += own * above[name]
        update += own * (name in plan.weights)
    for adapter in plan.adapters:
        beside = layers[adapter.start].op == "linear" or plan.frozen_extractors
        if beside:
            places = product(shapes[adapter.end][1:])
            low, high = places * product(adapter.extractor), places * product(adapter.mapper)
            forward += low + high
            if plan.frozen_extractors:
                linear = layers[adapter.start].op == "linear"
                backward += (low + high) * (above[adapter.start] and linear)
                update += high
            else:
                backward += high + low * above[adapter.start]
                update += low + high
        else:
            update += madds(layers[adapter.end], shapes) * (adapter.end not in plan.weights)
    if (
        plan.gradient == FORWARD_ONLY
    ):  # two passes; moving the weights multiplies nothing that is counted here
        return MultiplyAdds(2 * forward, 0, 0, fill, reestimate)
    if plan.checkpoint:
        again = {node.name for part in segments(nodes, plan.graph.outputs) if part.again for node in part.nodes
                 if any(other.name in graded for other in part.nodes)}  # fmt: skip
        forward += sum(madds(layers[name], shapes) for name in again if name in layers)
    return MultiplyAdds(forward, backward, update, fill, reestimate)


def _composed(plan: Plan) -> int:
    """Return what composing the weights of adapted convolutions costs a step; their gradients cost twice that.

    With frozen extractors only a convolution whose input needs a gradient composes its weight.
    """
    adapted = set(plan.adapted)
    nodes = [node for node in plan.graph.layers if node.name in adapted and node.op != "linear"]
    if plan.frozen_extractors:
        graded = needs_grad(plan, run_nodes(plan))
        nodes = [node for node in nodes if graded & set(node.inputs)]
    return sum(plan.rank * node.n_weights for node in nodes)


class ForwardMadds(NamedTuple):
    """Multiply-adds of one sample's forward pass; BatchNorm and activations are left out.

    Attributes:
        base: of the network's own weights; also of a network whose adapters are merged.
        adapters: of the adapters as branches beside them.
    """

    base: int
    adapters: int


def forward_madds(plan: Plan) -> ForwardMadds:
    """Count a plan's forward pass for one sample."""
    shapes = shapes_of(plan.graph)
    base = sum(madds(node, shapes) for node in plan.graph.layers)
    beside = sum(product(shapes[adapter.end][1:]) * adapter.n_params for adapter in plan.adapters)
    beside += sum(madds(node, shapes) for node in plan.graph.added)
    return ForwardMadds(base, beside)
