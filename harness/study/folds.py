"""Cut validation folds from the fine-tuning pool, blocked by writer or time; the test set is not in what is cut.

The pool is in the order in which it was recorded. A fold is one stretch of it, so that images of one writer and windows
of one moment stay together. Where such a fold, or what is left, would lack a class (recordings that stand one after
another, as the fan's do), the samples of each class are cut in this way instead, in their order. Rows that touch a
held-out one are in neither part: neighbouring windows overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads import artefact
from tunebench.workloads.models.graph import ROWS

_LITTLE_ENDIAN = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}
_POOL = "finetune_"
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """A fold of a pool.

    Attributes:
        data: its fine-tuning part is the rest of the pool, its test part the fold: nothing of the original test set.
        n_train: how many samples train.
        n_pool: how many the pool has.
    """

    data: artefact.Artefact
    n_train: int
    n_pool: int

    def epochs(self, of_suite: int) -> int:
        """Return the epochs that give about as many steps as the suite's do on the whole pool."""
        return max(1, round(of_suite * self.n_pool / self.n_train))


def pool_of(data: artefact.Artefact) -> artefact.Artefact:
    """Return the artefact with its fine-tuning pool alone: what comes behind this cannot read a test row."""
    tensors = {name: item for name, item in data.tensors.items() if name.startswith(_POOL)}
    return artefact.Artefact(data.kind, data.meta, tensors)


def folds_of(data: artefact.Artefact, count: int) -> list[Fold]:
    """Return all folds of a data artefact's pool.

    Raises:
        ValueError: the pool is too small, or no cut leaves every class in every part.
    """
    pool = pool_of(data)
    n_pool = pool.need("finetune_x").shape[0]
    if not 2 <= count <= n_pool // 2:
        raise ValueError(f"{count} folds of a pool of {n_pool} samples: from 2 to {n_pool // 2}")
    task = pool.meta.get("task", ROWS)
    labels = _values(pool.need("finetune_y")) if task in (ROWS, "classify") else None
    folds = []
    for held in masks(labels, n_pool, count):
        rest = ~(_widened(held) if task == ROWS else held)
        if not rest.any():
            raise ValueError(f"{count} folds of a pool of {n_pool} samples leave none to train on")
        folds.append(Fold(_cut(pool, rest, held, task), int(rest.sum()), n_pool))
    return folds


def masks(labels: npt.NDArray[np.integer[Any]] | None, n_pool: int, count: int) -> list[Mask]:
    """Return which samples each fold holds out; every sample is held out once.

    Args:
        labels: the class of each sample, in the pool's order; None: samples have no single class.
        n_pool: samples.
        count: folds.

    Raises:
        ValueError: no cut leaves every class in every fold and in what is left of it.
    """
    in_order = _in_order([np.arange(n_pool)], n_pool, count)
    if labels is None or _all_have_all_classes(labels, in_order):
        return in_order
    by_class = _in_order([np.flatnonzero(labels == label) for label in np.unique(labels)], n_pool, count)
    if not _all_have_all_classes(labels, by_class):
        raise ValueError(f"{count} folds of this pool would leave a class out of a fold or of what trains")
    return by_class


def _in_order(groups: list[npt.NDArray[np.intp]], n_pool: int, count: int) -> list[Mask]:
    """Return folds of which each holds the same part of every group of samples; a group is in the pool's order."""
    folds = [np.zeros(n_pool, dtype=bool) for _ in range(count)]
    for group in groups:
        for fold, held in enumerate(folds):
            held[group[len(group) * fold // count : len(group) * (fold + 1) // count]] = True
    return folds


def _all_have_all_classes(labels: npt.NDArray[np.integer[Any]], folds: list[Mask]) -> bool:
    classes = len(np.unique(labels))
    return all(len(np.unique(labels[part])) == classes for held in folds for part in (held, ~held))


def _widened(held: Mask) -> Mask:
    """Return the held-out rows and those that touch one."""
    wide = held.copy()
    wide[1:] |= held[:-1]
    wide[:-1] |= held[1:]
    return wide


def _cut(pool: artefact.Artefact, rest: Mask, held: Mask, task: str) -> artefact.Artefact:
    tensors: dict[str, artefact.Tensor] = {}
    for part, rows in (("finetune", rest), ("test", held)):
        tensors[f"{part}_x"] = _rows(pool.need("finetune_x"), rows)
        labels = pool.need("finetune_y")
        if task != "detect":
            tensors[f"{part}_y"] = _rows(labels, rows)
            continue
        table = _values(labels)
        kept = rows[table[:, 0]]
        number = np.cumsum(rows) - 1
        renumbered = np.stack([number[table[kept, 0]], table[kept, 1]], 1).astype("<i4")
        tensors[f"{part}_y"] = artefact.Tensor(
            "int32", renumbered.shape, memoryview(bytearray(renumbered.tobytes()))
        )
        tensors[f"{part}_boxes"] = _rows(pool.need("finetune_boxes"), kept)
    return artefact.Artefact(pool.kind, pool.meta, tensors)


def _values(item: artefact.Tensor) -> npt.NDArray[Any]:
    return np.frombuffer(bytes(item.data), dtype=_LITTLE_ENDIAN[item.dtype]).reshape(item.shape)


def _rows(item: artefact.Tensor, rows: Mask) -> artefact.Tensor:
    chosen = _values(item)[rows]
    return artefact.Tensor(item.dtype, chosen.shape, memoryview(bytearray(chosen.tobytes())))
