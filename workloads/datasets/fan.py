"""Cooling-fan vibration spectra (Sunaga, Kondo, Matsutani, IEEE Micro 43(6):66-73, 2023).

Classes stop / normal / damaged. A set is one normal and one damaged recording of 235 rows each: pretrain
``silentA_1``, fine-tune ``noisy_1``, test ``noisy_2`` - different recordings, so nothing leaks. Class stop is
the 0 rpm rows of both. Inputs: bins 1..256 (1 Hz each). The splits are ours: the data's home defines none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from workloads.datasets.base import Dataset, build, local_file

FILE = "fan12_hmlo.npz"
SHA256 = "e8e62086f77403f0810d32254af51cba9e8a0eb066a97054102ed4e3654e1461"
HOME = "https://github.com/matutani/cooling-fan (commit fcd19b7, 12cm_hmlo_*.zip, converted to one .npz)"
REVISION = 1
INPUTS = slice(1, 257)
STOPPED = 3  # code of 0 rpm in the speed arrays

META: dict[str, Any] = {
    "classes": ["stop", "normal", "damaged"],
    "source": HOME,
    "licence": "no licence file, so not redistributed; "
    "cite Sunaga, Kondo, Matsutani, IEEE Micro 43(6):66-73, 2023",
    "drift": "a silent room while pretraining, a noisy one while fine-tuning and testing",
    "splits": "by recording: pretrain silentA_1, fine-tune noisy_1, test noisy_2",
    "revision": REVISION,
}


def load_damage1(data_dir: Path | None = None) -> Dataset:
    """The set with the recordings called ``damage1`` at their home (``fan-damage1``)."""
    return _load("damage1", data_dir)


def load_damage2(data_dir: Path | None = None) -> Dataset:
    """The set with the recordings called ``damage2`` at their home (``fan-damage2``)."""
    return _load("damage2", data_dir)


def _load(damage: str, data_dir: Path | None) -> Dataset:
    path = local_file(FILE, data_dir, SHA256, HOME)
    with np.load(path, allow_pickle=False) as file:
        parts = {
            "pretrain": _recordings(file, damage, "silentA_1"),
            "finetune": _recordings(file, damage, "noisy_1"),
            "test": _recordings(file, damage, "noisy_2"),
        }
    return build(f"fan-{damage}", parts, {**META, "title": f"cooling fan, {damage}"})


def _recordings(file: Any, damage: str, part: str) -> tuple[Any, Any]:
    """One normal and one damaged recording: 470 rows of 256 bins, labels 0 stop, 1 normal, 2 damaged."""
    inputs, labels = [], []
    for label, state in ((1, "normal"), (2, damage)):
        name = f"12cm_hmlo_{state}_{part}"
        inputs.append(file[name][:, INPUTS])
        labels.append(np.where(file[name + "__speed"] == STOPPED, 0, label))
    return np.concatenate(inputs), np.concatenate(labels)
