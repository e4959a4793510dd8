"""What the report knows of tunebench's own methods: which weights train, where adapters sit, what is cached.

It is the table of :mod:`tunebench.workloads.methods.table` once more: results are read without the code that made them,
and rooms that measure and rooms that report do not know each other. A test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Layers = Literal["none", "last", "all"]
Adapters = Literal["none", "own-last", "own-all", "skip", "convolutions"]


@dataclass(frozen=True, slots=True)
class KnownMethod:
    """What a method does to a network.

    Attributes:
        weights, biases: which of the base model's train.
        adapters: ``none``; ``own-last``, ``own-all``: from the input of the last, of each layer to its own output;
            ``skip``: from each layer's input to the last layer's output; ``convolutions``: at each convolution.
        cache: what the frozen part gives is kept in the first epoch and read back in later ones.
        batchnorm: what the method itself does to BatchNorm: nothing, statistics re-estimated, or its affine trained, too.
        objective: what its steps minimise: the labels' loss, the predictions' entropy; it has none.
        gradient: computed backwards, or estimated from two forward passes.
        frozen_extractors: of each adapter the second factor alone trains.
    """

    weights: Layers = "none"
    biases: Layers = "none"
    adapters: Adapters = "none"
    cache: bool = False
    batchnorm: Literal["frozen", "reestimated", "reestimated+affine"] = "frozen"
    objective: Literal["labels", "entropy", "none"] = "labels"
    gradient: Literal["backward", "forward-only"] = "backward"
    frozen_extractors: bool = False

    @property
    def reach(self) -> Layers:
        """Return how far back gradients go: through all layers, through the last alone."""
        layers = "all" in (self.weights, self.biases) or self.adapters in ("own-all", "convolutions")
        everywhere = layers or self.batchnorm.endswith("affine")
        return "all" if everywhere else "last"


KNOWN: Mapping[str, KnownMethod] = {
    "ft-all": KnownMethod(weights="all", biases="all"),
    "ft-last": KnownMethod(weights="last", biases="last"),
    "ft-bias": KnownMethod(biases="all"),
    "ft-all-lora": KnownMethod(weights="all", biases="all", adapters="own-all"),
    "lora-all": KnownMethod(adapters="own-all"),
    "lora-fa": KnownMethod(adapters="own-all", frozen_extractors=True),
    "lora-last": KnownMethod(adapters="own-last"),
    "skip-lora": KnownMethod(adapters="skip"),
    "skip2-lora": KnownMethod(adapters="skip", cache=True),
    "lora-last-cached": KnownMethod(adapters="own-last", cache=True),
    "ft-last-cached": KnownMethod(weights="last", biases="last", cache=True),
    "lorae": KnownMethod(adapters="convolutions"),
    "mezo": KnownMethod(weights="all", biases="all", gradient="forward-only"),
    "untrained": KnownMethod(objective="none"),
    "reestimated": KnownMethod(batchnorm="reestimated", objective="none"),
    "tent": KnownMethod(batchnorm="reestimated+affine", objective="entropy"),
}
