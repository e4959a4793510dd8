"""What the kernels train, as rows of numbers: layers, adapters, and which values come from a cache or a trunk."""

from array import array
from typing import NamedTuple, Tuple

from tunebench.workloads.methods.plan import Plan


class LayerRow(NamedTuple):
    """A layer as the kernels see it.

    Attributes:
        n_in, n_out: features.
        norm: BatchNorm and ReLU follow.
        train_weight, train_bias: which of them train.
    """

    n_in: int
    n_out: int
    norm: bool = False
    train_weight: bool = False
    train_bias: bool = False


class Layout(NamedTuple):
    """What is trained.

    Attributes:
        layers: in order; layer ``n``'s input is plane ``n``, the last one's output the plane behind.
        adapters: the layers that each starts and ends at.
        rank: of every adapter.
        keep: of each plane, whether a cache keeps it, or a trunk gives it.
        fed: the kept planes come from a trunk: no layer but the last one has weights, nor that one if its output is kept.
    """

    layers: Tuple[LayerRow, ...]
    adapters: Tuple[Tuple[int, int], ...]
    rank: int
    keep: Tuple[bool, ...]
    fed: bool = False

    @property
    def cache_floats(self) -> int:
        """Return how many values are kept of a sample."""
        widths = [layer.n_in for layer in self.layers] + [self.layers[-1].n_out]
        return sum(width * kept for width, kept in zip(widths, self.keep))  # noqa: B905  Python 3.10

    def arrays(self) -> "Tuple[array[int], array[int], array[int]]":
        """Return layers, adapters and kept planes as ``tb_new`` takes them."""
        layers, adapters = array("i"), array("i")
        for layer in self.layers:
            layers.extend(int(value) for value in layer)
        for start, end in self.adapters:
            adapters.extend([start, end, self.rank])
        return layers, adapters, array("i", [int(kept) for kept in self.keep])


def chain_layout(plan: Plan) -> Layout:
    """Return the layout of a chain of linear layers."""
    layers = plan.graph.layers
    rows = tuple(
        LayerRow(
            layer.channels_in, layer.channels_out, layer.norm, layer.name in plan.weights, layer.name in plan.biases
        )
        for layer in layers
    )  # fmt: skip
    keep = tuple(index in plan.cached_inputs for index in range(len(layers))) + (plan.cached_output,)
    return Layout(rows, tuple(plan.places), plan.rank, keep)
