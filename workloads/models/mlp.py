"""The MLP of the Skip2-LoRA study: Linear-BatchNorm-ReLU twice, then Linear."""

from typing import Tuple

from tunebench.workloads.models.layer import Layer

HIDDEN = 96


def layers(n_in: int, n_out: int) -> Tuple[Layer, ...]:
    """``n_in-96-96-n_out``."""
    return (
        Layer("linear", (n_in,), (HIDDEN,)),
        Layer("linear", (HIDDEN,), (HIDDEN,)),
        Layer("linear", (HIDDEN,), (n_out,), norm=False),
    )
