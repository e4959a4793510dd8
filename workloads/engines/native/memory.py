"""Predict the memory of a network's fine-tuning on the native engine; needs no library.

Exact up to the C library's rounding, since all of it is taken once, before the first step: nothing grows while training.
What the interpreter and the data take comes on top.
"""

from typing import Optional

from tunebench.workloads.engines import check_plan
from tunebench.workloads.engines.native.head import head_of
from tunebench.workloads.engines.native.net import compile_net
from tunebench.workloads.engines.native.trunk import compile_trunk
from tunebench.workloads.methods.memory import Memory, optimizer_state_b
from tunebench.workloads.methods.plan import Plan

#: of the boards' cores: channels are padded to vectors of so many floats
VECTOR_FLOATS = 4


def predict(
    plan: Plan, batch: int, n_train: Optional[int] = None, state_floats: int = 0, vector_floats: int = VECTOR_FLOATS
) -> Memory:  # fmt: skip
    """Predict what a plan of a network takes.

    The weights are there twice, as they were read and as the kernels have them; activations are those of a few images at
    a time, whatever the batch. With adapters in the trunk the kernels have them up to four times - frozen and composed,
    for the way forth and back - and keep the batch's values.

    Args:
        plan: method and network.
        batch: samples of a step.
        n_train: samples of the fine-tuning set, for the size of a cache.
        state_floats: values that the optimizer keeps for each trained parameter: 0 plain SGD, 1 momentum, 2 AdamW.
        vector_floats: of the build.

    Raises:
        SpecError: the engine does not run the plan.
    """
    check_plan("native", "this method", plan)
    if plan.trains_trunk:
        return _of_net(plan, batch, state_floats, vector_floats)
    head = head_of(plan)
    program = compile_trunk(head.graph, head.given, vector_floats)
    layers, last = head.layout.layers, head.layout.layers[-1]
    statistics = sum(2 * node.channels_out for node in plan.graph.layers if node.norm)
    read = plan.graph.n_params + statistics
    own = last.n_out * (last.n_in if head.layer else 0)
    ranks = head.layout.rank * len(head.layout.adapters)
    own += (
        head.layout.rank * sum(layers[start].n_in for start, _ in head.layout.adapters) + last.n_out * ranks
    )
    rows = sum(layer.n_out for layer in layers) + last.n_out + 2 * ranks
    return Memory(
        weights_b=4 * (read + own) + program.weight_b,
        gradients_b=0,  # applied as they are made
        optimiser_b=optimizer_state_b(plan, state_floats),
        saved_b=4 * batch * rows,
        step_b=4 * batch * rows + program.run_b,
        cache_b=4 * head.layout.cache_floats * (n_train or 0) * plan.caches,
    )


def _of_net(plan: Plan, batch: int, state_floats: int, vector_floats: int) -> Memory:
    """Predict what adapters beside a network's layers take."""
    program = compile_net(plan, vector_floats)
    statistics = sum(2 * node.channels_out for node in plan.graph.layers if node.norm)
    return Memory(
        weights_b=4 * (plan.graph.n_params + statistics) + program.weight_b,
        gradients_b=0,  # of the factors: among their weights
        optimiser_b=optimizer_state_b(plan, state_floats),
        saved_b=batch * program.values_b,
        step_b=batch * program.values_b + program.scratch_b,
        cache_b=0,
    )
