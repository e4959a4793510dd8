"""Put an ONNX file together: tensors, nodes, a graph with one input. Field numbers are those of onnx.proto (IR 8).

Nothing of it needs the package ``onnx``; tests hold its files against ``onnx.checker``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunebench.workloads.compress.forms.protobuf import blob, integer, real, varint
from tunebench.workloads.compress.state import Array

OPSET = 17
_IR = 8
#: numpy's name -> TensorProto.DataType
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}
#: AttributeProto.AttributeType
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7

Value = int | float | str | Sequence[int]


class OnnxFile:
    """An ONNX graph that is written node by node; each method returns the name of the value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}
        self._taken = 0

    def constant(self, name: str, values: Array) -> str:
        """Add a tensor; a second one of the same name is the first."""
        if name not in self._constants:
            raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
            self._constants[name] = (
                b"".join(integer(1, size) for size in values.shape)
                + integer(2, _TYPES[values.dtype.name])
                + blob(8, name)
                + blob(9, raw)
            )
        return name

    def node(self, op: str, inputs: Sequence[str], output: str | None = None, **attributes: Value) -> str:
        """Add a node of one output; its name is told or made."""
        return self.nodes(op, inputs, [output or self._fresh(op)], **attributes)[0]

    def nodes(
        self, op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Value
    ) -> Sequence[str]:
        """Add a node of several outputs."""
        self._nodes.append(
            b"".join(blob(1, name) for name in inputs)
            + b"".join(blob(2, name) for name in outputs)
            + blob(3, f"{op}_{outputs[0]}")
            + blob(4, op)
            + b"".join(blob(5, _attribute(key, value)) for key, value in sorted(attributes.items()))
        )
        return outputs

    def _fresh(self, op: str) -> str:
        self._taken += 1
        return f"{op.lower()}.{self._taken}"

    def encode(self, given: tuple[str, Sequence[int]], *wanted: tuple[str, Sequence[int]]) -> bytes:
        """Return the bytes of the file.

        Args:
            given, wanted: names and shapes of the input and of each output, all float32.
        """
        graph = (
            b"".join(blob(1, node) for node in self._nodes)
            + blob(2, self.name)
            + b"".join(blob(5, constant) for constant in self._constants.values())
            + blob(11, _value(*given))
            + b"".join(blob(12, _value(*output)) for output in wanted)
        )
        return (
            integer(1, _IR) + blob(2, "tunebench") + blob(7, graph) + blob(8, blob(1, "") + integer(2, OPSET))
        )


def _attribute(name: str, value: Value) -> bytes:
    if isinstance(value, str):
        return blob(1, name) + blob(4, value) + integer(20, _STRING)
    if isinstance(value, float):
        return blob(1, name) + real(2, value) + integer(20, _FLOAT)
    if isinstance(value, int):
        return blob(1, name) + integer(3, value) + integer(20, _INT)
    return blob(1, name) + b"".join(varint(8 << 3) + varint(item) for item in value) + integer(20, _INTS)


def _value(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(blob(1, integer(1, size)) for size in shape)
    return blob(1, name) + blob(2, blob(1, integer(1, _TYPES["float32"]) + blob(2, dims)))
