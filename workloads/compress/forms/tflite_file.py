"""Put a TFLite file together: tensors, operators, one subgraph with one input. Numbers are those of schema.fbs (3).

Nothing of it needs a package; tests hold its files against LiteRT itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tunebench.workloads.compress.forms.flatbuffer import (
    Numbers,
    Scalar,
    Table,
    Value,
    byte,
    encode,
    int32,
    int32s,
)
from tunebench.workloads.compress.state import Array

#: numpy's name -> TensorType
_TYPES = {"float32": 0, "int32": 2, "int64": 4, "int8": 9}
#: op -> (BuiltinOperator, BuiltinOptions)
_OPS = {
    "ADD": (0, 11), "CONCATENATION": (2, 10), "CONV_2D": (3, 1), "DEPTHWISE_CONV_2D": (4, 2), "DEQUANTIZE": (6, 0),
    "FULLY_CONNECTED": (9, 8), "LOGISTIC": (14, 0), "MAX_POOL_2D": (17, 5), "MUL": (18, 21), "RESHAPE": (22, 17),
    "PAD": (34, 0), "TRANSPOSE": (39, 0), "MEAN": (40, 27), "PADV2": (60, 0), "SLICE": (65, 0), "QUANTIZE": (114, 0),
    "HARD_SWISH": (117, 0),
}  # fmt: skip
#: bytes to which a tensor's data are aligned
_ALIGN = 16


@dataclass(frozen=True)
class Scales:
    """How whole numbers stand for real ones: one scale and zero point, or one of each channel.

    Attributes:
        scale, zero: as many of both.
        axis: the axis of channels.
    """

    scale: Array
    zero: Array
    axis: int = 0

    @property
    def table(self) -> Table:
        """Return it as ``QuantizationParameters``."""
        return Table(
            {
                2: Numbers(self.scale.astype("<f4")),
                3: Numbers(self.zero.astype("<i8")),
                6: int32(self.axis),
            }
        )


class TfliteFile:
    """A graph that is written op by op; tensors are known by their number."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._tensors: list[Table] = []
        # The first buffer is the empty one, which all tensors have that are computed.
        self._buffers: list[Table] = [Table({})]
        self._codes: dict[int, int] = {}
        self._ops: list[Table] = []
        self._constants: dict[str, int] = {}

    def tensor(self, name: str, shape: Sequence[int], kind: str, scales: Scales | None = None) -> int:
        """Add a tensor that is computed; return its number."""
        return self._tensor(name, shape, kind, 0, scales)

    def constant(self, name: str, values: Array, scales: Scales | None = None) -> int:
        """Add a tensor with its values; a second one of the same name is the first."""
        if name not in self._constants:
            raw = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self._buffers.append(Table({0: Numbers(raw, _ALIGN)}))
            self._constants[name] = self._tensor(
                name, values.shape, values.dtype.name, len(self._buffers) - 1, scales
            )
        return self._constants[name]

    def _tensor(self, name: str, shape: Sequence[int], kind: str, buffer: int, scales: Scales | None) -> int:
        fields: dict[int, Value] = {
            0: int32s(shape),
            1: byte(_TYPES[kind]),
            2: Scalar("I", buffer),
            3: name,
        }
        if scales is not None:
            fields[4] = scales.table
        self._tensors.append(Table(fields))
        return len(self._tensors) - 1

    def op(self, name: str, inputs: Sequence[int], output: int, options: Mapping[int, Value]) -> int:
        """Add an operator of one output; return that.

        Args:
            name: of the operator.
            inputs, output: tensors.
            options: number of a field of its options -> value.
        """
        code, kind = _OPS[name]
        place = self._codes.setdefault(code, len(self._codes))
        fields: dict[int, Value] = {0: Scalar("I", place), 1: int32s(inputs), 2: int32s([output])}
        if kind:
            fields.update({3: byte(kind), 4: Table(options)})
        self._ops.append(Table(fields))
        return output

    def encode(self, given: int, wanted: int) -> bytes:
        """Return the bytes of the file, with the tensors of its input and its output."""
        # Old readers have 8 bits for an operator, new ones take the larger of the two numbers.
        codes = [Table({0: byte(min(code, 127)), 2: int32(1), 3: int32(code)}) for code in self._codes]
        graph = Table({0: self._tensors, 1: int32s([given]), 2: int32s([wanted]), 3: self._ops, 4: self.name})
        model = Table({0: Scalar("I", 3), 1: codes, 2: [graph], 3: "tunebench", 4: self._buffers})
        return encode(model, b"TFL3")
