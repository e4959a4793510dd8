"""What a transform may look at besides the network: samples of the two domains, never the test set."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.workloads.compress.state import State
from tunebench.workloads.compress.train import Part


@dataclass(frozen=True)
class Context:
    """What a chain has at hand.

    Attributes:
        calibration: samples by which scales are fixed: of the fine-tuning part.
        source: samples of the source domain, to recover on; None where no step trains there.
        teacher: the network as the chain began, plainly trained.
        batch, rate: of steps on the source domain.
        seed: of orders and starts.
    """

    calibration: Part
    source: Part | None
    teacher: State
    batch: int
    rate: float
    seed: int
