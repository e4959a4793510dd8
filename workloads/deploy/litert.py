"""LiteRT (once TensorFlow Lite) on the CPU: its interpreter with the delegate XNNPACK, which it takes by itself."""

import os
from typing import Any, List, Optional, Tuple

from tunebench.workloads.artefact import Artefact
from tunebench.workloads.deploy.model import Model, Share, shares_of_nodes

#: ops that only change a type
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
#: ops that move numbers and compute nothing
_MOVES = ("RESHAPE",)


def imported() -> Tuple[str, List[str]]:
    """Import it; return its version and the folders of what is installed."""
    import ai_edge_litert
    import numpy
    from ai_edge_litert import interpreter  # noqa: F401  the runtime itself, which the package alone does not load

    return str(ai_edge_litert.__version__), [
        os.path.dirname(ai_edge_litert.__file__),
        os.path.dirname(numpy.__file__),
    ]


class LitertModel(Model):
    """An interpreter with one input and one output."""

    def __init__(self, interpreter: Any) -> None:
        import numpy

        self._numpy, self._interpreter = numpy, interpreter
        interpreter.allocate_tensors()
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = interpreter.get_output_details()[0]["index"]

    def prepare(self, values: Any, shape: Any) -> Any:
        sample = self._numpy.array(values, self._numpy.float32).reshape(tuple(shape))
        if sample.ndim == 3:  # channels last
            sample = sample.transpose(1, 2, 0)
        return self._numpy.ascontiguousarray(sample[None])

    def call(self, sample: Any) -> List[float]:
        self._interpreter.set_tensor(self._input, sample)
        self._interpreter.invoke()
        scores: List[float] = self._interpreter.get_tensor(self._output)[0].tolist()
        return scores


def load(artefact: Artefact, which: str, threads: int) -> Optional[LitertModel]:
    """Return the network, or its float parent; None where the artefact has none."""
    if which not in artefact.tensors:
        return None
    from ai_edge_litert.interpreter import Interpreter

    return LitertModel(Interpreter(model_content=bytes(artefact.need(which).data), num_threads=threads))


def profiled(artefact: Artefact, threads: int, folder: str, samples: List[Any]) -> Optional[Share]:
    """Return in which types its nodes compute; it gives no times by node.

    A node computes in the type of its tensors: unlike ONNX Runtime it neither joins nor splits them. They are read
    without the delegate, which shows itself as one node.
    """
    import numpy
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=bytes(artefact.need("model").data), experimental_op_resolver_type=plain
    )
    interpreter.allocate_tensors()
    kinds = []
    for op in interpreter._get_ops_details():
        if op["op_name"] in _MOVES:
            continue
        read = [numpy.dtype(kind).name for kind in op["operand_types"]]
        kinds.append(
            "conversion" if op["op_name"] in _CONVERSIONS else "int8" if "int8" in read else "float32"
        )
    return shares_of_nodes(kinds)
