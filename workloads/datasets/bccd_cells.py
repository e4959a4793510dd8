"""Single blood cells, cut out of BCCD's photographs, 64x64 RGB: red, white or platelet, with a documented drift.

A cell is the square about its box, a quarter larger than its longer side and cut off where the photograph ends (edges
are repeated), brought to 64x64. White cells and platelets are all taken; of the red ones, ten times as many, the
first two of each photograph in the order of its annotations. The set's own splits are kept, so no photograph gives
cells to two parts: pretrain = its training photographs (clean), fine-tune = its validation ones, test = its test ones
(both drifted).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets import bccd
from tunebench.workloads.datasets.enlarged import SIDE, resized
from tunebench.workloads.datasets.images import PARTS, Drift, ImageSet, build
from tunebench.workloads.datasets.store import Store

REVISION, TASK = 1, "classify"
RED_A_PHOTOGRAPH, WIDER = 2, 1.25
DRIFT = Drift(degrees=15.0, contrast=0.6, floor=0.2, noise=0.06, seed=20261130)

META: dict[str, Any] = {
    "title": "single blood cells (BCCD)",
    "classes": bccd.CLASSES,
    "source": bccd.HOME,
    "licence": "MIT",
    "drift": str(DRIFT),
    "splits": f"by the set's own split of photographs; at most {RED_A_PHOTOGRAPH} red cells a photograph",
    "revision": REVISION,
}


def load(store: Store) -> ImageSet:
    """Load BCCD's cells with drift (``bccd-cells``).

    Raises:
        DataUnavailable: the folder is not there (it is not downloaded) or not the known one, or no Pillow.
    """
    arrays: dict[str, Any] = {}
    for part, photographs in bccd.photographs(store):
        cells, labels = [], []
        for pixels, rows, corners in photographs:
            for label, box in _chosen(rows, corners):
                cells.append(cut(pixels, box))
                labels.append(label)
        clean = np.stack(cells)
        arrays[f"{part}_x"] = clean if part == PARTS[0] else DRIFT.images(clean)
        arrays[f"{part}_y"] = np.array(labels)
    return build("bccd-cells", TASK, arrays, META)


def _chosen(
    labels: npt.NDArray[np.int32], corners: npt.NDArray[np.float64]
) -> list[tuple[int, npt.NDArray[np.float64]]]:
    chosen, red = [], 0
    for label, box in zip(labels.tolist(), corners, strict=True):
        red += label == 0
        if label or red <= RED_A_PHOTOGRAPH:
            chosen.append((label, box))
    return chosen


def cut(pixels: npt.NDArray[np.uint8], box: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return the square about a box (x1, y1, x2, y2) of a photograph (3, h, w) as (3, 64, 64)."""
    side = max(2, round(WIDER * max(box[2] - box[0], box[3] - box[1])))
    left, top = (round((box[at] + box[at + 2] - side) / 2) for at in (0, 1))
    rows = np.clip(np.arange(top, top + side), 0, pixels.shape[1] - 1)
    columns = np.clip(np.arange(left, left + side), 0, pixels.shape[2] - 1)
    square: npt.NDArray[np.uint8] = resized(pixels[:, rows[:, None], columns][None], SIDE, SIDE)[0]
    return square
