"""Multiply-adds of a plan, computed from the table: what a step costs whatever runs it.

Counted are the products of matrices: base weights, adapters, their gradients and the update of what trains by
those gradients. BatchNorm, ReLU, softmax and biases are left out: they are of the order of a layer's outputs.
"""

from typing import Dict, NamedTuple

from tunebench.workloads.methods.chain_plan import Plan


class MultiplyAdds(NamedTuple):
    """Multiply-adds for one sample.

    Attributes:
        forward: of a step; of a cached step where the plan caches.
        backward: gradients of activations and of the adapters' middle values.
        update: gradients of what trains, each applied where it is made.
        fill: of the frozen part, once for each cached sample; 0 where nothing is cached.
    """

    forward: int
    backward: int
    update: int
    fill: int

    @property
    def step(self) -> int:
        """Of a step, its fill left out."""
        return self.forward + self.backward + self.update


def of_training(plan: Plan, samples: int, epochs: int) -> Dict[str, int]:
    """Multiply-adds of one fine-tuning whose cache, if any, holds every sample.

    Args:
        plan: the method applied to the model.
        samples: fine-tuning samples.
        epochs: passes over them.
    """
    one = multiply_adds(plan)
    seen = samples * epochs
    return {
        "forward": one.forward * seen,
        "backward": one.backward * seen,
        "update": one.update * seen,
        "cache_fill": one.fill * samples,
    }


def multiply_adds(plan: Plan) -> MultiplyAdds:
    """Count a plan of linear layers.

    Raises:
        ValueError: the plan has convolutions, whose products this does not count.
    """
    if any(layer.kind != "linear" for layer in plan.layers):
        raise ValueError("multiply-adds are counted for linear layers only")
    last = len(plan.layers) - 1
    base = [layer.size_in * layer.size_out for layer in plan.layers]
    low = [adapter.a_shape[0] * adapter.a_shape[1] for adapter in plan.adapters]
    high = [adapter.b_shape[0] * adapter.b_shape[1] for adapter in plan.adapters]
    fill = 0
    forward = sum(base) + sum(low) + sum(high)
    if plan.caches:
        fill = sum(base) if plan.cached_output else sum(base[:last])
        forward -= fill
    ends = [adapter.end for adapter in plan.adapters]
    trained = [i for i in range(last + 1) if plan.weights[i] or plan.biases[i]]
    lowest = min(trained + ends) if trained or ends else last + 1
    backward = sum(high) + sum(base[index] for index in range(lowest + 1, last + 1))
    backward += sum(size for adapter, size in zip(plan.adapters, low) if adapter.start > lowest)  # noqa: B905
    update = sum(base[index] for index in range(last + 1) if plan.weights[index]) + sum(low) + sum(high)
    return MultiplyAdds(forward, backward, update, fill)
