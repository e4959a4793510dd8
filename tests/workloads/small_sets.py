"""Small image sets, one for each kind of task: for tests that train a network in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from tunebench.workloads.datasets import images, shapes

SIDE, COUNT = 32, 12
DRIFT = images.Drift(degrees=10.0, contrast=0.7, floor=0.1, noise=0.03, seed=1)


def small_set(task: str, count: int = COUNT) -> images.ImageSet:
    """12 images (or another count) of 32x32 a part: the middle of generated shapes, labelled for the task."""
    arrays: dict[str, Any] = {}
    for seed, part in enumerate(images.PARTS):
        pixels, masks = shapes.draw(count, 50 + seed)
        middle = slice(16, 16 + SIDE)
        pixels, masks = pixels[:, :, middle, middle], masks[:, middle, middle]
        arrays[f"{part}_x"] = pixels if part == "pretrain" else DRIFT.images(pixels)
        if task == "segment":
            arrays[f"{part}_y"] = masks
        elif task == "classify":
            arrays[f"{part}_y"] = np.array(
                [np.bincount(mask.ravel(), minlength=4).argmax() for mask in masks]
            )
        else:
            arrays[f"{part}_y"] = np.array([(at, at % 3) for at in range(count)])
            corners = [(4 + at, 3, 20 + at, 17) for at in range(count)]
            arrays[f"{part}_boxes"] = np.array(corners, dtype=np.float32)
    classes = ["a", "b", "c"] + (["d"] if task != "detect" else [])
    return images.build(f"small-{task}", task, arrays, {"classes": classes, "revision": 1})
