"""ShuffleNetV2: half the channels pass by, the others are convolved, then both are mixed.

Size x1.0 has 2,278,604 parameters at 1000 classes.

Source: Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, ECCV 2018.
"""

from typing import Sequence, Tuple

from tunebench.workloads.models.graph import INPUT, Builder, Graph

#: blocks of each stage
_REPEATS = (4, 8, 4)


def shufflenetv2(
    name: str,
    shape: Tuple[int, ...],
    n_classes: int,
    *,
    widths: Sequence[int] = (24, 116, 232, 464, 1024),
    small_input: bool = False,
) -> Graph:
    """Build a ShuffleNetV2; the defaults are its size x1.0.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w).
        n_classes: of the task.
        widths: channels of the stem, of each stage, and before the head.
        small_input: a stem of stride 1 and no pooling, for inputs of few pixels.
    """
    b = Builder(name, "classify", shape)
    y = b.conv("stem", INPUT, widths[0], 3, 1 if small_input else 2)
    y = b.end_block(y if small_input else b.maxpool("pool0", y, 3, 2, padding=1))
    for stage, (channels, repeats) in enumerate(zip(widths[1:], _REPEATS)):  # noqa: B905  Python 3.10
        for index in range(repeats):
            y = _block(b, "stage%d_%d" % (stage, index), y, channels, smaller=index == 0)
    y = b.end_block(b.conv("wide", y, widths[-1], 1))
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))


def _block(b: Builder, part: str, source: str, channels: int, *, smaller: bool) -> str:
    """Add a block; ``smaller``: it halves the map, and the channels that pass by are convolved, too."""
    half, stride = channels // 2, 2 if smaller else 1
    if smaller:
        beside, y = _depthwise(b, part + "_short", source, stride, half), source
    else:
        beside = b.slice(part + "_left", source, 0, half)
        y = b.slice(part + "_right", source, half, half)
    y = _depthwise(b, part, b.conv(part + "_in", y, half, 1), stride, half)
    return b.end_block(b.shuffle(part + "_mixed", b.concat(part + "_both", beside, y), 2))


def _depthwise(b: Builder, part: str, source: str, stride: int, channels: int) -> str:
    c_in = b.shapes[source][0]
    y = b.conv(part + "_depth", source, c_in, 3, stride, groups=c_in, act="")
    return b.conv(part + "_out", y, channels, 1)


def small(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return a ShuffleNetV2 of about half the width for inputs of 28 to 64 pixels."""
    return shufflenetv2(name, shape, n_classes, widths=(24, 48, 96, 192, 320), small_input=True)
