"""MobileNetV3-small: inverted residuals with squeeze-and-excitation and hard-swish; 2,542,856 parameters at 1000 classes.

Source: Howard et al., Searching for MobileNetV3, ICCV 2019.
"""

from typing import Tuple

from tunebench.workloads.models.blocks import Size, Squeeze, conv, inverted, of_eight
from tunebench.workloads.models.graph import INPUT, Builder, Graph

#: kernel, hidden channels, channels, with squeeze-and-excitation, activation, stride of each block
_BLOCKS = (
    (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
    (5, 96, 40, True, "hardswish", 2), (5, 240, 40, True, "hardswish", 1), (5, 240, 40, True, "hardswish", 1),
    (5, 120, 48, True, "hardswish", 1), (5, 144, 48, True, "hardswish", 1), (5, 288, 96, True, "hardswish", 2),
    (5, 576, 96, True, "hardswish", 1), (5, 576, 96, True, "hardswish", 1),
)  # fmt: skip
PUBLISHED = Size(1.0, 1024, 2)


def mobilenetv3(name: str, shape: Tuple[int, ...], n_classes: int, size: Size = PUBLISHED) -> Graph:
    """Build a MobileNetV3-small.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        size: of the network; default: the published one.
    """
    b = Builder(name, "classify", shape)
    y = b.end_block(
        conv(b, "stem", INPUT, of_eight(16 * size.width), kernel=3, stride=size.stem_stride, act="hardswish")
    )
    for index, (kernel, hidden, channels, squeezed, act, stride) in enumerate(_BLOCKS):
        between = of_eight(hidden * size.width)
        squeeze = Squeeze(of_eight(between // 4), "relu", "hardsigmoid") if squeezed else None
        y = inverted(
            b, "block%d" % index, y, of_eight(channels * size.width), hidden=between, kernel=kernel, stride=stride,
            act=act, squeeze=squeeze,
        )  # fmt: skip
    y = b.end_block(conv(b, "wide", y, 6 * b.shapes[y][0], act="hardswish"))
    hidden_head = b.linear("features", b.avgpool("pool", y), size.last, head=False)
    return b.graph(b.linear("classifier", b.activate("features_act", hidden_head, "hardswish"), n_classes))


def tiny(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return a MobileNetV3-small of half the width for inputs of 28 to 64 pixels."""
    return mobilenetv3(name, shape, n_classes, Size(0.5, 256, 1))
