"""Blocks that several families of classifiers are made of: inverted residuals, squeeze-and-excitation.

Sources: Sandler et al., MobileNetV2, CVPR 2018; Hu et al., Squeeze-and-Excitation Networks, CVPR 2018.
"""

from typing import NamedTuple, Optional

from tunebench.workloads.models.graph import BUILT_IN, Builder


class Squeeze(NamedTuple):
    """A factor for each channel, told by the means of all channels: squeeze-and-excitation.

    Attributes:
        hidden: features of its hidden layer.
        act: behind that.
        gate: makes the factors of what the second layer gives.
    """

    hidden: int
    act: str
    gate: str


class Size(NamedTuple):
    """How large a network of a family is: the published one, or a small one for inputs of few pixels.

    Attributes:
        width: factor of all channels but the last.
        last: channels before the head.
        stem_stride: 1 for inputs of few pixels.
    """

    width: float
    last: int
    stem_stride: int


def of_eight(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8 and not more than a tenth below ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def conv(
    b: Builder,
    name: str,
    source: str,
    channels: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: str,
    same: bool = False,
) -> str:
    """Add a convolution with BatchNorm and its activation, which is the node ``NAME_act`` where none has it built in.

    Args:
        b: writes the graph.
        name, source, channels, kernel, stride, groups: of the convolution.
        act: the activation.
        same: padding is TensorFlow's SAME, else half the kernel on each side.
    """
    add, within = b.conv_same if same else b.conv, act in BUILT_IN
    y = add(name, source, channels, kernel, stride, groups=groups, act=act if within else "")
    return y if within else b.activate(name + "_act", y, act)


def inverted(
    b: Builder,
    part: str,
    source: str,
    channels: int,
    *,
    hidden: int,
    kernel: int = 3,
    stride: int = 1,
    act: str = "relu6",
    squeeze: Optional[Squeeze] = None,
    same: bool = False,
) -> str:
    """Add an inverted residual: expand 1x1, depthwise, project 1x1 without activation, beside the identity where it fits.

    Args:
        b: writes the graph.
        part: begins the names of its nodes.
        source: what it reads.
        channels: that it gives.
        hidden: channels between; where the source has as many, nothing is expanded.
        kernel, stride: of the depthwise convolution.
        act: behind the first two convolutions.
        squeeze: squeeze-and-excitation behind the depthwise convolution.
        same: see :func:`conv`.
    """
    c_in = b.shapes[source][0]
    y = source if hidden == c_in else conv(b, part + "_expand", source, hidden, act=act)
    y = conv(b, part + "_depth", y, hidden, kernel=kernel, stride=stride, groups=hidden, act=act, same=same)
    if squeeze is not None:
        y = _squeezed(b, part + "_squeeze", y, squeeze)
    y = b.conv(part + "_project", y, channels, 1, act="")
    return b.end_block(b.add(part + "_sum", source, y) if stride == 1 and c_in == channels else y)


def _squeezed(b: Builder, part: str, source: str, squeeze: Squeeze) -> str:
    within = squeeze.act in BUILT_IN
    means = b.avgpool(part + "_means", source)
    low = b.linear(part + "_low", means, squeeze.hidden, act=squeeze.act if within else "", head=False)
    low = low if within else b.activate(part + "_low_act", low, squeeze.act)
    high = b.linear(part + "_high", low, b.shapes[source][0], head=False)
    return b.multiply(part + "_scaled", source, b.activate(part + "_gate", high, squeeze.gate))
