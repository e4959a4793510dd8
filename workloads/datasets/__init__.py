"""Data sets with a drift, on the host: arrays for pretraining, fine-tuning and testing.

Each loader documents its splits and why they do not leak. Files are taken from a local folder, else from a
cache, else - only when asked for - downloaded from their home (:mod:`tunebench.workloads.datasets.store`). Boards never
see this package: they get artefacts (:mod:`tunebench.workloads.prepare.artefacts`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tunebench.workloads.datasets import bccd, digits, fan, har, har_uci, mnist, pneumonia, shapes
from tunebench.workloads.datasets.base import Dataset, DataUnavailable
from tunebench.workloads.datasets.fetch import Progress
from tunebench.workloads.datasets.images import ImageSet
from tunebench.workloads.datasets.store import Store, default_cache, default_data_dir

#: name -> loader (store) -> Dataset, or ImageSet for networks with branches
DATASETS: dict[str, Callable[[Store], Dataset | ImageSet]] = {
    "digits": digits.load,
    "fan-damage1": fan.load_damage1,
    "fan-damage2": fan.load_damage2,
    "har-hapt": har.load,
    "har-uci": har_uci.load,
    "mnist": mnist.load,
    "pneumonia": pneumonia.load,
    "bccd": bccd.load,
    "shapes": shapes.load,
}
#: image sets -> what is to be done with them
IMAGE_SETS = {"mnist": "classify", "pneumonia": "classify", "bccd": "detect", "shapes": "segment"}


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


def load(
    name: str,
    data_dir: Path | None = None,
    *,
    download: bool = False,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Dataset | ImageSet:
    """Load a data set.

    Args:
        name: one of :data:`DATASETS`.
        data_dir: folder of local copies; None takes ``TUNEBENCH_DATA``. Digits need none.
        download: whether what is missing may be downloaded from its home.
        cache_dir: downloads and converted files; None takes ``~/.cache/tunebench/datasets``.
        progress: told about downloads and conversions: what, and the share done.

    Raises:
        UnknownDataset: names the allowed ones.
        DataUnavailable: which file is missing or damaged, where it comes from, how to place it by hand.
    """
    store = Store(data_dir or default_data_dir(), cache_dir or default_cache(), download, progress)
    return DATASETS[check_name(name)](store)


__all__ = [
    "DATASETS",
    "IMAGE_SETS",
    "DataUnavailable",
    "Dataset",
    "ImageSet",
    "UnknownDataset",
    "check_name",
    "load",
]
