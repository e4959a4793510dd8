"""MNIST turned by 90 degrees: a drift that re-estimating BatchNorm's statistics does not undo.

Nothing else changes: no pixel's value, so hardly a channel's mean or variance, but every edge that a filter looks for.
Images, splits and start weights are those of ``mnist``.
"""

from __future__ import annotations

from typing import Any

from tunebench.workloads.datasets import mnist
from tunebench.workloads.datasets.images import Drift, ImageSet
from tunebench.workloads.datasets.store import Store

REVISION, TASK, START_WEIGHTS = 1, "classify", "mnist"
DRIFT = Drift(degrees=90.0, contrast=1.0, floor=0.0, noise=0.0, seed=0)

META: dict[str, Any] = {
    **mnist.META,
    "title": "digits (MNIST t10k) turned by 90 degrees",
    "drift": str(DRIFT),
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load MNIST's test images turned (``mnist-turned``).

    Raises:
        DataUnavailable: as :func:`tunebench.workloads.datasets.mnist.load`.
    """
    return mnist.cut("mnist-turned", store, mnist.SPLITS, DRIFT, META)
