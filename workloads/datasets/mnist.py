"""Handwritten digits of MNIST's test file (10,000 images of 28x28), with a documented drift.

- pretrain: images 0..4999, clean (the half of NIST's training writers);
- fine-tune: 5000..5599, drifted; test: 6000..7499, drifted (the other half: other writers; images of one writer
  come one behind another, so 400 images lie unused between the two parts).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets.fetch import Source
from tunebench.workloads.datasets.images import Drift, ImageSet, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "classify"
HOME = "https://github.com/unixpickle/mnistlite at 7e77ce1 (MNIST's t10k files, idx.gz)"
IMAGES = Source(
    "mnist_t10k/t10k-images-idx3-ubyte.gz",
    HOME,
    sha256="ba05d2d6e06f59dd97d2d5378250478bb5c9b64296a5c2681700569121e3a2d7",
)
LABELS = Source(
    "mnist_t10k/t10k-labels-idx1-ubyte.gz",
    HOME,
    sha256="94088eab8a64f51a9b34cc9716f54b6548ef8b2fd16ada6d1575091b933dbf4b",
)
SPLITS = {"pretrain": slice(0, 5000), "finetune": slice(5000, 5600), "test": slice(6000, 7500)}
DRIFT = Drift(degrees=20.0, contrast=0.75, floor=0.1, noise=0.08, seed=20261121)

META: dict[str, Any] = {
    "title": "digits (MNIST t10k)",
    "classes": [str(digit) for digit in range(10)],
    "source": HOME,
    "licence": "commonly CC BY-SA 3.0; cite LeCun et al., Proc. IEEE 86(11), 1998",
    "drift": str(DRIFT),
    "splits": "by position: 5,000 clean of one half of the writers, 600 and 1,500 drifted of the other",
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load MNIST's test images with drift (``mnist``).

    Raises:
        DataUnavailable: a file is not there (they are not downloaded) or damaged.
    """
    return cut("mnist", store, SPLITS, DRIFT, META)


def cut(name: str, store: Store, splits: Mapping[str, slice], drift: Drift, meta: dict[str, Any]) -> ImageSet:
    """Return other rows of the file or another drift of them as a set of its own; ``pretrain`` stays clean.

    Raises:
        DataUnavailable: as :func:`load`.
    """
    images = _idx(IMAGES, store, 16).reshape(-1, 1, 28, 28)
    labels = _idx(LABELS, store, 8)
    arrays: dict[str, Any] = {}
    for part, rows in splits.items():
        arrays[f"{part}_x"] = images[rows] if part == "pretrain" else drift.images(images[rows])
        arrays[f"{part}_y"] = labels[rows]
    return build(name, "classify", arrays, meta)


def _idx(source: Source, store: Store, header_b: int) -> npt.NDArray[np.uint8]:
    path = store.obtain(source).path
    try:
        with gzip.open(path) as file:
            return np.frombuffer(file.read()[header_b:], dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise source.damaged(path, error) from error
