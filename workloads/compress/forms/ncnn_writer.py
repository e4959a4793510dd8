"""Write a network for ncnn, in float32 or with fixed scales of int8: a text that names its layers, and their weights.

Source: ncnn's wiki, "param and model file structure" and "operation param weight table". A value is read by one layer
only: where several read it, a Split stands between. BatchNorm is folded into its layer, ReLU and ReLU6 into convolutions
and inner products.

Fixed scales are ncnn's: symmetric from -127 to 127, weights for each output channel, activations for each tensor that a
convolution or inner product reads. Such a layer rounds what it reads and gives float32; all others stay in float32.

Neither pnnx nor ncnn2int8 is used: pnnx's wheel asks for torch, which on PyPI brings CUDA's libraries; ncnn2int8 is in no
wheel.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np

from tunebench.workloads.compress.forms.folding import folded
from tunebench.workloads.compress.forms.onnx_writer import check_one_output, int8_of
from tunebench.workloads.compress.state import Array, State, TransformError
from tunebench.workloads.models.graph import INPUT, Node, shapes_of

#: ops that are written
OPS = ("conv", "linear", "add", "multiply", "concat", "slice", "shuffle", "activate", "maxpool", "avgpool", "normalise",
       "pad")  # fmt: skip
OUTPUT = "logits"
_MAGIC = 7767517
#: before a weight in float32, before one in int8; none before a bias or scales
_FLOAT32, _INT8 = struct.pack("<I", 0), struct.pack("<I", 0x000D4B38)
#: key of a layer whose weights are in int8: scales stand behind its bias
_SCALED = "8=1"
#: activation -> (keys of a layer that has it built in)
_FUSED: Mapping[str, tuple[str, ...]] = {
    "": (),
    "relu": ("9=1",),
    "relu6": ("9=3", "-23310=2,0.000000e+00,6.000000e+00"),
}
#: activation -> (type of layer, its keys)
_ALONE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "relu": ("ReLU", ()),
    "relu6": ("Clip", ("0=0.000000e+00", "1=6.000000e+00")),
    "silu": ("Swish", ()),
    "sigmoid": ("Sigmoid", ()),
    "hardsigmoid": ("HardSigmoid", ("0=1.66666672e-01", "1=5.000000e-01")),
    "hardswish": ("HardSwish", ("0=1.66666672e-01", "1=5.000000e-01")),
}


def ncnn_files(state: State) -> tuple[bytes, bytes]:
    """Return a network as ncnn's two files, ``.param`` and ``.bin``; equal states give equal bytes.

    Raises:
        TransformError: a node that cannot be written, other numbers, or calibration has not seen what a layer reads.
    """
    check_one_output(state.graph)
    if state.numbers.kind not in ("float32", "int8-static"):
        raise TransformError(
            f"ncnn is written in float32 and int8-static here, this chain ends in {state.numbers.kind}"
        )
    return _Writer(state).files()


class _Writer:
    def __init__(self, state: State) -> None:
        self.state, self.graph = state, state.graph
        self.shapes = shapes_of(state.graph)
        self.fixed = state.numbers.kind == "int8-static"
        self._lines: list[str] = []
        self._weights = bytearray()
        self._blobs = 0
        #: node -> names of its value, one for each layer that is still to read it
        self._values: dict[str, list[str]] = {}
        self._layers: Mapping[str, Callable[[Node, list[str], str], None]] = {
            "conv": self._conv, "linear": self._linear, "add": self._add, "multiply": self._multiply,
            "concat": self._concat, "slice": self._slice, "shuffle": self._shuffle, "activate": self._activate,
            "maxpool": self._maxpool, "avgpool": self._avgpool, "normalise": self._normalise, "pad": self._pad,
        }  # fmt: skip

    def files(self) -> tuple[bytes, bytes]:
        sizes = self.graph.shape[::-1]
        self._line(
            "Input", INPUT, [], [INPUT], [f"{at}={size}" for at, size in zip((0, 1, 2), sizes, strict=False)]
        )
        self._share(INPUT, INPUT)
        for node in self.graph.nodes:
            if node.op not in OPS:
                raise TransformError(
                    f"model {self.graph.name!r}: node {node.name!r} is a {node.op}, which is not written for ncnn yet; "
                    f"written are {', '.join(OPS)}"
                )
            last = node.name == self.graph.outputs[0]
            name = OUTPUT if last else node.name
            self._layers[node.op](node, [self._values[source].pop(0) for source in node.inputs], name)
            if not last:
                self._share(node.name, name)
        head = f"{_MAGIC}\n{len(self._lines)} {self._blobs}\n"
        return (head + "\n".join(self._lines) + "\n").encode(), bytes(self._weights)

    def _line(self, kind: str, name: str, inputs: list[str], outputs: list[str], keys: list[str]) -> None:
        counts = f"{len(inputs)} {len(outputs)}"
        self._lines.append(" ".join([kind, name, counts, *inputs, *outputs, *keys]))
        self._blobs += len(outputs)

    def _share(self, node: str, value: str) -> None:
        """Give each reader of a node a value of its own."""
        readers = sum(other.inputs.count(node) for other in self.graph.nodes)
        self._values[node] = [value]
        if readers > 1:
            self._values[node] = [f"{value}_{at}" for at in range(readers)]
            self._line("Split", f"{value}_split", [value], self._values[node], [])

    # --- layers with weights

    def _conv(self, node: Node, inputs: list[str], name: str) -> None:
        weight, bias = folded(self.state, node)
        self._convolution(node, weight, bias, inputs, name, scaled=self._scaled(node))

    def _convolution(
        self, node: Node, weight: Array, bias: Array, inputs: list[str], name: str, *, scaled: bool = False
    ) -> None:
        keys = [
            f"0={node.channels_out}", f"1={node.kernel}", f"2={node.dilation}", f"3={node.stride}",
            f"4={node.padding}", "5=1", f"6={weight.size}", *[_SCALED] * scaled,
        ]  # fmt: skip
        kind = "Convolution"
        if node.groups > 1:
            kind, keys = "ConvolutionDepthWise", [*keys, f"7={node.groups}"]
        self._with_act(node, kind, inputs, name, keys)
        self._store(node, weight, bias, scaled=scaled)

    def _linear(self, node: Node, inputs: list[str], name: str) -> None:
        weight, bias = folded(self.state, node)
        if len(self.shapes[node.inputs[0]]) == 3:
            self._line("Flatten", f"{node.name}_flat", inputs, [f"{node.name}_flat"], [])
            inputs = [f"{node.name}_flat"]
        scaled = self._scaled(node)
        keys = [f"0={node.channels_out}", "1=1", f"2={weight.size}", *[_SCALED] * scaled]
        self._with_act(node, "InnerProduct", inputs, name, keys)
        self._store(node, weight, bias, scaled=scaled)

    def _scaled(self, node: Node) -> bool:
        """Tell whether a layer computes in int8."""
        return self.fixed and node.op in self.state.numbers.ops

    def _store(self, node: Node, weight: Array, bias: Array, *, scaled: bool) -> None:
        if not scaled:
            self._weights += _FLOAT32 + _float32(weight) + _float32(bias)
            return
        # A layer of groups has one scale a group.
        scale, integers = int8_of(weight.reshape(node.groups, -1) if node.groups > 1 else weight)
        raw = integers.tobytes()
        self._weights += _INT8 + raw + bytes(-len(raw) % 4) + _float32(bias)
        self._weights += _float32(1 / scale) + _float32(np.array(127 / self._largest(node.inputs[0])))

    def _largest(self, source: str) -> float:
        """Return the largest magnitude that calibration has seen of a value."""
        if source not in self.state.numbers.ranges:
            raise TransformError(f"quantize static: the calibration has not seen node {source!r}")
        return max(abs(bound) for bound in self.state.numbers.ranges[source]) or 1.0

    def _with_act(self, node: Node, kind: str, inputs: list[str], name: str, keys: list[str]) -> None:
        """Write a layer that may have its activation built in."""
        if node.act in _FUSED:
            self._line(kind, name, inputs, [name], [*keys, *_FUSED[node.act]])
        else:
            self._then_act(node, kind, inputs, name, keys)

    def _then_act(self, node: Node, kind: str, inputs: list[str], name: str, keys: list[str]) -> None:
        """Write a layer, and its activation behind it."""
        if node.act == "":
            self._line(kind, name, inputs, [name], keys)
            return
        self._line(kind, f"{name}_plain", inputs, [f"{name}_plain"], keys)
        self._activate(node, [f"{name}_plain"], name)

    def _activate(self, node: Node, inputs: list[str], name: str) -> None:
        if node.act not in _ALONE:
            raise TransformError(
                f"node {node.name!r}: activation {node.act!r} is not written for ncnn; "
                f"written are {', '.join(_ALONE)}"
            )
        act, keys = _ALONE[node.act]
        self._line(act, name, inputs, [name], list(keys))

    def _normalise(self, node: Node, inputs: list[str], name: str) -> None:
        """Write it as a convolution of one place: each channel reads its own, or all read the only one."""
        pairs = np.array(node.scaling, np.float32).reshape(-1, 2)
        pointwise = node._replace(groups=node.channels_in, kernel=1, stride=1, padding=0)
        self._convolution(pointwise, 1.0 / pairs[:, 1:], -pairs[:, 0] / pairs[:, 1], inputs, name)

    # --- layers without

    def _add(self, node: Node, inputs: list[str], name: str) -> None:
        self._then_act(node, "BinaryOp", inputs, name, ["0=0"])

    def _multiply(self, node: Node, inputs: list[str], name: str) -> None:
        left, right = inputs
        factors = self.shapes[node.inputs[1]]
        if len(factors) < len(node.shape):  # else a row of numbers would be as well one for each column
            shaped = f"{node.name}_factors"
            self._line("Reshape", shaped, [right], [shaped], ["0=1", "1=1", f"2={factors[0]}"])
            right = shaped
        self._then_act(node, "BinaryOp", [left, right], name, ["0=2"])

    def _concat(self, node: Node, inputs: list[str], name: str) -> None:
        self._then_act(node, "Concat", inputs, name, ["0=0"])

    def _slice(self, node: Node, inputs: list[str], name: str) -> None:
        edges = [f"-23309=1,{node.first}", f"-23310=1,{node.first + node.channels_out}", "-23311=1,0"]
        self._then_act(node, "Crop", inputs, name, edges)

    def _shuffle(self, node: Node, inputs: list[str], name: str) -> None:
        self._then_act(node, "ShuffleChannel", inputs, name, [f"0={node.groups}"])

    def _maxpool(self, node: Node, inputs: list[str], name: str) -> None:
        # pad_mode: 0 rounds the output's size up, 1 down
        keys = ["0=0", f"1={node.kernel}", f"2={node.stride}", f"3={node.padding}", f"5={int(not node.ceil)}"]
        self._then_act(node, "Pooling", inputs, name, keys)

    def _avgpool(self, node: Node, inputs: list[str], name: str) -> None:
        if node.kernel != 1:
            raise TransformError(f"node {node.name!r} pools into a grid, which is written for no runtime yet")
        self._then_act(node, "Pooling", inputs, name, ["0=1", "4=1"])

    def _pad(self, node: Node, inputs: list[str], name: str) -> None:
        keys = [f"{at}={zeros}" for at, zeros in enumerate(node.pads)]
        self._then_act(node, "Padding", inputs, name, [*keys, "4=0", "5=0.000000e+00"])


def _float32(values: Array) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()
