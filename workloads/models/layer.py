"""One layer of a model, as data."""

from typing import NamedTuple, Tuple

from tunebench.workloads.errors import WorkloadError


class UnsupportedModel(WorkloadError):
    """A model that does not take the data set's inputs."""


class Layer(NamedTuple):
    """A linear map or convolution, with or without BatchNorm and ReLU behind it.

    Attributes:
        kind: ``linear`` or ``conv``.
        in_shape: of one sample: ``(n_in,)`` or ``(channels, height, width)``.
        out_shape: of one sample: ``(n_out,)`` or ``(channels, height, width)``.
        kernel, stride, padding: of a convolution (square); 1, 1, 0 for a linear map.
        norm: BatchNorm and ReLU follow.
    """

    kind: str
    in_shape: Tuple[int, ...]
    out_shape: Tuple[int, ...]
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    norm: bool = True

    @property
    def fan_in(self) -> int:
        """Inputs of one output value."""
        return self.in_shape[0] * self.kernel * self.kernel

    @property
    def channels_out(self) -> int:
        """Features of a linear map, channels of a convolution."""
        return self.out_shape[0]

    @property
    def weight_shape(self) -> Tuple[int, ...]:
        """``(n_out, n_in)`` or ``(c_out, c_in, k, k)``."""
        if self.kind == "linear":
            return (self.out_shape[0], self.in_shape[0])
        return (self.out_shape[0], self.in_shape[0], self.kernel, self.kernel)

    @property
    def size_in(self) -> int:
        """Values of one sample's input."""
        return _product(self.in_shape)

    @property
    def size_out(self) -> int:
        """Values of one sample's output."""
        return _product(self.out_shape)


def _product(sizes: Tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result
