"""Image sets: what their loaders return, and the drift that they share.

Drift, as of a camera mounted askew in poor light: rotation about the image's centre (bilinear, the border's values
outside; masks: nearest), contrast times a factor on a grey floor, Gaussian noise of a fixed seed, rounded to bytes.
Boxes are turned as the ellipses inside them, which fits cells, and drawn tight around the turned ellipse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[Any]]
PARTS = ("pretrain", "finetune", "test")


@dataclass(frozen=True)
class ImageSet:
    """Images of one data set with their labels.

    Attributes:
        name: as in suites.
        arrays: ``PART_x`` (n, c, h, w) uint8, ``PART_y`` and, to detect, ``PART_boxes``, as
            :mod:`tunebench.workloads.tasks.task` says, for parts ``pretrain``, ``finetune``, ``test``.
        meta: task, shape, n_classes, classes, source, licence, drift, splits, rows, revision.
    """

    name: str
    arrays: Arrays
    meta: dict[str, Any]


def build(name: str, task: str, arrays: Arrays, meta: dict[str, Any]) -> ImageSet:
    """Build an :class:`ImageSet` with arrays of the task's types; add task, shape and row counts to its meta."""
    kinds = {"classify": ("int32",), "segment": ("uint8",), "detect": ("int32", "float32")}[task]
    wanted = dict(zip(("x", "y", "boxes"), ("uint8", *kinds), strict=False))
    typed = {
        f"{part}_{what}": np.ascontiguousarray(arrays[f"{part}_{what}"], dtype=dtype)
        for part in PARTS
        for what, dtype in wanted.items()
    }
    shape = [int(size) for size in typed["pretrain_x"].shape[1:]]
    rows = {part: len(typed[f"{part}_x"]) for part in PARTS}
    added = {"task": task, "shape": shape, "n_classes": len(meta["classes"]), "rows": rows}
    return ImageSet(name, typed, {**meta, **added})


@dataclass(frozen=True)
class Drift:
    """How the target domain differs.

    Attributes:
        degrees: of rotation.
        contrast: factor of brightness, 0..1.
        floor: grey that is added, 0..1.
        noise: standard deviation, 0..1.
        seed: of the noise.
    """

    degrees: float
    contrast: float
    floor: float
    noise: float
    seed: int

    def __str__(self) -> str:
        return (
            f"rotated {self.degrees:g} degrees, contrast x {self.contrast:g} on a floor of {self.floor:g}, "
            f"Gaussian noise {self.noise:g}"
        )

    def images(self, clean: Images) -> Images:
        """Return the images (n, c, h, w) under the drift."""
        draw = np.random.Generator(np.random.PCG64(self.seed))
        seen = np.empty_like(clean)
        for at, image in enumerate(clean):  # one by one: bounds the memory
            turned = rotate(image.astype(np.float64) / 255.0, self.degrees)
            noise = draw.standard_normal(image.shape) * self.noise
            seen[at] = np.round(np.clip(self.floor + self.contrast * turned + noise, 0.0, 1.0) * 255.0)
        return seen

    def masks(self, clean: Images) -> Images:
        """Return the masks (n, h, w) of class numbers, turned; each pixel takes the nearest one's class."""
        y, x = _sources(clean.shape[1:], self.degrees)
        rows, columns = (np.round(place).astype(int) for place in (y, x))
        limits = clean.shape[1] - 1, clean.shape[2] - 1
        turned: Images = clean[:, np.clip(rows, 0, limits[0]), np.clip(columns, 0, limits[1])]
        return turned

    def boxes(
        self, corners: npt.NDArray[np.float32], height: int, width: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Turn boxes and cut them to the image; return corners (m, 4) in pixels, and which have their centre in it."""
        angle = np.deg2rad(self.degrees)
        cos, sin = np.cos(angle), np.sin(angle)
        middle = np.stack(
            [corners[:, [0, 2]].mean(1) - width / 2, corners[:, [1, 3]].mean(1) - height / 2], 1
        )
        a, b = (corners[:, 2] - corners[:, 0]) / 2, (corners[:, 3] - corners[:, 1]) / 2
        x = cos * middle[:, 0] + sin * middle[:, 1] + width / 2
        y = -sin * middle[:, 0] + cos * middle[:, 1] + height / 2
        half_x, half_y = np.hypot(a * cos, b * sin), np.hypot(a * sin, b * cos)
        kept = (x > 0) & (x < width) & (y > 0) & (y < height)
        turned = np.stack([x - half_x, y - half_y, x + half_x, y + half_y], 1)
        limits = np.array([width, height, width, height], dtype=np.float64)
        return np.clip(turned, 0, limits).astype(np.float32), kept


def rotate(image: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    """Turn an image (c, h, w) counter-clockwise about its centre, bilinear, border values outside."""
    height, width = image.shape[1:]
    y, x = _sources((height, width), degrees)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, along = y - top, x - left
    upper = image[:, top, left] * (1 - along) + image[:, top, right] * along
    lower = image[:, below, left] * (1 - along) + image[:, below, right] * along
    turned: npt.NDArray[np.float64] = upper * (1 - down) + lower * down
    return turned


def _sources(shape: tuple[int, ...], degrees: float) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the row and the column that each place of the turned image comes from."""
    angle = np.deg2rad(degrees)
    middle = [(size - 1) / 2.0 for size in shape]
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float64)
    rows, columns = rows - middle[0], columns - middle[1]
    y = np.cos(angle) * rows + np.sin(angle) * columns + middle[0]
    x = -np.sin(angle) * rows + np.cos(angle) * columns + middle[1]
    return y, x
