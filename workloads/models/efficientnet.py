"""EfficientNet: B0 with squeeze-and-excitation and swish, and Lite0 without, with ReLU6, for phones and boards.

Lite0 is as TensorFlow's authors trained it: convolutions pad as SAME does, pixels are scaled by ``(x - 127) / 128``.
4,652,008 parameters at 1000 classes; B0 has 5,288,548. Sources: Tan and Le, EfficientNet, ICML 2019; Liu and Tan,
EfficientNet-Lite (tensorflow/tpu, models/official/efficientnet/lite, 2020).
"""

from typing import Tuple

from tunebench.workloads.models.blocks import Size, Squeeze, conv, inverted, of_eight
from tunebench.workloads.models.graph import INPUT, Builder, Graph

#: expansion, channels, repeats, stride of the first, kernel of the depthwise convolution
_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
#: of pixels from 0 to 1
SCALING = ((127 / 255, 128 / 255),) * 3
B0 = Size(1.0, 1280, 2)


def lite0(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Build EfficientNet-Lite0 for inputs of a shape (c, h, w); grey images are read three times."""
    b = Builder(name, "classify", shape)
    y = b.end_block(
        conv(b, "stem", b.normalise("normal", INPUT, SCALING), 32, kernel=3, stride=2, act="relu6", same=True)
    )
    for stage, (expansion, channels, repeats, stride, kernel) in enumerate(_STAGES):
        for index in range(repeats):
            part, step, hidden = (
                "stage%d_%d" % (stage, index),
                stride if index == 0 else 1,
                b.shapes[y][0] * expansion,
            )
            y = inverted(b, part, y, channels, hidden=hidden, kernel=kernel, stride=step, same=True)
    y = b.end_block(b.conv("wide", y, 1280, 1, act="relu6"))
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))


def b0(name: str, shape: Tuple[int, ...], n_classes: int, size: Size = B0) -> Graph:
    """Build EfficientNet-B0.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        size: of the network; default: the published one.
    """
    b = Builder(name, "classify", shape)
    y = b.end_block(
        conv(b, "stem", INPUT, of_eight(32 * size.width), kernel=3, stride=size.stem_stride, act="silu")
    )
    for stage, (expansion, channels, repeats, stride, kernel) in enumerate(_STAGES):
        for index in range(repeats):
            c_in = b.shapes[y][0]
            y = inverted(
                b, "stage%d_%d" % (stage, index), y, of_eight(channels * size.width), hidden=c_in * expansion,
                kernel=kernel, stride=stride if index == 0 else 1, act="silu",
                squeeze=Squeeze(c_in // 4, "silu", "sigmoid"),
            )  # fmt: skip
    y = b.end_block(conv(b, "wide", y, size.last, act="silu"))
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))


def small(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return an EfficientNet-B0 of half the width for inputs of 28 to 64 pixels."""
    return b0(name, shape, n_classes, Size(0.5, 320, 1))
