"""The MLP of the Skip2-LoRA study: Linear-BatchNorm-ReLU twice, then Linear."""

from typing import Sequence, Tuple

from tunebench.workloads.models.graph import INPUT, ROWS, Builder, Graph

HIDDEN = (96, 96)


def mlp(name: str, shape: Tuple[int, ...], n_classes: int, *, hidden: Sequence[int] = HIDDEN) -> Graph:
    """Return ``n_in-96-96-n_classes``, or another chain of linear layers.

    Args:
        name: of the graph.
        shape: of one input, (n_in,).
        n_classes: of the task.
        hidden: features of the hidden layers.
    """
    b = Builder(name, ROWS, shape)
    y = INPUT
    for index, features in enumerate(hidden):
        y = b.linear("layer%d" % index, y, features, norm=True, head=False)
    return b.graph(b.linear("layer%d" % len(hidden), y, n_classes))
