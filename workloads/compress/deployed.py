"""Write what a board runs: one artefact with the network in a runtime's own form, its float parent, and its origin."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tunebench.workloads import artefact
from tunebench.workloads.compress.chain import float_parent
from tunebench.workloads.compress.forms.ncnn_writer import ncnn_files
from tunebench.workloads.compress.forms.onnx_writer import onnx_bytes
from tunebench.workloads.compress.forms.tflite_writer import tflite_bytes
from tunebench.workloads.compress.parts import Parts
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.compress.steps import Step
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.models.cuts import DEVICE, REMOTE
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.graph_json import to_json

#: tensors of a network in a runtime's own form; the first is named as it is asked for: ``model`` or ``parent``
Form = Callable[[State, str], Mapping[str, artefact.Tensor]]

#: what the host runs its part of a cut network in
HOST_RUNTIME = "onnxruntime"


def _onnx(state: State, name: str) -> Mapping[str, artefact.Tensor]:
    return {name: byte_tensor(onnx_bytes(state))}


def _tflite(state: State, name: str) -> Mapping[str, artefact.Tensor]:
    return {name: byte_tensor(tflite_bytes(state))}


def _ncnn(state: State, name: str) -> Mapping[str, artefact.Tensor]:
    param, weights = ncnn_files(state)
    return {name: byte_tensor(weights), f"{name}.param": byte_tensor(param)}


def _tensors(state: State, name: str) -> Mapping[str, artefact.Tensor]:
    return weight_tensors(state)


#: runtime -> how it has a network written; what stands in no file of its own (torch) has no float parent either
FORMS: Mapping[str, Form] = {"onnxruntime": _onnx, "torch": _tensors, "ncnn": _ncnn, "litert": _tflite}


def encoded(
    state: State,
    base: State,
    runtime: str,
    steps: Sequence[Step],
    meta: dict[str, Any],
    *,
    parts: Parts | None = None,
) -> bytes:
    """Return the artefact of a chain's end; equal chains give equal bytes.

    Args:
        state: the network at the end of the chain.
        base: as it was before all of it: what bytes are held against.
        runtime: which reads it.
        steps: the chain.
        meta: further facts: data set, model, the SHA-256 of the weights that it began from.
        parts: of a network that is cut: the board gets what lies before each cut, too.

    Raises:
        TransformError: the runtime cannot run what this chain gives.
    """
    about = RUNTIMES[runtime]
    if about.nowhere:
        raise TransformError(about.nowhere)
    if state.numbers.kind not in about.numbers:
        raise TransformError(
            f"runtime {runtime!r} runs {', '.join(about.numbers)} here, this chain ends in {state.numbers.kind}"
        )
    form, parent = FORMS[runtime], float_parent(state)
    tensors = dict(form(state, "model"))
    packed = b"".join(bytes(tensor.data) for tensor in tensors.values())
    dense_b = sum(len(tensor.data) for tensor in form(base, "model").values())
    if parent is not None:
        tensors.update(form(parent, "parent"))
    for cut, part in parts.before.items() if parts is not None else ():
        tensors.update(form(part, DEVICE + cut))
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
        # Only where it is cut: artefacts of the others keep their bytes.
        **({"partition": parts.meta} if parts is not None else {}),
        **meta,
    }
    return artefact.encode("deployed", facts, tensors)


def remote_parts(parts: Parts, meta: dict[str, Any]) -> bytes:
    """Return the artefact of what the host runs: the network behind each cut, as ONNX.

    Raises:
        TransformError: a node that cannot be written.
    """
    tensors = {REMOTE + cut: byte_tensor(onnx_bytes(part)) for cut, part in parts.behind.items()}
    return artefact.encode("deployed", {"runtime": HOST_RUNTIME, "partition": parts.meta, **meta}, tensors)


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


def byte_tensor(raw: bytes) -> artefact.Tensor:
    """Return a file as an artefact holds it."""
    return artefact.Tensor("uint8", (len(raw),), raw)
