"""Human activity: 561 features rebuilt from UCI HAPT v2.1's raw signals (not the official UCI HAR files).

Drift: five subjects (9, 14, 16, 19, 25) are held out of pretraining; fine-tune on each one's first experiment
(885 rows), test on the second (877). Never a random split: neighbouring windows overlap by half.

There is no download: the features were rebuilt once outside of tunebench, which does not hold that program, so this
set needs the .npz placed by hand. Without it use ``har-uci`` (:mod:`tunebench.workloads.datasets.har_uci`), which can be
downloaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tunebench.workloads.datasets.base import Dataset, build
from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.store import Store

FILE = "hapt_har561.npz"
SHA256 = "d5330c811f5ab252f021a45b65164d6d56d65b2293c29a1b72b3616df37e7c11"
HOME = "https://archive.ics.uci.edu/dataset/341 (HAPT v2.1 raw signals; the 561 features rebuilt, one .npz)"
REVISION, TASK = 1, "rows"
TARGET_SUBJECTS = (9, 14, 16, 19, 25)
CLASSES = ["walking", "walking upstairs", "walking downstairs", "sitting", "standing", "laying"]

NPZ = Source(FILE, HOME, sha256=SHA256)

META: dict[str, Any] = {
    "title": "activity (rebuilt from HAPT raw)",
    "classes": CLASSES,
    "source": HOME,
    "licence": "CC BY 4.0 on its page, its README says no commercial use; cite Anguita et al. ESANN 2013, "
    "Reyes-Ortiz et al. Neurocomputing 2015",
    "drift": "people unseen while pretraining: subjects 9, 14, 16, 19, 25",
    "splits": "by subject and experiment: fine-tune each target's first experiment, test its second",
    "revision": REVISION,
}


def load(store: Store) -> Dataset:
    """Load HAR features rebuilt from HAPT (``har-hapt``).

    Raises:
        DataUnavailable: the .npz is not there (it cannot be downloaded) or damaged.
    """
    path = store.obtain(NPZ).path
    with np.load(path, allow_pickle=False) as file:
        inputs, labels = file["X"], file["y"].astype(np.int32) - 1
        subject, experiment = file["subject"], file["experiment"]
    target = np.isin(subject, TARGET_SUBJECTS)
    first = np.zeros(len(subject), dtype=bool)
    for subject_id in TARGET_SUBJECTS:
        rows = subject == subject_id
        first |= rows & (experiment == experiment[rows].min())
    masks = {"pretrain": ~target, "finetune": first, "test": target & ~first}
    return build("har-hapt", {part: (inputs[mask], labels[mask]) for part, mask in masks.items()}, META)
