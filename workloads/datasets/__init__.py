"""Data sets with a drift, on the host: arrays for pretraining, fine-tuning and testing.

Each loader documents its splits and why they do not leak. Boards never see this package: they get artefacts
(:mod:`workloads.prepare`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workloads.datasets import digits, fan, har
from workloads.datasets.base import Dataset, DataUnavailable

#: name -> loader (data_dir) -> Dataset
DATASETS: dict[str, Callable[[Path | None], Dataset]] = {
    "digits": digits.load,
    "fan-damage1": fan.load_damage1,
    "fan-damage2": fan.load_damage2,
    "har-hapt": har.load,
}


class UnknownDataset(ValueError):
    """A data set name that is not in :data:`DATASETS`."""


def check_name(name: str) -> str:
    """Return ``name`` if it is a known data set.

    Raises:
        UnknownDataset: names the allowed ones.
    """
    if name not in DATASETS:
        raise UnknownDataset(f"unknown data set {name!r}, use one of: {', '.join(DATASETS)}")
    return name


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set.

    Args:
        name: one of :data:`DATASETS`.
        data_dir: folder of local copies; None takes ``TUNEBENCH_DATA``. Digits need none.

    Raises:
        UnknownDataset: names the allowed ones.
        DataUnavailable: which file is missing or damaged, where it comes from, how to place it by hand.
    """
    return DATASETS[check_name(name)](data_dir)


__all__ = ["DATASETS", "DataUnavailable", "Dataset", "UnknownDataset", "check_name", "load"]
