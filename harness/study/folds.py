"""Cut validation folds from the fine-tuning pool, blocked by writer or time; the test set is not in what is cut.

The pool is in the order in which it was recorded. Of images a fold is one stretch of it, so that those of one writer
stay together. Rows are windows of recordings, one person's or machine's after another's, and fine-tuning adapts to just
these: of them a fold holds the same part, in time, of every stretch of one class. A long stretch is not all alike (the
fan's classes run through three speeds): it is cut in several blocks, and the folds take them in turn. Where a part would
lack a class, the samples of each class are cut in their order. Rows that touch a held-out one are in neither part:
neighbours overlap. Texts are cut as rows are: those of one thread or campaign lie beside one another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tunebench.workloads import artefact
from tunebench.workloads.models.graph import LANGUAGE, ROWS, TEXT

_LITTLE_ENDIAN = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}
_POOL = "finetune_"
#: Tokens of each text.
_LENGTHS = "finetune_n"
#: Tasks whose samples lie in the order of time within each stretch of one class.
_RECORDED = (ROWS, TEXT)
#: Rows of a block at least, where a stretch is long enough for several blocks a fold.
BLOCK_ROWS = 20
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """A fold of a pool.

    Attributes:
        data: its fine-tuning part is the rest of the pool, its test part the fold: nothing of the original test set.
        n_train: how many samples train.
        n_pool: how many the pool has.
        cut: which samples are held out, as a hash, where a fold has several blocks of a stretch; else empty: number and
            count of the folds tell it.
    """

    data: artefact.Artefact
    n_train: int
    n_pool: int
    cut: str = ""

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
    if task == LANGUAGE:
        raise ValueError("a language model's texts stand in one row of tokens: no folds are cut of them yet")
    labels = _values(pool.need("finetune_y")) if task in (*_RECORDED, "classify") else None
    folds = []
    for held in masks(labels, n_pool, count, by_time=task in _RECORDED):
        rest = ~(_widened(held) if task in _RECORDED else held)
        if not rest.any():
            raise ValueError(f"{count} folds of a pool of {n_pool} samples leave none to train on")
        folds.append(
            Fold(
                _cut(pool, rest, held, task),
                int(rest.sum()),
                n_pool,
                _mark(labels if task in _RECORDED else None, held, count),
            )
        )
    return folds


def _mark(labels: npt.NDArray[np.integer[Any]] | None, held: Mask, count: int) -> str:
    """Return a hash of a fold with several blocks a stretch; empty for the others, whose scores were kept without."""
    if labels is None or all(len(stretch) < 2 * count * BLOCK_ROWS for stretch in _stretches(labels)):
        return ""
    return hashlib.sha256(np.packbits(held).tobytes()).hexdigest()


def masks(
    labels: npt.NDArray[np.integer[Any]] | None, n_pool: int, count: int, *, by_time: bool = False
) -> list[Mask]:
    """Return which samples each fold holds out; every sample is held out once.

    Args:
        labels: the class of each sample, in the pool's order; None: samples have no single class.
        n_pool: samples.
        count: folds.
        by_time: first try to cut every stretch of one class; rows beside a held-out one do not train.

    Raises:
        ValueError: no cut leaves every class in every fold and in what is left of it.
    """
    in_order = [np.arange(n_pool)]
    if labels is None:
        return _in_order(in_order, n_pool, count)
    stretches = [block for stretch in _stretches(labels) for block in _blocks(stretch, count)]
    by_class = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for groups in ([stretches] if by_time else []) + [in_order, by_class]:
        folds = _in_order(groups, n_pool, count)
        trained = [~(_widened(held) if by_time else held) for held in folds]
        enough = all(rest.sum() >= (~held).sum() / 2 for held, rest in zip(folds, trained, strict=True))
        if enough and _have_all_classes(labels, [*folds, *trained]) and _are_alike(folds):
            return folds
    raise ValueError(f"{count} folds of this pool would leave a class out of a fold or of what trains")


def _stretches(labels: npt.NDArray[np.integer[Any]]) -> list[npt.NDArray[np.intp]]:
    """Return the samples of each stretch of one class."""
    return np.split(np.arange(len(labels)), np.flatnonzero(np.diff(labels)) + 1)


def _blocks(stretch: npt.NDArray[np.intp], count: int) -> Sequence[npt.NDArray[np.intp]]:
    """Return equal pieces of a stretch, of each of which every fold takes its part: one, or what its length allows."""
    return np.array_split(stretch, max(1, len(stretch) // (count * BLOCK_ROWS)))


def _are_alike(folds: list[Mask]) -> bool:
    """Return whether no fold has more than twice another's samples, as it has where stretches are too short to be cut."""
    sizes = [int(held.sum()) for held in folds]
    return max(sizes) <= 2 * min(sizes)


def _in_order(groups: list[npt.NDArray[np.intp]], n_pool: int, count: int) -> list[Mask]:
    """Return folds of which each holds the same part of every group of samples; a group is in the pool's order."""
    folds = [np.zeros(n_pool, dtype=bool) for _ in range(count)]
    for group in groups:
        for fold, held in enumerate(folds):
            held[group[len(group) * fold // count : len(group) * (fold + 1) // count]] = True
    return folds


def _have_all_classes(labels: npt.NDArray[np.integer[Any]], parts: list[Mask]) -> bool:
    classes = len(np.unique(labels))
    return all(len(np.unique(labels[part])) == classes for part in parts)


def _widened(held: Mask) -> Mask:
    """Return the held-out rows and those that touch one."""
    wide = held.copy()
    wide[1:] |= held[:-1]
    wide[:-1] |= held[1:]
    return wide


def _cut(pool: artefact.Artefact, rest: Mask, held: Mask, task: str) -> artefact.Artefact:
    tensors: dict[str, artefact.Tensor] = {}
    for part, rows in (("finetune", rest), ("test", held)):
        for name in [name for name in ("finetune_x", _LENGTHS) if name in pool.tensors]:
            tensors[name.replace("finetune", part)] = _rows(pool.need(name), rows)
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
