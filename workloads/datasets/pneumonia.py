"""Chest X-rays, normal or pneumonia, 28x28 grey (PneumoniaMNIST), with a documented drift.

The set's own splits are kept: pretrain = its training images (clean), fine-tune = its validation images, test = its
test images (both drifted).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.images import Drift, ImageSet, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "classify"
HOME = "https://medmnist.com (PneumoniaMNIST, pneumoniamnist.npz)"
NPZ = Source(
    "pneumoniamnist/pneumoniamnist.npz",
    HOME,
    sha256="a554d2332488d3ddc075125e66a1af77ec379fd2bafc09108ab95a37e2bd9c26",
    also=("pneumoniamnist.npz",),
)
DRIFT = Drift(degrees=12.0, contrast=0.6, floor=0.2, noise=0.08, seed=20261122)

META: dict[str, Any] = {
    "title": "chest X-rays (PneumoniaMNIST)",
    "classes": ["normal", "pneumonia"],
    "source": HOME,
    "licence": "CC BY 4.0; cite Yang et al., MedMNIST v2, Scientific Data 10:41, 2023, and Kermany et al., Cell 2018",
    "drift": str(DRIFT),
    "splits": "the set's own: 3,882 clean, 524 and 624 drifted",
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load PneumoniaMNIST with drift (``pneumonia``).

    Raises:
        DataUnavailable: the .npz is not there (it is not downloaded) or damaged.
    """
    path = store.obtain(NPZ).path
    arrays: dict[str, Any] = {}
    with np.load(path, allow_pickle=False) as file:
        for part, own in (("pretrain", "train"), ("finetune", "val"), ("test", "test")):
            images = file[f"{own}_images"][:, None]
            arrays[f"{part}_x"] = images if part == "pretrain" else DRIFT.images(images)
            arrays[f"{part}_y"] = file[f"{own}_labels"].reshape(-1)
    return build("pneumonia", "classify", arrays, META)
