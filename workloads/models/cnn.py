"""A small CNN for 8x8 grey images: convolution-BatchNorm-ReLU twice, then Linear."""

from typing import Tuple

from tunebench.workloads.models.graph import INPUT, ROWS, Builder, Graph, UnsupportedModel

SIDE = 8
CHANNELS = (16, 32)


def cnn(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Return 1x8x8 -> 16x8x8 (3x3) -> 32x4x4 (3x3, stride 2) -> n_classes.

    Raises:
        UnsupportedModel: the data set's rows are not 8x8 images.
    """
    if shape != (SIDE * SIDE,):
        raise UnsupportedModel(
            "model %r takes 8x8 images (64 inputs), this data set has %d inputs" % (name, shape[0])
        )
    b = Builder(name, ROWS, (1, SIDE, SIDE))
    y = b.conv("layer0", INPUT, CHANNELS[0], bias=True)
    y = b.conv("layer1", y, CHANNELS[1], stride=2, bias=True)
    return b.graph(b.linear("layer2", y, n_classes))
