"""Three families of image classifiers: MobileNetV2, SqueezeNet 1.1, ResNet with basic blocks.

Each is one function over sizes; the published sizes are checked by their parameter totals (MobileNetV2 3,504,872,
SqueezeNet 1.1 1,235,496, ResNet-18 11,689,512 at 1000 classes), the small ones are ours, for inputs of 28 to 64
pixels on a board.

Sources: Sandler et al., MobileNetV2, CVPR 2018; Iandola et al., SqueezeNet, arXiv 1602.07360 (1.1: its authors'
release); He et al., Deep Residual Learning, CVPR 2016.
"""

from typing import Sequence, Tuple

from tunebench.workloads.models.blocks import Size, inverted, of_eight
from tunebench.workloads.models.graph import INPUT, Builder, Graph

#: MobileNetV2's stages: expansion, channels, repeats, stride of the first
_INVERTED = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
MOBILENETV2 = Size(1.0, 1280, 2)
#: Mean and standard deviation of ImageNet's red, green and blue, of values from 0 to 1 (torchvision's own)
IMAGENET = ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))
#: SqueezeNet 1.1's Fire modules between poolings: squeezed and expanded channels
_FIRES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))


def mobilenetv2(
    name: str,
    shape: Tuple[int, ...],
    n_classes: int,
    size: Size = MOBILENETV2,
    scaling: Sequence[Tuple[float, float]] = (),
) -> Graph:
    """Build a MobileNetV2 of inverted residuals: expand 1x1, depthwise 3x3, project 1x1 without activation.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        size: of the network; default: the published one.
        scaling: mean and deviation of each channel that its weights expect; none: inputs as they are.
    """
    b = Builder(name, "classify", shape)
    y = b.normalise("normal", INPUT, scaling) if scaling else INPUT
    y = b.end_block(b.conv("stem", y, of_eight(32 * size.width), 3, size.stem_stride, act="relu6"))
    for stage, (expansion, channels, repeats, stride) in enumerate(_INVERTED):
        for index in range(repeats):
            part = "stage%d_%d" % (stage, index)
            step, hidden = stride if index == 0 else 1, b.shapes[y][0] * expansion
            y = inverted(b, part, y, of_eight(channels * size.width), hidden=hidden, stride=step)
    y = b.end_block(b.conv("wide", y, size.last, 1, act="relu6"))
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))


def squeezenet(
    name: str, shape: Tuple[int, ...], n_classes: int, *, width: float = 1.0, small_input: bool = False
) -> Graph:
    """Build a SqueezeNet of fire modules without BatchNorm: squeeze 1x1, expand 1x1 and 3x3 side by side.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        width: factor of all channels.
        small_input: stem of stride 1 and no ReLU behind the head, for inputs of few pixels.
    """
    b = Builder(name, "classify", shape)

    def wide(channels: int) -> int:
        return max(4, int(channels * width))

    stride, padding = (1, 1) if small_input else (2, 0)
    y = b.conv("stem", INPUT, wide(64), 3, stride, padding=padding, norm=False)
    for group, fires in enumerate(_FIRES):
        y = b.maxpool("pool%d" % group, y, 3, 2, ceil=True)
        y = y if group else b.end_block(y)
        for index, (squeezed, expanded) in enumerate(fires):
            part = "fire%d_%d" % (group, index)
            low = b.conv(part + "_squeeze", y, wide(squeezed), 1, norm=False)
            narrow = b.conv(part + "_expand1", low, wide(expanded), 1, norm=False)
            square = b.conv(part + "_expand3", low, wide(expanded), 3, norm=False)
            y = b.end_block(b.concat(part, narrow, square))
    act = "" if small_input else "relu"
    y = b.conv("classifier", y, n_classes, 1, norm=False, act=act, head=True)
    return b.graph(b.avgpool("pool", y))


def resnet(
    name: str,
    shape: Tuple[int, ...],
    n_classes: int,
    *,
    widths: Sequence[int] = (64, 128, 256, 512),
    blocks: Sequence[int] = (2, 2, 2, 2),
    small_input: bool = False,
) -> Graph:
    """Build a ResNet of basic blocks with two 3x3 convolutions; the defaults are ResNet-18.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        widths, blocks: channels and blocks of each stage.
        small_input: a 3x3 stem of stride 1 and no pooling, for inputs of few pixels.
    """
    b = Builder(name, "classify", shape)
    if small_input:
        y = b.end_block(b.conv("stem", INPUT, widths[0], 3))
    else:
        y = b.end_block(b.maxpool("pool0", b.conv("stem", INPUT, widths[0], 7, 2), 3, 2, padding=1))
    for stage, (channels, count) in enumerate(zip(widths, blocks)):  # noqa: B905  Python 3.10
        for index in range(count):
            stride = 2 if stage and index == 0 else 1
            y = basic_block(b, "stage%d_%d" % (stage, index), y, channels, stride)
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))


def basic_block(b: Builder, part: str, source: str, channels: int, stride: int = 1) -> str:
    """Add two 3x3 convolutions beside the identity, or beside a 1x1 convolution where the shape changes."""
    y = b.conv(part + "_a", source, channels, 3, stride)
    y = b.conv(part + "_b", y, channels, 3, act="")
    beside = source
    if b.shapes[source] != b.shapes[y]:
        beside = b.conv(part + "_short", source, channels, 1, stride, act="")
    return b.end_block(b.add(part + "_sum", beside, y, act="relu"))


def mobilenetv2_small(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return a MobileNetV2 of half the width for inputs of 28 to 64 pixels."""
    return mobilenetv2(name, shape, n_classes, Size(0.5, 320, 1))


def mobilenetv2_imagenet(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return MobileNetV2 at its published size, for weights pretrained on ImageNet; grey images are read three times."""
    return mobilenetv2(name, shape, n_classes, scaling=IMAGENET)


def squeezenet_small(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return a SqueezeNet of half the width for inputs of 28 to 64 pixels."""
    return squeezenet(name, shape, n_classes, width=0.5, small_input=True)


def resnet_small(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return a ResNet of three stages for inputs of 28 to 64 pixels."""
    return resnet(name, shape, n_classes, widths=(16, 32, 64), blocks=(2, 2, 2), small_input=True)
