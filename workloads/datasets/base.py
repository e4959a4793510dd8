"""What a loader of rows returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets.errors import DataUnavailable

__all__ = ["DataUnavailable", "Dataset", "build"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Dataset:
    """Arrays of one data set.

    Attributes:
        name: as in suites.
        pretrain_x, pretrain_y: source domain, (n, n_in) float32 and (n,) int32 labels from 0.
        finetune_x, finetune_y: target domain, for training.
        test_x, test_y: target domain, held out.
        meta: n_in, n_classes, classes, source, licence, drift, splits (row counts), revision.
    """

    name: str
    pretrain_x: Floats
    pretrain_y: Labels
    finetune_x: Floats
    finetune_y: Labels
    test_x: Floats
    test_y: Labels
    meta: dict[str, Any]

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name, ``PART_x`` and ``PART_y``, for parts ``pretrain``, ``finetune``, ``test``."""
        names = (f"{part}_{what}" for part in ("pretrain", "finetune", "test") for what in "xy")
        return {name: getattr(self, name) for name in names}


def build(name: str, parts: dict[str, tuple[Any, Any]], meta: dict[str, Any]) -> Dataset:
    """Build a :class:`Dataset` from parts ``pretrain``, ``finetune``, ``test``; add sizes to its meta."""
    arrays: dict[str, Any] = {}
    for part, (x, y) in parts.items():
        arrays[part + "_x"] = np.ascontiguousarray(x, dtype=np.float32)
        arrays[part + "_y"] = np.ascontiguousarray(y, dtype=np.int32)
    rows = {part: len(x) for part, (x, _) in parts.items()}
    n_in = int(arrays["pretrain_x"].shape[1])
    n_classes = len(meta["classes"])
    return Dataset(name, **arrays, meta={**meta, "n_in": n_in, "n_classes": n_classes, "rows": rows})
