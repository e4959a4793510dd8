"""Write what a board runs: one artefact with the network in a runtime's own form, its float parent, and its origin."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tunebench.workloads import artefact
from tunebench.workloads.compress.chain import float_parent
from tunebench.workloads.compress.onnx_writer import onnx_bytes
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.steps import Step
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.graph_json import to_json

#: runtime -> form of the network that it reads
FORMS = {"onnxruntime": "onnx", "torch": "tensors"}


def encoded(
    state: State,
    base: State,
    runtime: str,
    steps: Sequence[Step],
    meta: dict[str, Any],
) -> bytes:
    """Return the artefact of a chain's end; equal chains give equal bytes.

    Args:
        state: the network at the end of the chain.
        base: as it was before all of it: what bytes are held against.
        runtime: which reads it.
        steps: the chain.
        meta: further facts: data set, model, the SHA-256 of the weights that it began from.

    Raises:
        TransformError: the runtime cannot run what this chain gives.
    """
    tensors: dict[str, artefact.Tensor] = {}
    parent = float_parent(state)
    if FORMS[runtime] == "onnx":
        model = onnx_bytes(state)
        dense_b = len(onnx_bytes(base))
        tensors["model"] = _bytes(model)
        if parent is not None:
            tensors["parent"] = _bytes(onnx_bytes(parent))
        packed = model
    else:
        if state.numbers.claimed is not None:
            raise TransformError(
                f"runtime {runtime!r} runs float32 only here, this chain ends in {state.numbers.kind}; "
                "runtimes for it: onnxruntime"
            )
        tensors.update(weight_tensors(state))
        packed = b"".join(bytes(tensor.data) for tensor in tensors.values())
        dense_b = sum(len(tensor.data) for tensor in weight_tensors(base).values())
    facts = {
        "runtime": runtime,
        "chain": [step.as_dict() for step in steps],
        "log": [dict(entry) for entry in state.log],
        "numbers": state.numbers.kind,
        "claimed": state.numbers.claimed,
        "params": state.n_params,
        "zeros": state.n_zeros,
        "madds": state.madds,
        "dense_params": base.n_params,
        "dense_madds": base.madds,
        "model_b": len(packed),
        "model_zlib_b": len(zlib.compress(packed, 9)),
        "dense_b": dense_b,
        "model_sha256": hashlib.sha256(packed).hexdigest(),
        "graph": to_json(state.graph),
        **meta,
    }
    return artefact.encode("deployed", facts, tensors)


def start_weights(state: State, steps: Sequence[Step], meta: dict[str, Any]) -> bytes:
    """Return the artefact of start weights that a chain has changed; its meta describes the network."""
    facts = {
        "chain": [step.as_dict() for step in steps],
        "log": [dict(entry) for entry in state.log],
        "graph": to_json(state.graph),
        **meta,
    }
    return artefact.encode("weights", facts, weight_tensors(state))


def weight_tensors(state: State) -> dict[str, artefact.Tensor]:
    """Return a network's tensors as an artefact holds them."""
    return {
        name: artefact.Tensor("float32", shape, np.ascontiguousarray(state.tensors[name], "<f4").tobytes())
        for name, shape in weight_shapes(state.graph)
    }


def _bytes(raw: bytes) -> artefact.Tensor:
    return artefact.Tensor("uint8", (len(raw),), raw)
