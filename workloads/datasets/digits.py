"""Handwritten digits, 8x8, with a documented drift: needs scikit-learn, no download.

scikit-learn's ``load_digits`` has 1,797 rows that come writer after writer, so the splits are contiguous: a
random split would put the same hand into training and test.

- pretrain: rows 0..899, clean;
- fine-tune: rows 900..1349, drifted;
- test: rows 1350..1796, drifted.

Drift, as of a camera mounted askew in poor light: rotation by :data:`ROTATION_DEG`, contrast times
:data:`CONTRAST` on a grey floor of :data:`FLOOR`, Gaussian noise of :data:`NOISE` (fixed seed). Values are
rounded to 1/1024, so that another numpy build gives the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets.base import Dataset, DataUnavailable, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "rows"
PRETRAIN_ROWS, FINETUNE_ROWS = 900, 450
ROTATION_DEG, CONTRAST, FLOOR, NOISE, SEED = 20.0, 0.6, 0.2, 0.05, 20261121
SIDE = 8

META: dict[str, Any] = {
    "title": "digits",
    "classes": [str(digit) for digit in range(10)],
    "source": "scikit-learn load_digits: the test part of UCI Optical Recognition of Handwritten Digits "
    "(Alpaydin, Kaynak)",
    "licence": "CC BY 4.0",
    "drift": f"rotated {ROTATION_DEG:g} degrees, contrast x {CONTRAST:g} on a floor of {FLOOR:g}, "
    f"Gaussian noise {NOISE:g}",
    "splits": "contiguous rows (writers do not leak): 900 clean, 450 drifted, 447 drifted",
    "revision": REVISION,
}


def load(store: Store | None = None) -> Dataset:
    """Load the digits with drift; ``store`` is not used.

    Raises:
        DataUnavailable: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataUnavailable(
            "digits are built from scikit-learn, which is not installed here: pip install scikit-learn "
            "(the artefacts that ship with tunebench need none of this)"
        ) from error
    bunch = load_digits()
    clean = np.asarray(bunch.data, dtype=np.float64) / 16.0
    labels = np.asarray(bunch.target)
    tuned, tested = PRETRAIN_ROWS, PRETRAIN_ROWS + FINETUNE_ROWS
    drifted = drift(clean[tuned:])
    parts = {
        "pretrain": (clean[:tuned], labels[:tuned]),
        "finetune": (drifted[:FINETUNE_ROWS], labels[tuned:tested]),
        "test": (drifted[FINETUNE_ROWS:], labels[tested:]),
    }
    return build("digits", parts, META)


def drift(images: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotate, flatten the contrast and add noise: (n, 64) in 0..1 -> (n, 64) in 0..1."""
    turned = rotate(images, ROTATION_DEG)
    noise = np.random.Generator(np.random.PCG64(SEED)).standard_normal(images.shape) * NOISE
    seen = np.clip(FLOOR + CONTRAST * turned + noise, 0.0, 1.0)
    return np.round(seen * 1024.0) / 1024.0


def rotate(images: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Rotate 8x8 images about their centre, bilinear, black outside: (n, 64) -> (n, 64)."""
    angle = np.deg2rad(degrees)
    centre = (SIDE - 1) / 2.0
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - centre
    y = np.cos(angle) * rows - np.sin(angle) * columns + centre
    x = np.sin(angle) * rows + np.cos(angle) * columns + centre
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    padded = np.pad(images.reshape(-1, SIDE, SIDE), ((0, 0), (SIDE, SIDE), (SIDE, SIDE)))
    turned = np.zeros((len(images), SIDE, SIDE))
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
            turned += share * padded[:, top + down + SIDE, left + right + SIDE]
    return turned.reshape(len(images), SIDE * SIDE)
