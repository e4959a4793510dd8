"""Predict the memory of a fine-tuning behind a frozen trunk in ONNX Runtime; needs neither the runtime nor numpy.

A lower bound: what the runtime keeps besides the weights (kernels, weights in another order), its allocator's slack, the
interpreter and the data are left out.
"""

from typing import Optional

from tunebench.workloads.engines import check_plan
from tunebench.workloads.engines.head import head_of
from tunebench.workloads.engines.onnxruntime_head import NAME
from tunebench.workloads.methods.memory import Memory, forward_b, optimizer_state_b
from tunebench.workloads.methods.plan import Plan, counts

_FLOAT_B = 4


def predict(plan: Plan, batch: int, n_train: Optional[int] = None, state_floats: int = 0) -> Memory:
    """Predict what a plan takes whose trunk is in float32.

    The trunk's weights are there twice, in the file as it was read and as the runtime has them; its maps are those of one
    image, whatever the batch.

    Args:
        plan: method and network.
        batch: samples of a step.
        n_train: samples of the fine-tuning set, for the size of a cache.
        state_floats: values that the optimizer keeps for each trained parameter: 0 plain SGD, 1 momentum, 2 AdamW.

    Raises:
        SpecError: the engine does not run the plan.
    """
    check_plan(NAME, "this method", plan)
    head, amount = head_of(plan, NAME), counts(plan)
    # BatchNorm is folded: a weight, and one value a channel.
    folded = sum(node.n_weights + node.channels_out for node in head.trunk.layers)
    own = head.classes * (head.widths[-1] + 1) if head.layer else 0
    adapters = sum(plan.rank * (head.widths[adapter.given] + head.classes) for adapter in head.adapters)
    low = plan.rank * len(head.adapters)
    saved_b = _FLOAT_B * batch * (head.floats + low + head.classes)
    # Behind them: the slope of the scores, that of the middle values, and the gradients.
    step_b = saved_b + _FLOAT_B * (batch * (low + 2 * head.classes) + amount.trainable)
    return Memory(
        weights_b=_FLOAT_B * (2 * folded + own + adapters),
        gradients_b=_FLOAT_B * amount.trainable,
        optimiser_b=optimizer_state_b(plan, state_floats),
        saved_b=saved_b,
        step_b=max(step_b, saved_b + forward_b(plan, 1)),
        cache_b=_FLOAT_B * head.floats * (n_train or 0) * plan.caches,
    )
