"""Write a network as ONNX: in float32, in float16, with fixed scales of int8 (QDQ), or with scales found at run time.

One input, one output, batch 1: what a repetition calls. A trunk has an output for each value that it gives. BatchNorm is
folded into its layer.

Fixed scales: weights int8 for each output channel, symmetric; activations uint8 for each tensor. Every value that a layer
reads is quantised once where it is made. A pooling, a slice and a flattening have their input's scale: else a runtime
would compute them in float32 between two conversions (measured: SqueezeNet 0.071 ms with it, 0.090 without).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tunebench.workloads.compress.forms.folding import folded
from tunebench.workloads.compress.forms.onnx_file import OnnxFile
from tunebench.workloads.compress.state import Array, State, TransformError
from tunebench.workloads.models.graph import INPUT, Graph, Node, shapes_of

OUTPUT = "logits"
#: ops whose output has its input's scale
SAME_SCALE = ("maxpool", "avgpool", "slice", "shuffle", "upsample", "pad")
_OPS = ("conv", "linear", "add", "multiply", "concat", "slice", "shuffle", "activate", "maxpool", "avgpool", "upsample",
        "normalise", "pad")  # fmt: skip
#: activation -> its op and attributes
_ACTS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hardswish": ("HardSwish", {}),
}


def check_writable(graph: Graph) -> None:
    """Refuse a network that this writer does not write.

    Raises:
        TransformError: names the node.
    """
    for node in graph.nodes:
        if node.op not in _OPS:
            raise TransformError(
                f"model {graph.name!r}: node {node.name!r} is a {node.op}, which is written for no runtime yet; "
                f"written are {', '.join(_OPS)}"
            )


def check_one_output(graph: Graph) -> None:
    """Refuse a network of several outputs.

    Raises:
        TransformError: says how many.
    """
    if len(graph.outputs) != 1:
        raise TransformError(
            f"model {graph.name!r} has {len(graph.outputs)} outputs; a runtime's rows have one"
        )


def onnx_bytes(state: State) -> bytes:
    """Return a network as the bytes of an ONNX file; equal states give equal bytes.

    Raises:
        TransformError: a node that cannot be written, or calibration has not seen it.
    """
    check_one_output(state.graph)
    check_writable(state.graph)
    return _Writer(state, [OUTPUT]).bytes()


def trunk_bytes(state: State) -> bytes:
    """Return a network's frozen part as the bytes of an ONNX file with an output for each of its graph's, in their order.

    Each is a float32 value that no node of the graph reads.

    Raises:
        TransformError: a node that cannot be written, or calibration has not seen it.
    """
    check_writable(state.graph)
    return _Writer(state, [f"{name}.out" for name in state.graph.outputs]).bytes()


class _Writer:
    def __init__(self, state: State, names: Sequence[str]) -> None:
        self.state, self.graph = state, state.graph
        self.file = OnnxFile(state.graph.name)
        self.shapes = shapes_of(state.graph)
        #: node whose value is an output -> the output's name
        self.outputs = dict(zip(state.graph.outputs, names, strict=True))
        self.kind = state.numbers.kind
        self.half = self.kind == "float16"
        self.fixed = self.kind == "int8-static"
        #: node -> name of its value as a later node reads it
        self.values: dict[str, str] = {}
        #: node -> (scale, zero point) of its value
        self.scales: dict[str, tuple[float, int]] = {}
        self._layers: Mapping[str, Callable[[Node, list[str], str], str]] = {
            "conv": self._conv, "linear": self._linear, "add": self._add, "multiply": self._multiply,
            "concat": self._concat, "slice": self._slice, "shuffle": self._shuffle, "activate": self._activate,
            "maxpool": self._maxpool, "avgpool": self._avgpool, "upsample": self._upsample,
            "normalise": self._normalise, "pad": self._pad,
        }  # fmt: skip

    def bytes(self) -> bytes:
        source = INPUT
        if self.half:
            source = self.file.node("Cast", [INPUT], "input16", to=10)
        self.values[INPUT] = self._quantised(INPUT, source) if self.fixed else source
        for node in self.graph.nodes:
            last = node.name in self.outputs
            name = self.outputs[node.name] if last and not self.half else node.name
            written = self._layers[node.op](node, [self.values[source] for source in node.inputs], name)
            self.values[node.name] = (
                written if last or not self.fixed else self._quantised(node.name, written)
            )
        for node_name, output in self.outputs.items():
            if self.half:
                self.file.node("Cast", [self.values[node_name]], output, to=1)
        wanted = [(output, (1, *self.shapes[node_name])) for node_name, output in self.outputs.items()]
        return self.file.encode((INPUT, (1, *self.graph.shape)), *wanted)

    def _constant(self, name: str, values: Array) -> str:
        return self.file.constant(name, values.astype(np.float16) if self.half else values)

    # --- layers with weights

    def _conv(self, node: Node, inputs: list[str], name: str) -> str:
        weight, bias = folded(self.state, node)
        x = inputs[0]
        attributes: dict[str, int | list[int]] = {
            "strides": [node.stride] * 2, "pads": [node.padding] * 4, "dilations": [node.dilation] * 2,
            "group": node.groups, "kernel_shape": [node.kernel] * 2,
        }  # fmt: skip
        if self._dynamic("conv"):
            y = self._integers(node, "ConvInteger", x, weight, (1, -1, 1, 1), **attributes)
            shaped = self.file.constant(f"{node.name}.bias", bias.reshape(1, -1, 1, 1))
            return self._act(node, self.file.node("Add", [y, shaped], self._before_act(node, name)), name)
        parameters = self._parameters(node, weight, bias)
        return self._act(
            node, self.file.node("Conv", [x, *parameters], self._before_act(node, name), **attributes), name
        )

    def _linear(self, node: Node, inputs: list[str], name: str) -> str:
        weight, bias = folded(self.state, node)
        x = inputs[0]
        if len(self.shapes[node.inputs[0]]) > 1:
            x = self._reshaped(x, (1, node.channels_in), f"{node.name}.flat")
            x = self._again(node.inputs[0], x)
        if self._dynamic("linear"):
            y = self._integers(node, "MatMulInteger", x, weight.T, (1, -1))
            shaped = self.file.constant(f"{node.name}.bias", bias.reshape(1, -1))
            return self._act(node, self.file.node("Add", [y, shaped], self._before_act(node, name)), name)
        parameters = self._parameters(node, weight, bias)
        return self._act(
            node, self.file.node("Gemm", [x, *parameters], self._before_act(node, name), transB=1), name
        )

    def _parameters(self, node: Node, weight: Array, bias: Array) -> list[str]:
        """Return the names of weight and bias as the layer reads them."""
        names = f"{node.name}.weight", f"{node.name}.bias"
        if not self.fixed or node.op not in self.state.numbers.ops:
            return [self._constant(names[0], weight), self._constant(names[1], bias)]
        scale, integers = int8_of(weight)
        x_scale = self.scales[node.inputs[0]][0]
        # 32 bits hold any bias but one of a channel whose weights are nearly zero.
        rounded = np.clip(np.round(bias / (x_scale * scale)), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        none = np.zeros(len(scale))
        both = (x_scale * scale).astype(np.float32)
        return [
            self._dequantised(names[0], integers, scale, none.astype(np.int8), axis=0),
            self._dequantised(names[1], rounded, both, none.astype(np.int32), axis=0),
        ]

    def _dequantised(self, name: str, values: Array, scale: Array, zero: Array, *, axis: int) -> str:
        inputs = [
            self.file.constant(f"{name}.q", values),
            self.file.constant(f"{name}.scale", scale),
            self.file.constant(f"{name}.zero", zero),
        ]
        return self.file.node("DequantizeLinear", inputs, name, axis=axis)

    def _dynamic(self, op: str) -> bool:
        return self.kind == "int8-dynamic" and op in self.state.numbers.ops

    def _integers(
        self,
        node: Node,
        op: str,
        x: str,
        weight: Array,
        shape: tuple[int, ...],
        **attributes: int | list[int],
    ) -> str:
        """Write a layer in whole numbers whose activations are quantised when they come."""
        per_channel = int8_of(weight if op == "ConvInteger" else weight.T)
        integers = per_channel[1] if op == "ConvInteger" else per_channel[1].T
        parts = [f"{node.name}.{part}" for part in ("xq", "xscale", "xzero")]
        self.file.nodes("DynamicQuantizeLinear", [x], parts)
        weights = self.file.constant(f"{node.name}.weight.q", integers)
        product = self.file.node(op, [parts[0], weights, parts[2]], None, **attributes)
        scale = self.file.constant(f"{node.name}.weight.scale", per_channel[0].reshape(shape))
        both = self.file.node("Mul", [parts[1], scale])
        return self.file.node("Mul", [self.file.node("Cast", [product], to=1), both])

    # --- the others

    def _add(self, node: Node, inputs: list[str], name: str) -> str:
        return self._act(node, self.file.node("Add", inputs, self._before_act(node, name)), name)

    def _multiply(self, node: Node, inputs: list[str], name: str) -> str:
        left, right = inputs
        factors = self.shapes[node.inputs[1]]
        if len(factors) < len(node.shape):
            right = self._reshaped(right, (1, *factors, 1, 1), f"{node.name}.factors")
            right = self._again(node.inputs[1], right)
        return self.file.node("Mul", [left, right], name)

    def _activate(self, node: Node, inputs: list[str], name: str) -> str:
        return self._act(node, inputs[0], name)

    def _concat(self, node: Node, inputs: list[str], name: str) -> str:
        return self.file.node("Concat", inputs, name, axis=1)

    def _slice(self, node: Node, inputs: list[str], name: str) -> str:
        edges = {"from": node.first, "to": node.first + node.channels_out, "axes": 1}
        bounds = [
            self.file.constant(f"{node.name}.{key}", np.array([at], np.int64)) for key, at in edges.items()
        ]
        return self.file.node("Slice", [*inputs, *bounds], name)

    def _shuffle(self, node: Node, inputs: list[str], name: str) -> str:
        source, (c, h, w) = node.inputs[0], node.shape
        parts = self._reshaped(inputs[0], (1, node.groups, c // node.groups, h, w), f"{node.name}.parts")
        turned = self.file.node("Transpose", [self._again(source, parts)], perm=[0, 2, 1, 3, 4])
        return self._reshaped(self._again(source, turned), (1, c, h, w), name)

    def _maxpool(self, node: Node, inputs: list[str], name: str) -> str:
        return self.file.node(
            "MaxPool", inputs, name, kernel_shape=[node.kernel] * 2, strides=[node.stride] * 2,
            pads=[node.padding] * 4, ceil_mode=int(node.ceil),
        )  # fmt: skip

    def _avgpool(self, node: Node, inputs: list[str], name: str) -> str:
        means = f"{node.name}.means"
        if node.kernel == 1:
            pooled = self.file.node("GlobalAveragePool", inputs, means)
        else:
            pooled = self.file.node("AveragePool", inputs, means, **self._windows(node))
        return self._reshaped(self._again(node.inputs[0], pooled), (1, node.channels_out), name)

    def _windows(self, node: Node) -> dict[str, list[int]]:
        """Return the windows of a pooling into a grid, as torch's adaptive pooling lays them.

        Raises:
            TransformError: they are not all of one size.
        """
        grid, sides = node.kernel, self.shapes[node.inputs[0]][1:]
        if grid > 2 and any(side % grid for side in sides):
            raise TransformError(
                f"node {node.name!r} pools a map of {list(sides)} into {grid} x {grid} unequal parts"
            )
        return {
            "kernel_shape": [-(-side // grid) for side in sides],
            "strides": [side // grid for side in sides],
        }

    def _upsample(self, node: Node, inputs: list[str], name: str) -> str:
        scales = self.file.constant(
            f"{node.name}.scales", np.array([1, 1, node.stride, node.stride], np.float32)
        )
        return self.file.node(
            "Resize", [inputs[0], "", scales], name, mode="nearest",
            nearest_mode="floor", coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def _normalise(self, node: Node, inputs: list[str], name: str) -> str:
        pairs = np.array(node.scaling, np.float32).reshape(-1, 2)
        # Not ".scale": that is the name of the scale of the node's value in 8 bits.
        slope = self._constant(f"{node.name}.slope", (1.0 / pairs[:, 1]).reshape(1, -1, 1, 1))
        shift = self._constant(f"{node.name}.shift", (-pairs[:, 0] / pairs[:, 1]).reshape(1, -1, 1, 1))
        return self.file.node("Add", [self.file.node("Mul", [inputs[0], slope]), shift], name)

    def _pad(self, node: Node, inputs: list[str], name: str) -> str:
        top, bottom, left, right = node.pads
        pads = self.file.constant(
            f"{node.name}.pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
        )
        return self.file.node("Pad", [*inputs, pads], name)

    def _reshaped(self, x: str, shape: tuple[int, ...], name: str) -> str:
        return self.file.node(
            "Reshape", [x, self.file.constant(f"{name}.shape", np.array(shape, np.int64))], name
        )

    def _before_act(self, node: Node, name: str) -> str:
        return f"{node.name}.plain" if node.act else name

    def _act(self, node: Node, x: str, name: str) -> str:
        if node.act == "":
            return x
        if node.act in _ACTS:
            op, attributes = _ACTS[node.act]
            return self.file.node(op, [x], name, **attributes)
        if node.act == "relu6":
            edges = [self._constant(f"relu6.{edge}", np.array(edge, np.float32)) for edge in (0, 6)]
            return self.file.node("Clip", [x, *edges], name)
        if node.act == "silu":
            return self.file.node("Mul", [x, self.file.node("Sigmoid", [x])], name)
        written = ", ".join([*_ACTS, "relu6", "silu"])
        raise TransformError(
            f"node {node.name!r}: activation {node.act!r} is not written as ONNX; written are {written}"
        )

    # --- scales of activations

    def _quantised(self, node_name: str, value: str) -> str:
        """Quantise a node's value and return the name by which later nodes read it."""
        node = {node.name: node for node in self.graph.nodes}.get(node_name)
        if node is not None and node.op in SAME_SCALE:
            scale = self.scales[node.inputs[0]]
        elif node_name in self.state.numbers.ranges:
            scale = uint8_of(*self.state.numbers.ranges[node_name])
        else:
            raise TransformError(f"quantize static: the calibration has not seen node {node_name!r}")
        self.scales[node_name] = scale
        return self._pair(value, scale)

    def _again(self, source: str, value: str) -> str:
        """Quantise a value that stands between two nodes by the scale of what it comes from."""
        return self._pair(value, self.scales[source]) if self.fixed else value

    def _pair(self, value: str, scale: tuple[float, int]) -> str:
        parameters = [
            self.file.constant(f"{value}.scale", np.array(scale[0], np.float32)),
            self.file.constant(f"{value}.zero", np.array(scale[1], np.uint8)),
        ]
        quantised = self.file.node("QuantizeLinear", [value, *parameters], f"{value}.q")
        return self.file.node("DequantizeLinear", [quantised, *parameters], f"{value}.dq")


def int8_of(weight: Array) -> tuple[Array, Array]:
    """Return the scale of each output channel, and the weights as whole numbers from -127 to 127."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(1)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    rounded = np.round(weight / scale.reshape(-1, *[1] * (weight.ndim - 1)))
    return scale, np.clip(rounded, -127, 127).astype(np.int8)


def uint8_of(low: float, high: float) -> tuple[float, int]:
    """Return scale and zero point of values from low to high; zero is exact.

    >>> uint8_of(-1.0, 1.55)
    (0.009999999776482582, 100)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255)) or 1.0
    return scale, int(np.clip(round(-low / scale), 0, 255))


__all__ = ["OUTPUT", "check_one_output", "check_writable", "int8_of", "onnx_bytes", "trunk_bytes", "uint8_of"]
