"""What a loader returns, and what it raises."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


class DataUnavailable(RuntimeError):
    """A data set's file is missing or damaged; the message says which, where from, and how to place it."""


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


def build(name: str, parts: dict[str, tuple[Any, Any]], meta: dict[str, Any]) -> Dataset:
    """A :class:`Dataset` from parts ``pretrain``, ``finetune``, ``test``; adds sizes to the meta."""
    arrays: dict[str, Any] = {}
    for part, (x, y) in parts.items():
        arrays[part + "_x"] = np.ascontiguousarray(x, dtype=np.float32)
        arrays[part + "_y"] = np.ascontiguousarray(y, dtype=np.int32)
    rows = {part: len(x) for part, (x, _) in parts.items()}
    n_in = int(arrays["pretrain_x"].shape[1])
    n_classes = len(meta["classes"])
    return Dataset(name, **arrays, meta={**meta, "n_in": n_in, "n_classes": n_classes, "rows": rows})


def local_file(name: str, data_dir: Path | None, sha256: str, home: str) -> Path:
    """The verified local copy of a file.

    Raises:
        DataUnavailable: no folder given, file missing, or its SHA-256 differs.
    """
    by_hand = f"{name} comes from {home}; place it in a folder and name that in TUNEBENCH_DATA or data_dir"
    chosen = data_dir or (Path(os.environ["TUNEBENCH_DATA"]) if os.environ.get("TUNEBENCH_DATA") else None)
    if chosen is None:
        raise DataUnavailable(f"no data folder: TUNEBENCH_DATA is not set; {by_hand}")
    path = chosen / name
    if not path.is_file():
        raise DataUnavailable(f"no file {path}; {by_hand}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataUnavailable(
            f"{path} is damaged or another version: SHA-256 {found}, expected {sha256}; {by_hand}"
        )
    return path
