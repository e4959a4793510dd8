"""A single-stage detector and a segmenter, small enough for a board: our own.

The detector has no anchors: every cell of one map of stride 8 tells classes and the distances to the four sides of
a box (Tian et al., FCOS, ICCV 2019). The segmenter is an encoder and a decoder with connections across (Ronneberger
et al., U-Net, MICCAI 2015).
"""

from typing import Sequence, Tuple

from tunebench.workloads.models.classifiers import basic_block
from tunebench.workloads.models.graph import INPUT, Builder, Graph, UnsupportedModel

#: pixels of the input that one cell of the detector's map stands for
CELL = 8


def detector(
    name: str, shape: Tuple[int, ...], n_classes: int, *, widths: Sequence[int] = (16, 32, 64, 96)
) -> Graph:
    """Build a detector: (c, h, w) -> class scores (n_classes, h/8, w/8) and box distances (4, h/8, w/8), both raw.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w); h and w multiples of 16.
        n_classes: of the task, background not counted.
        widths: channels at strides 2, 4, 8 and 16.

    Raises:
        UnsupportedModel: h or w is no multiple of 16.
    """
    _check_sides(name, shape, 2 * CELL)
    b = Builder(name, "detect", shape)
    y = b.end_block(b.conv("stem", INPUT, widths[0], 3, 2))
    y = basic_block(b, "stage1", y, widths[1], 2)
    near = basic_block(b, "stage2_b", basic_block(b, "stage2_a", y, widths[2], 2), widths[2])
    far = basic_block(b, "stage3", near, widths[3], 2)
    joined = b.concat("joined", near, b.upsample("to_near", far))
    y = b.end_block(b.conv("neck", joined, widths[2], 1))
    classes = b.conv("class_a", y, widths[2], 3)
    boxes = b.conv("box_a", y, widths[2], 3)
    return b.graph(
        b.conv("classes", classes, n_classes, 1, norm=False, act="", head=True),
        b.conv("boxes", boxes, 4, 1, norm=False, act="", head=True),
    )


def unet(
    name: str, shape: Tuple[int, ...], n_classes: int, *, widths: Sequence[int] = (16, 32, 64, 96)
) -> Graph:
    """Build a segmenter: (c, h, w) -> scores (n_classes, h, w), raw; class 0 is the background.

    Args:
        name: of the graph.
        shape: of one input, (c, h, w); h and w multiples of 8.
        n_classes: of the task, background counted.
        widths: channels at strides 1, 2, 4 and 8.

    Raises:
        UnsupportedModel: h or w is no multiple of 8.
    """
    _check_sides(name, shape, 2 ** (len(widths) - 1))
    b = Builder(name, "segment", shape)
    y, levels = INPUT, []
    for level, channels in enumerate(widths):
        if level:
            y = b.maxpool("pool%d" % level, y, 2, 2)
        y = b.end_block(b.conv("down%d_b" % level, b.conv("down%d_a" % level, y, channels), channels))
        levels.append(y)
    for level in reversed(range(len(widths) - 1)):
        joined = b.concat("joined%d" % level, levels[level], b.upsample("to%d" % level, y))
        y = b.conv("up%d_a" % level, joined, widths[level])
        y = b.end_block(b.conv("up%d_b" % level, y, widths[level]))
    return b.graph(b.conv("classes", y, n_classes, 1, norm=False, act="", head=True))


def _check_sides(name: str, shape: Tuple[int, ...], step: int) -> None:
    if len(shape) != 3 or any(size < step or size % step for size in shape[1:]):
        raise UnsupportedModel(
            "model %r: inputs of shape %s, sides must be multiples of %d" % (name, list(shape), step)
        )
