"""Run a segment of a network so that its values are computed again in the backward pass."""

from typing import Any, Callable, Dict, Tuple

import torch
from torch.utils import checkpoint

from tunebench.workloads.methods.checkpointing import Segment
from tunebench.workloads.tasks.spec import SpecError


def check_torch() -> None:
    """Refuse a torch whose checkpoints give no gradients to who asks for them.

    Raises:
        SpecError: torch before 1.11.
    """
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if (major, minor) < (1, 11):
        raise SpecError(
            "workload.checkpoint is true: torch %s cannot do it, 1.11 or later can; leave the key out"
            % torch.__version__
        )


def run_again(
    segment: Segment, values: Dict[str, Any], run: Callable[[Dict[str, Any]], Tuple[Any, ...]]
) -> Tuple[Any, ...]:
    """Return a segment's outputs; autograd keeps only its inputs.

    Args:
        segment: what is run.
        values: node -> its value, the segment's inputs among them.
        run: computes the outputs from the inputs.
    """

    def again(*inputs: Any) -> Tuple[Any, ...]:
        return run(dict(zip(segment.inputs, inputs)))  # noqa: B905  Python 3.10

    # No step draws random numbers. The reentrant form gives no gradients to the caller of autograd.grad.
    outputs: Tuple[Any, ...] = checkpoint.checkpoint(
        again, *(values[name] for name in segment.inputs), use_reentrant=False, preserve_rng_state=False
    )
    return outputs
