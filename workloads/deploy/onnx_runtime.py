"""ONNX Runtime on the CPU, one call at a time."""

import json
import os
from typing import Any, Dict, List, Optional, Tuple

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.deploy.model import Model, Share
from tunebench.workloads.engines.onnxruntime_head.opened import open_session

#: ops that compute in whole numbers whatever their inputs are called
_INT8 = ("QLinear", "QGemm", "QAttention", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul")
#: ops that only change a type
_CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
#: calls under its profiler, and how many of them are left out: the first ones prepare what later ones use
_PROFILED, _FIRST = 30, 5


def imported() -> Tuple[str, List[str]]:
    """Import it; return its version and the folders of what is installed."""
    import numpy
    import onnxruntime

    return str(onnxruntime.__version__), [
        os.path.dirname(onnxruntime.__file__),
        os.path.dirname(numpy.__file__),
    ]


class OnnxModel(Model):
    """A session with one input and one output."""

    def __init__(self, session: Any) -> None:
        import numpy

        self._numpy, self.session = numpy, session
        self._input, self._output = session.get_inputs()[0].name, [session.get_outputs()[0].name]

    def prepare(self, values: Any, shape: Any) -> Any:
        return {self._input: self._numpy.array(values, self._numpy.float32).reshape((1,) + tuple(shape))}

    def call(self, sample: Any) -> List[float]:
        scores: List[float] = self.session.run(self._output, sample)[0][0].tolist()
        return scores

    def tensor(self, sample: Any) -> bytes:
        values: bytes = self.session.run(self._output, sample)[0].astype("<f4", copy=False).tobytes()
        return values


def load(artefact: Artefact, which: str, threads: int) -> Optional[OnnxModel]:
    """Return the network, or its float parent; None where the artefact has none."""
    if which not in artefact.tensors:
        return None
    return OnnxModel(_session(artefact, which, threads, None))


def _session(artefact: Artefact, which: str, threads: int, profile: Optional[str]) -> Any:
    return open_session(bytes(artefact.need(which).data), threads, profile)


def profiled(artefact: Artefact, threads: int, folder: str, samples: List[Any]) -> Optional[Share]:
    """Run some calls under its profiler, in a session of their own, and sum up in which types kernels ran."""
    session = _session(artefact, "model", threads, os.path.join(folder, "profile"))
    model = OnnxModel(session)
    for at in range(_PROFILED):
        model.call(samples[at % len(samples)])
    path = session.end_profiling()
    try:
        with open(path) as file:
            events = json.load(file)
    except (OSError, ValueError):
        return None
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return share_of(events)


def share_of(events: Any) -> Optional[Share]:
    """Return the shares from the profiler's events; None where it names no kernel."""
    times: Dict[str, float] = {}
    nodes: Dict[str, str] = {}
    seen: Dict[str, int] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith("_kernel_time"):
            continue
        kind = _type_of(event.get("args") or {})
        seen[name] = seen.get(name, 0) + 1
        if seen[name] <= _FIRST:
            continue
        times[kind] = times.get(kind, 0.0) + float(event.get("dur", 0))
        nodes[name] = kind
    total = sum(times.values())
    if not nodes or not total:
        return None
    kinds = sorted(set(nodes.values()))
    counts = {kind: list(nodes.values()).count(kind) / len(nodes) for kind in kinds}
    return Share({kind: value / total for kind, value in times.items()}, counts, len(nodes))


def _type_of(args: Dict[str, Any]) -> str:
    """Return the type in which a kernel computed; conversions compute in none."""
    op = str(args.get("op_name", ""))
    if op in _CONVERSIONS:
        return "conversion"
    if op.startswith(_INT8):
        return "int8"
    shapes = args.get("input_type_shape") or []
    first = next(iter(shapes[0]), "") if shapes and isinstance(shapes[0], dict) else ""
    return {"uint8": "int8", "int8": "int8", "float16": "float16"}.get(first, "float32")
