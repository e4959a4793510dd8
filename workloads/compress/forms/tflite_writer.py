"""Write a network as TFLite: in float32, with fixed scales of int8, or with int8 weights and scales found at run time.

One input of shape (1, height, width, channels), one output, float32 both. BatchNorm is folded into its layer, ReLU and
ReLU6 into what they follow. Fixed scales are those of the ONNX files, moved from 0..255 to -128..127: both runtimes have
the same calibration.

A convolution that pads otherwise than TensorFlow does (more before than behind it) reads a PAD. Channels that are put one
behind another have one scale, as LiteRT wants it: a layer that only they read computes in it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tunebench.workloads.compress.forms.flatbuffer import Value, byte, flag, int32, int32s
from tunebench.workloads.compress.forms.folding import folded
from tunebench.workloads.compress.forms.onnx_writer import SAME_SCALE, check_one_output, int8_of, uint8_of
from tunebench.workloads.compress.forms.tflite_file import Scales, TfliteFile
from tunebench.workloads.compress.state import Array, State, TransformError
from tunebench.workloads.models.graph import INPUT, Node, shapes_of

#: ops that are written
OPS = ("conv", "linear", "add", "multiply", "concat", "slice", "shuffle", "activate", "maxpool", "avgpool", "normalise",
       "pad")  # fmt: skip
_SAME, _VALID = 0, 1
#: activation -> ActivationFunctionType of an op that has it built in
_FUSED = {"": 0, "relu": 1, "relu6": 3}
#: in fixed scales a LOGISTIC gives 256 steps of this, from 0 on: LiteRT takes no other
_LOGISTIC = (1 / 256, 0)


def tflite_bytes(state: State) -> bytes:
    """Return a network as the bytes of a TFLite file; equal states give equal bytes.

    Raises:
        TransformError: a node that cannot be written, or calibration has not seen it.
    """
    check_one_output(state.graph)
    return _Writer(state).bytes()


class _Writer:
    def __init__(self, state: State) -> None:
        self.state, self.graph = state, state.graph
        self.file = TfliteFile(state.graph.name)
        self.shapes = shapes_of(state.graph)
        self.fixed = state.numbers.kind == "int8-static"
        self.dynamic = state.numbers.kind == "int8-dynamic"
        self.type = "int8" if self.fixed else "float32"
        #: node -> its tensor as a later node reads it
        self.values: dict[str, int] = {}
        #: node -> (scale, zero point) of its value
        self.scales: dict[str, tuple[float, int]] = {}
        self._layers: Mapping[str, Callable[[Node, int, str], int]] = {
            "conv": self._conv, "linear": self._linear, "add": self._add, "multiply": self._multiply,
            "concat": self._concat, "slice": self._slice, "shuffle": self._shuffle, "activate": self._activate,
            "maxpool": self._maxpool, "avgpool": self._avgpool, "normalise": self._normalise, "pad": self._pad,
        }  # fmt: skip
        self._acts: Mapping[str, Callable[[Node, int, int], int]] = {
            "silu": self._silu, "sigmoid": self._sigmoid, "hardsigmoid": self._hardsigmoid,
            "hardswish": self._hardswish,
        }  # fmt: skip

    def bytes(self) -> bytes:
        given = self.file.tensor("input", _nhwc(self.graph.shape), "float32")
        self.values[INPUT] = given
        if self.fixed:
            self.scales[INPUT] = self._range(INPUT)
            self.values[INPUT] = self.file.op("QUANTIZE", [given], self._made(INPUT, self.graph.shape), {})
        for node in self.graph.nodes:
            if node.op not in OPS:
                raise TransformError(
                    f"model {self.graph.name!r}: node {node.name!r} is a {node.op}, which is not written as TFLite yet; "
                    f"written are {', '.join(OPS)}"
                )
            if self.fixed:
                self.scales[node.name] = self._scale_of(node)
            self.values[node.name] = self._layer(node)
        wanted = self.values[self.graph.outputs[0]]
        if self.fixed:
            wanted = self.file.op(
                "DEQUANTIZE",
                [wanted],
                self.file.tensor("logits", _nhwc(self.shapes[self.graph.outputs[0]]), "float32"),
                {},
            )
        return self.file.encode(given, wanted)

    def _layer(self, node: Node) -> int:
        """Write a node with its activation; return its tensor."""
        result = self._made(node.name, node.shape)
        if node.act in _FUSED or node.op == "activate":
            return self._layers[node.op](node, result, node.act)
        if self.fixed:
            raise TransformError(
                f"node {node.name!r}: activation {node.act!r} is not written with fixed scales of int8 where it is not "
                f"a node of its own, since what it reads has no range; written are {', '.join(filter(None, _FUSED))}"
            )
        plain = self.file.tensor(f"{node.name}.plain", _nhwc(node.shape), "float32")
        self._layers[node.op](node, plain, "")
        return self._act(node, plain, result)

    # --- layers with weights

    def _conv(self, node: Node, output: int, act: str) -> int:
        weight, bias = folded(self.state, node)
        return self._convolution(node, weight, bias, output, act)

    def _convolution(self, node: Node, weight: Array, bias: Array, output: int, act: str) -> int:
        """Write a convolution whose weight is as torch keeps it: (out, in of a group, kernel, kernel)."""
        padding, x = self._padding(node)
        options: dict[int, Value] = {
            0: byte(padding), 1: int32(node.stride), 2: int32(node.stride), 3: byte(_FUSED[act]),
            4: int32(node.dilation), 5: int32(node.dilation),
        }  # fmt: skip
        if node.groups == node.channels_in and node.groups > 1:
            inputs = [x, *self._parameters(node, weight, bias, (1, 2, 3, 0))]
            depth = {
                0: options[0], 1: options[1], 2: options[2], 3: int32(node.channels_out // node.channels_in),
                4: options[3], 5: options[4], 6: options[5],
            }  # fmt: skip
            return self.file.op("DEPTHWISE_CONV_2D", inputs, output, depth)
        return self.file.op(
            "CONV_2D", [x, *self._parameters(node, weight, bias, (0, 2, 3, 1))], output, options
        )

    def _linear(self, node: Node, output: int, act: str) -> int:
        weight, bias = folded(self.state, node)
        source, x = self.shapes[node.inputs[0]], self.values[node.inputs[0]]
        if len(source) == 3:
            # The values of an image stand in another order here: those of a place side by side.
            weight = weight.reshape(-1, *source).transpose(0, 2, 3, 1).reshape(len(weight), -1)
            flat = self.file.tensor(
                f"{node.name}.flat", (1, node.channels_in), self.type, self._scales(node.inputs[0])
            )
            x = self._reshaped(x, flat, (1, node.channels_in))
        inputs = [x, *self._parameters(node, weight, bias, (0, 1))]
        return self.file.op("FULLY_CONNECTED", inputs, output, {0: byte(_FUSED[act])})

    def _parameters(self, node: Node, weight: Array, bias: Array, order: tuple[int, ...]) -> list[int]:
        """Return the tensors of weight and bias as the op reads them; ``order`` of the weight's axes."""
        names = f"{node.name}.weight", f"{node.name}.bias"
        if self.type == "float32" and not (self.dynamic and node.op in self.state.numbers.ops):
            # A depthwise kernel has its one input channel as the last but none: (1, h, w, out).
            return [self.file.constant(names[0], weight.transpose(order)), self.file.constant(names[1], bias)]
        scale, integers = int8_of(weight)
        none = np.zeros(len(scale), np.int64)
        per_channel = Scales(scale, none, order.index(0))
        kernel = self.file.constant(names[0], integers.transpose(order), per_channel)
        if self.dynamic:
            return [kernel, self.file.constant(names[1], bias)]
        both = self.scales[node.inputs[0]][0] * scale
        integer = np.clip(np.round(bias / both), -(2**31) + 1, 2**31 - 1).astype(np.int32)
        return [kernel, self.file.constant(names[1], integer, Scales(both, none))]

    def _normalise(self, node: Node, output: int, act: str) -> int:
        """Write it as a convolution of one place: each channel reads its own, or all read the only one."""
        pairs = np.array(node.scaling, np.float32).reshape(-1, 2)
        weight = (1.0 / pairs[:, 1]).astype(np.float32).reshape(-1, 1, 1, 1)
        bias = (-pairs[:, 0] / pairs[:, 1]).astype(np.float32)
        pointwise = node._replace(groups=node.channels_in, kernel=1, stride=1, padding=0)
        return self._convolution(pointwise, weight, bias, output, act)

    # --- activations that no op has built in

    def _activate(self, node: Node, output: int, act: str) -> int:
        return self._act(node, self.values[node.inputs[0]], output)

    def _act(self, node: Node, x: int, output: int) -> int:
        if node.act not in self._acts:
            written = ", ".join([*filter(None, _FUSED), *self._acts])
            raise TransformError(
                f"node {node.name!r}: activation {node.act!r} is not written as TFLite; written are {written}"
            )
        return self._acts[node.act](node, x, output)

    def _silu(self, node: Node, x: int, output: int) -> int:
        gate = self._between(node, "gate", _LOGISTIC)
        return self.file.op("MUL", [x, self.file.op("LOGISTIC", [x], gate, {})], output, {})

    def _sigmoid(self, node: Node, x: int, output: int) -> int:
        return self.file.op("LOGISTIC", [x], output, {})

    def _hardsigmoid(self, node: Node, x: int, output: int) -> int:
        """Write it as ReLU6(x + 3) / 6: there is no op for it."""
        clipped = self._between(node, "clipped", (6 / 255, 0))
        self.file.op("ADD", [x, self._number("three", 3.0)], clipped, {0: byte(_FUSED["relu6"])})
        return self.file.op("MUL", [clipped, self._number("sixth", 1 / 6)], output, {})

    def _hardswish(self, node: Node, x: int, output: int) -> int:
        return self.file.op("HARD_SWISH", [x], output, {})

    def _between(self, node: Node, part: str, scale: tuple[float, int]) -> int:
        """Add the tensor of a value that an activation computes on its way."""
        scales = _scales_of(*scale) if self.fixed else None
        return self.file.tensor(f"{node.name}.{part}", _nhwc(node.shape), self.type, scales)

    def _number(self, name: str, value: float) -> int:
        """Add a constant."""
        if not self.fixed:
            return self.file.constant(name, np.array([value], np.float32))
        scales = Scales(np.array([value / 127], np.float32), np.zeros(1, np.int64))
        return self.file.constant(name, np.array([127], np.int8), scales)

    # --- layers without weights

    def _add(self, node: Node, output: int, act: str) -> int:
        return self.file.op(
            "ADD", [self.values[name] for name in node.inputs], output, {0: byte(_FUSED[act])}
        )

    def _multiply(self, node: Node, output: int, act: str) -> int:
        return self.file.op(
            "MUL", [self.values[name] for name in node.inputs], output, {0: byte(_FUSED[act])}
        )

    def _concat(self, node: Node, output: int, act: str) -> int:
        inputs = [self._in_scale(name, node) for name in node.inputs]
        return self.file.op("CONCATENATION", inputs, output, {0: int32(-1), 1: byte(_FUSED[act])})

    def _in_scale(self, name: str, reader: Node) -> int:
        """Return a node's value in the scale of the one that reads it."""
        if not self.fixed or self.scales[name] == self.scales[reader.name]:
            return self.values[name]
        again = self.file.tensor(
            f"{name}.for.{reader.name}", _nhwc(self.shapes[name]), "int8", self._scales(reader.name)
        )
        return self.file.op("QUANTIZE", [self.values[name]], again, {})

    def _slice(self, node: Node, output: int, act: str) -> int:
        begin = self.file.constant(f"{node.name}.begin", np.array([0, 0, 0, node.first], np.int32))
        size = self.file.constant(f"{node.name}.size", np.array(_nhwc(node.shape), np.int32))
        return self.file.op("SLICE", [self.values[node.inputs[0]], begin, size], output, {})

    def _shuffle(self, node: Node, output: int, act: str) -> int:
        source, (c, h, w) = node.inputs[0], node.shape
        steps = (
            ("parts", (1, h, w, node.groups, c // node.groups)),
            ("turned", (1, h, w, c // node.groups, node.groups)),
        )
        parts, turned = (
            self.file.tensor(f"{node.name}.{part}", shape, self.type, self._scales(source))
            for part, shape in steps
        )
        self._reshaped(self.values[source], parts, steps[0][1])
        order = self.file.constant("last two", np.array([0, 1, 2, 4, 3], np.int32))
        self.file.op("TRANSPOSE", [parts, order], turned, {})
        return self._reshaped(turned, output, _nhwc(node.shape))

    def _maxpool(self, node: Node, output: int, act: str) -> int:
        padding, x = self._padding(node, least=True)
        options: dict[int, Value] = {
            0: byte(padding), 1: int32(node.stride), 2: int32(node.stride), 3: int32(node.kernel),
            4: int32(node.kernel), 5: byte(0),
        }  # fmt: skip
        return self.file.op("MAX_POOL_2D", [x], output, options)

    def _avgpool(self, node: Node, output: int, act: str) -> int:
        if node.kernel != 1:
            raise TransformError(f"node {node.name!r} pools into a grid, which is written for no runtime yet")
        axes = self.file.constant("places", np.array([1, 2], np.int32))
        return self.file.op("MEAN", [self.values[node.inputs[0]], axes], output, {0: flag(False)})

    def _pad(self, node: Node, output: int, act: str) -> int:
        top, bottom, left, right = node.pads
        return self._padded(node, output, (top, bottom, left, right), least=False)

    def _reshaped(self, x: int, output: int, shape: tuple[int, ...]) -> int:
        sizes = self.file.constant(f"shape.{'x'.join(map(str, shape))}", np.array(shape, np.int32))
        return self.file.op("RESHAPE", [x, sizes], output, {0: int32s(shape)})

    def _padding(self, node: Node, *, least: bool = False) -> tuple[int, int]:
        """Return the padding of a window as TensorFlow has it, and what the window reads: a PAD where it has none.

        Args:
            node: a convolution or a pooling.
            least: beyond the edge stands the smallest value that there is, not zero.
        """
        x, sizes, outs = self.values[node.inputs[0]], self.shapes[node.inputs[0]][1:], node.shape[1:]
        reach = node.dilation * (node.kernel - 1) + 1
        behind = [
            (out - 1) * node.stride + reach - size - node.padding
            for size, out in zip(sizes, outs, strict=True)
        ]
        if node.padding == 0 and all(more <= 0 for more in behind):
            return _VALID, x
        as_same = all(
            out == -(-size // node.stride)
            and node.padding == max(0, (out - 1) * node.stride + reach - size) // 2
            for size, out in zip(sizes, outs, strict=True)
        )
        if as_same:
            return _SAME, x
        pads = (node.padding, max(0, behind[0]), node.padding, max(0, behind[1]))
        channels = self.shapes[node.inputs[0]][0]
        shape = (channels, sizes[0] + pads[0] + pads[1], sizes[1] + pads[2] + pads[3])
        scales = self._scales(node.inputs[0])
        made = self.file.tensor(f"{node.name}.padded", _nhwc(shape), self.type, scales)
        return _VALID, self._padded(node, made, pads, least=least)

    def _padded(self, node: Node, output: int, pads: tuple[int, int, int, int], *, least: bool) -> int:
        top, bottom, left, right = pads
        edges = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        inputs = [self.values[node.inputs[0]], self.file.constant(f"{node.name}.pads", edges)]
        if not least:
            return self.file.op("PAD", inputs, output, {})
        lowest = np.array([-128], np.int8) if self.fixed else np.array([np.finfo(np.float32).min], np.float32)
        value = self.file.constant(f"{node.name}.least", lowest, self._scales(node.inputs[0]))
        return self.file.op("PADV2", [*inputs, value], output, {})

    # --- scales

    def _made(self, name: str, shape: tuple[int, ...]) -> int:
        """Add the tensor of a node's value."""
        label = f"{name}.q" if name == INPUT else name
        return self.file.tensor(label, _nhwc(shape), self.type, self._scales(name))

    def _scales(self, name: str) -> Scales | None:
        return _scales_of(*self.scales[name]) if self.fixed else None

    def _scale_of(self, node: Node) -> tuple[float, int]:
        """Return the scale of a node's value: its input's, or that of channels that it stands among."""
        if node.op in SAME_SCALE:
            return self.scales[node.inputs[0]]
        if node.act == "sigmoid":
            return _LOGISTIC
        readers = [other for other in self.graph.nodes if node.name in other.inputs]
        if len(readers) == 1 and readers[0].op == "concat":
            return self._range(readers[0].name)
        return self._range(node.name)

    def _range(self, name: str) -> tuple[float, int]:
        if name not in self.state.numbers.ranges:
            raise TransformError(f"quantize static: the calibration has not seen node {name!r}")
        return uint8_of(*self.state.numbers.ranges[name])


def _scales_of(scale: float, zero: int) -> Scales:
    """Return how a tensor has a scale whose zero point counts from 0, not from -128."""
    return Scales(np.array([scale], np.float32), np.array([zero - 128], np.int64))


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one sample with its batch and its channels last."""
    return (1, *shape[1:], shape[0]) if len(shape) == 3 else (1, *shape)
