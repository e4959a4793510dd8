"""MNIST with two classes that pretraining never saw: what is missing is in no statistic, so it must be learnt.

Pretrain: the images of digits 0 to 7 among ``mnist``'s; fine-tune and test: all ten, ``mnist``'s rows, clean. The network
has ten outputs from the start, two of which were never right.
"""

from __future__ import annotations

from typing import Any

from tunebench.workloads.datasets import mnist
from tunebench.workloads.datasets.images import Drift, ImageSet, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "classify"
#: Digits below this one are pretrained on.
FIRST_NEW = 8
_NO_DRIFT = Drift(degrees=0.0, contrast=1.0, floor=0.0, noise=0.0, seed=0)

META: dict[str, Any] = {
    **mnist.META,
    "title": "digits (MNIST t10k), 8 and 9 new",
    "drift": "digits 8 and 9 are new",
    "splits": "by position: of 5,000 of one half of the writers digits 0 to 7; 600 and 1,500 of the other, all digits",
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load MNIST's test images, two digits of which are new (``mnist-new-classes``).

    Raises:
        DataUnavailable: as :func:`tunebench.workloads.datasets.mnist.load`.
    """
    arrays = dict(mnist.cut("mnist", store, mnist.SPLITS, _NO_DRIFT, mnist.META).arrays)
    known = arrays["pretrain_y"] < FIRST_NEW
    arrays["pretrain_x"], arrays["pretrain_y"] = arrays["pretrain_x"][known], arrays["pretrain_y"][known]
    return build("mnist-new-classes", TASK, arrays, META)
