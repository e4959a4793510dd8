"""Learn a teacher's softened classes: the teacher is the chain's own network before its first transform."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import STEPS, Key
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.train import Soft, logits_of, trained

KEYS = {"temperature": Key(4.0, 0, 100), "alpha": Key(0.7, 0, 1)}
#: its steps are its work: the chain trains nothing behind it
OWN_STEPS = True


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Train on the source domain with the teacher's part in the loss.

    Raises:
        TransformError: it has no steps.
    """
    if context.source is None or not keys[STEPS]:
        raise TransformError("distil soft trains: give it 'steps'")
    soft = Soft(logits_of(context.teacher, context.source.inputs), keys["temperature"], keys["alpha"])
    return trained(
        state,
        context.source,
        steps=keys[STEPS],
        batch=context.batch,
        rate=context.rate,
        seed=context.seed,
        soft=soft,
    )
