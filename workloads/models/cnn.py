"""A small CNN for 8x8 grey images: convolution-BatchNorm-ReLU twice, then Linear."""

from typing import Tuple

from tunebench.workloads.models.layer import Layer, UnsupportedModel

SIDE = 8
CHANNELS = (16, 32)


def layers(n_in: int, n_out: int) -> Tuple[Layer, ...]:
    """1x8x8 -> 16x8x8 (3x3) -> 32x4x4 (3x3, stride 2) -> n_out.

    Raises:
        UnsupportedModel: the data set's rows are not 8x8 images.
    """
    if n_in != SIDE * SIDE:
        raise UnsupportedModel("model 'cnn' takes 8x8 images (64 inputs), this data set has %d inputs" % n_in)
    first, second = CHANNELS
    half = SIDE // 2
    return (
        Layer("conv", (1, SIDE, SIDE), (first, SIDE, SIDE), kernel=3, padding=1),
        Layer("conv", (first, SIDE, SIDE), (second, half, half), kernel=3, stride=2, padding=1),
        Layer("linear", (second * half * half,), (n_out,), norm=False),
    )
