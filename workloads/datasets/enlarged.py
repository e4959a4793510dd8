"""Image sets at 64x64 pixels, for networks whose five halvings of the size leave nothing of 28x28.

The images of a set - drifted as there - are enlarged bilinearly (half-pixel centres, edges repeated, rounded to
bytes), so both sizes hold the same pictures, noise included. Splits, labels and licence are the set's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets.images import PARTS, Images, ImageSet, build
from tunebench.workloads.datasets.store import Store

SIDE = 64
_OWN_REVISION = 1


@dataclass(frozen=True)
class Enlarged:
    """A set to classify, enlarged.

    Attributes:
        name: as in suites.
        module: of this package that loads the set.
    """

    name: str
    module: str
    TASK: str = "classify"

    @property
    def REVISION(self) -> int:
        """Return a number that changes with the set's own revision and with how it is enlarged."""
        return 100 * _OWN_REVISION + int(self._set().REVISION)

    def _set(self) -> Any:
        return import_module(f"tunebench.workloads.datasets.{self.module}")

    def load(self, store: Store) -> ImageSet:
        """Load the set and enlarge it.

        Raises:
            DataUnavailable: as the set itself.
        """
        own: ImageSet = self._set().load(store)
        arrays: dict[str, Any] = {}
        for part in PARTS:
            arrays[f"{part}_x"] = resized(own.arrays[f"{part}_x"], SIDE, SIDE)
            arrays[f"{part}_y"] = own.arrays[f"{part}_y"]
        height, width = own.meta["shape"][1:]
        meta = {
            **own.meta,
            "title": f"{own.meta['title']} at {SIDE} pixels",
            "drift": f"{own.meta['drift']}; then {height}x{width} enlarged bilinearly",
            "revision": self.REVISION,
        }
        return build(self.name, own.meta["task"], arrays, meta)


PNEUMONIA = Enlarged("pneumonia-64", "pneumonia")
MNIST = Enlarged("mnist-64", "mnist")


def resized(images: Images, height: int, width: int) -> Images:
    """Return images (n, c, h, w) at another size, bilinear, each place seen from its centre."""
    values = np.empty((*images.shape[:2], height, width), dtype=np.uint8)
    upper, lower, down = _between(images.shape[2], height)
    left, right, along = _between(images.shape[3], width)
    for at, image in enumerate(images):  # one by one: bounds the memory
        rows = image[:, upper] * (1 - down[:, None]) + image[:, lower] * down[:, None]
        values[at] = np.round(rows[:, :, left] * (1 - along) + rows[:, :, right] * along)
    return values


def _between(
    size: int, wanted: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return for each new place the two old ones that it lies between, and how far it is from the first (0..1)."""
    places = np.clip((np.arange(wanted) + 0.5) * size / wanted - 0.5, 0, size - 1)
    first = np.floor(places).astype(np.intp)
    return first, np.minimum(first + 1, size - 1), places - first
