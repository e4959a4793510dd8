"""Train with a price on every weight's size, then set those under a threshold to zero.

Without the threshold there is no zero: a gradient step passes zero by. Measured: none of 200,000 weights was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tunebench.workloads.compress.context import Context
from tunebench.workloads.compress.keys import STEPS, Key
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.train import trained

KEYS = {"strength": Key(1e-4, 0, 1), "threshold": Key(None, 0, 10)}
#: its steps are its work: the chain trains nothing behind it
OWN_STEPS = True


def apply(state: State, keys: Mapping[str, Any], context: Context) -> State:
    """Train on the source domain with the price, and mask what is smaller than the threshold afterwards.

    Raises:
        TransformError: it has no steps.
    """
    if context.source is None or not keys[STEPS]:
        raise TransformError("sparsify l1 trains: give it 'steps'")
    state = trained(
        state, context.source, steps=keys[STEPS], batch=context.batch, rate=context.rate, seed=context.seed,
        price=keys["strength"],
    )  # fmt: skip
    tensors, masks = dict(state.tensors), dict(state.masks)
    for node in state.graph.layers:
        name = f"{node.name}.weight"
        masks[name] = (np.abs(tensors[name]) >= keys["threshold"]).astype(np.float32)
        tensors[name] = tensors[name] * masks[name]
    return replace(state, tensors=tensors, masks=masks)
