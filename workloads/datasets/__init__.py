"""Data sets with a drift, on the host: arrays for pretraining, fine-tuning and testing.

:data:`DATASETS` is the registry: a new data set is one module as :class:`DatasetModule` describes it, and one line. A
lab's own package adds one without a fork, by an entry point::

    [project.entry-points."tunebench.datasets"]
    my-rooms = "my_lab.rooms"

A module is imported when its data set is first asked for. Each documents its splits and why they do not leak. Files are
taken from a local folder, else from a cache, else - only when asked for - downloaded from their home
(:mod:`tunebench.workloads.datasets.store`). Boards never see this package: they get artefacts
(:mod:`tunebench.workloads.prepare.artefacts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from tunebench.workloads.datasets.errors import DataUnavailable, UnknownDataset

if TYPE_CHECKING:
    from tunebench.workloads.datasets.base import Dataset
    from tunebench.workloads.datasets.fetch import Progress
    from tunebench.workloads.datasets.images import ImageSet
    from tunebench.workloads.datasets.store import Store
    from tunebench.workloads.datasets.texts import TextSet

GROUP = "tunebench.datasets"
#: name in suites -> module of this package, or ``module:object``
DATASETS: Mapping[str, str] = {
    "digits": "digits",
    "fan-damage1": "fan:DAMAGE1",
    "fan-damage2": "fan:DAMAGE2",
    "har-hapt": "har",
    "har-uci": "har_uci",
    "fan-damage1-quiet": "fan:DAMAGE1_QUIET",
    "fan-damage2-quiet": "fan:DAMAGE2_QUIET",
    "mnist": "mnist",
    "mnist-turned": "mnist_turned",
    "mnist-new-classes": "mnist_new_classes",
    "pneumonia": "pneumonia",
    "bccd": "bccd",
    "shapes": "shapes",
    "mnist-64": "enlarged:MNIST",
    "pneumonia-64": "enlarged:PNEUMONIA",
    "bccd-cells": "bccd_cells",
    "mnist-confirm": "confirmation:MNIST",
    "mnist-turned-confirm": "confirmation:MNIST_TURNED",
    "shapes-confirm": "confirmation:SHAPES",
    "spam-mail": "spam_mail:MIXED",
    "spam-mail-later": "spam_mail:LATER",
    "genesis": "genesis",
}


#: texts of a user's own (:mod:`tunebench.workloads.datasets.text_file`), and what their files end in
FILE_PREFIX, FILE_ENDINGS = "file:", (".csv", ".jsonl", ".ndjson", ".txt")


class DatasetModule(Protocol):
    """What a module (or an object) must have to be a data set.

    Attributes:
        REVISION: a number that changes with the arrays: prepared artefacts of another revision are made anew.
        TASK: what its models learn: ``rows`` (the class of a row of numbers), or to ``classify``, ``segment`` or
            ``detect`` images; ``text``: the class of a text; ``language``: each next token of a text.

    A set that pretrains on another's images, to the bit, may name that one in ``START_WEIGHTS``: its networks are taken.
    One that is kept for the end of a study names the set that it confirms in ``CONFIRMS``: nothing is chosen on it.
    """

    REVISION: int
    TASK: str

    def load(self, store: Store, /) -> Dataset | ImageSet | TextSet:
        """Return the arrays; called when artefacts are prepared and none are cached.

        Args:
            store: finds files, downloads them where that is allowed, and keeps what was converted.

        Raises:
            DataUnavailable: which file is missing or damaged, where it comes from, how to place it by hand.
        """
        ...


@cache
def plugins() -> Mapping[str, EntryPoint]:
    """Return the data sets that installed packages declare; a name of ours cannot be taken."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in DATASETS}


def names() -> tuple[str, ...]:
    """Return all names: ours, then those of packages."""
    return (*DATASETS, *sorted(plugins()))


def check_name(name: str) -> str:
    """Return ``name`` if it is a known data set.

    Raises:
        UnknownDataset: names the allowed ones.
    """
    if name.startswith(FILE_PREFIX):
        if not name.endswith(FILE_ENDINGS):
            raise UnknownDataset(f"data set {name!r}: a file of texts ends in {', '.join(FILE_ENDINGS)}")
        return name
    if name not in DATASETS and name not in plugins():
        raise UnknownDataset(
            f"unknown data set {name!r}, use one of: {', '.join(names())}, or file:PATH, texts of your own"
        )
    return name


@cache
def dataset_module(name: str) -> DatasetModule:
    """Import a data set's module.

    Raises:
        UnknownDataset: there is no such data set, or its package cannot be imported.
    """
    if check_name(name).startswith(FILE_PREFIX):
        from tunebench.workloads.datasets.text_file import TextFile

        return cast(DatasetModule, TextFile(Path(name.removeprefix(FILE_PREFIX)).expanduser()))
    if name in DATASETS:
        module, _, attribute = DATASETS[name].partition(":")
        imported = import_module(f"{__name__}.{module}")
        return cast(DatasetModule, getattr(imported, attribute) if attribute else imported)
    point = plugins()[name]
    package = f" of package {point.dist.name}" if point.dist is not None else ""
    where = f"data set {name!r}{package} ({point.value})"
    try:
        loaded = point.load()
    except Exception as error:  # noqa: BLE001 - a package of somebody else's may raise anything
        raise UnknownDataset(f"{where} cannot be imported: {type(error).__name__}: {error}") from None
    missing = [key for key in ("load", "REVISION", "TASK") if not hasattr(loaded, key)]
    if missing:
        raise UnknownDataset(f"{where} lacks {', '.join(missing)}")
    return cast(DatasetModule, loaded)


def start_weights_of(name: str) -> str:
    """Return the data set on whose pretraining part a set's start weights are trained: mostly itself.

    Raises:
        UnknownDataset: as :func:`dataset_module`.
    """
    return str(getattr(dataset_module(name), "START_WEIGHTS", name))


def confirms(name: str) -> str | None:
    """Return the data set that this one confirms, on which nothing may be chosen; None: it is for development, too.

    Raises:
        UnknownDataset: as :func:`dataset_module`.
    """
    confirmed = getattr(dataset_module(name), "CONFIRMS", None)
    return None if confirmed is None else str(confirmed)


def load(
    name: str,
    data_dir: Path | None = None,
    *,
    download: bool = False,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    also: Sequence[Path] = (),
) -> Dataset | ImageSet | TextSet:
    """Load a data set.

    Args:
        name: one of :func:`names`.
        data_dir: folder of local copies; None takes ``TUNEBENCH_DATA``. Digits need none.
        download: whether what is missing may be downloaded from its home.
        cache_dir: downloads and converted files; None takes ``~/.cache/tunebench/datasets``.
        progress: told about downloads and conversions: what, and the share done.
        also: other caches; read only.

    Raises:
        UnknownDataset: names the allowed ones.
        DataUnavailable: which file is missing or damaged, where it comes from, how to place it by hand.
    """
    from tunebench.workloads.datasets.store import Store, default_cache, default_data_dir

    module = dataset_module(name)
    return module.load(
        Store(
            data_dir or default_data_dir(), cache_dir or default_cache(), download, progress, also=tuple(also)
        )
    )


__all__ = [
    "DATASETS",
    "DataUnavailable",
    "DatasetModule",
    "UnknownDataset",
    "check_name",
    "confirms",
    "dataset_module",
    "load",
    "names",
    "start_weights_of",
]
