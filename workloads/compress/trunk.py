"""Write start weights whose frozen trunk is a runtime's own file, and what trains behind it tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tunebench.workloads import artefact
from tunebench.workloads.compress.chain import float_parent
from tunebench.workloads.compress.deployed import byte_tensor, weight_tensors
from tunebench.workloads.compress.forms.onnx_writer import trunk_bytes
from tunebench.workloads.compress.state import State
from tunebench.workloads.compress.steps import Step
from tunebench.workloads.engines.head import Head
from tunebench.workloads.models.graph_json import to_json


def trunk_artefact(state: State, head: Head, steps: Sequence[Step], meta: dict[str, Any]) -> bytes:
    """Return the artefact of start weights whose trunk is an ONNX file; equal networks give equal bytes.

    Args:
        state: the network at the end of its chain.
        head: what trains behind the trunk, and what it needs of it.
        steps: the chain; none of a network as it was trained.
        meta: further facts: data set, model, the SHA-256 of the weights that it began from.

    Raises:
        TransformError: a node of the trunk cannot be written.
    """
    trunk = replace(state, graph=head.trunk)
    tensors = {"trunk": byte_tensor(trunk_bytes(trunk))}
    parent = float_parent(trunk)
    if parent is not None:
        tensors["parent"] = byte_tensor(trunk_bytes(parent))
    if head.layer:
        every = weight_tensors(state)
        tensors.update({name: every[name] for name in (f"{head.layer}.weight", f"{head.layer}.bias")})
    facts = {
        "chain": [step.as_dict() for step in steps],
        "log": [dict(entry) for entry in state.log],
        "numbers": state.numbers.kind,
        "graph": to_json(state.graph),
        "given": list(head.given),
        **meta,
    }
    return artefact.encode(artefact.TRUNK, facts, tensors)
