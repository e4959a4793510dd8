"""Where data files lie: a local copy first, then the cache, then (only when asked for) a download.

Hashes are pinned where the bytes were really fetched once. An unknown hash is recorded in
``<cache>/<file name>.json`` when the file is first used, and every later use is compared with it. Files are
converted once; the converted arrays lie in the cache under the source's hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tunebench.workloads.datasets import archive
from tunebench.workloads.datasets.base import DataUnavailable
from tunebench.workloads.datasets.fetch import Limits, Progress, Source, fetch

RECORD_SCHEMA = "tunebench.fetched/1"
#: The command that fetches; whoever knows the suite names it (``-s``).
FETCH_COMMAND = "tunebench prepare --download"
FETCH_HINT = f"; or let it be fetched: `{FETCH_COMMAND}`"

Arrays = dict[str, npt.NDArray[Any]]


class StoredFile(NamedTuple):
    """A file whose hash is the pinned or the recorded one."""

    path: Path
    sha256: str


def default_cache() -> Path:
    """Return the default cache folder, ``~/.cache/tunebench/datasets``."""
    return Path.home() / ".cache" / "tunebench" / "datasets"


def default_data_dir() -> Path | None:
    """Return the folder that TUNEBENCH_DATA names; None if it names none."""
    named = os.environ.get("TUNEBENCH_DATA")
    return Path(named) if named else None


@dataclass(frozen=True)
class Store:
    """The places of data files.

    Attributes:
        data_dir: local copies, never written to; default TUNEBENCH_DATA.
        cache_dir: downloads, records of hashes and converted files; made when first written to.
        also: other folders like ``cache_dir``, read and never written to.
        download: whether what is missing may be downloaded.
        progress: told about downloads and conversions.
        limits: bounds of a download.
    """

    data_dir: Path | None = field(default_factory=default_data_dir)
    cache_dir: Path = field(default_factory=default_cache)
    download: bool = False
    progress: Progress | None = None
    limits: Limits = field(default_factory=Limits)
    also: tuple[Path, ...] = ()

    def find(self, source: Source) -> StoredFile | None:
        """Return the local or cached copy; None if there is none.

        Raises:
            DataUnavailable: it is there and damaged, or another version than pinned or recorded.
        """
        for folder in (self.data_dir, self.cache_dir, *self.also):
            for name in (source.name, *source.also):
                if folder is not None and (folder / name).is_file():
                    return StoredFile(folder / name, self._verify(folder / name, name, source))
        return None

    def obtain(self, source: Source) -> StoredFile:
        """Return the local or cached copy, or download the file if that is allowed.

        Raises:
            DataUnavailable: says which file, where it comes from and how to place it.
        """
        file = self.find(source)
        if file is not None:
            return file
        if not self.download or source.url is None:
            raise self.missing(source)
        hashes: list[str] = []
        path = fetch(
            source,
            self.cache_dir,
            accept=lambda part: hashes.append(self._verify(part, source.name, source)),
            progress=self.progress,
            limits=self.limits,
        )
        # no hash: another process put the file there between our look and our download
        return StoredFile(path, hashes[0] if hashes else self._verify(path, source.name, source))

    def missing(self, source: Source, *, fetchable: bool | None = None) -> DataUnavailable:
        """Return the error for a file that is not there; ``fetchable`` overrides whether it can be downloaded."""
        where = "no data folder: TUNEBENCH_DATA is not set"
        if self.data_dir is not None:
            where = f"no file {self.data_dir / source.name}"
        downloadable = source.url is not None if fetchable is None else fetchable
        return DataUnavailable(f"{where}; {source.by_hand()}{FETCH_HINT if downloadable else ''}")

    def converted(self, key: str, make: Callable[[], Mapping[str, npt.NDArray[Any]]]) -> Arrays:
        """Return the arrays of a converted file: from the cache, or else converted now and kept there.

        Args:
            key: name of the file; must change with the source's hash and the conversion's revision.
            make: converts.

        Raises:
            DataUnavailable: the cache cannot be written.
        """
        for folder in (self.cache_dir, *self.also):
            kept = _read_arrays(folder / f"{key}.npz")
            if kept is not None:
                return kept
        arrays = dict(make())
        path = self.cache_dir / f"{key}.npz"
        self._write(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        return arrays

    def _verify(self, path: Path, name: str, source: Source) -> str:
        """Return the file's SHA-256, which equals the pinned or recorded one.

        An unknown hash is recorded, if the file is a sound archive.
        """
        sha256 = _sha256(path)
        if source.sha256 is not None:
            if sha256 != source.sha256:
                raise source.damaged(path, f"SHA-256 {sha256}, expected {source.sha256}")
            return sha256
        records = [folder / f"{name}.json" for folder in (self.cache_dir, *self.also)]
        record = next((path for path in records if path.is_file()), records[0])
        recorded = self._recorded(record)
        if recorded is None:
            try:
                archive.check(path, source.max_unpacked_b)
            except archive.ArchiveError as error:
                raise source.damaged(path, error) from error
            self._record(record, source, sha256, path.stat().st_size)
        elif recorded != sha256:
            raise source.damaged(
                path,
                f"SHA-256 {sha256}, but {recorded} was recorded at first use in {record} "
                "(if the change is meant, remove that record)",
            )
        return sha256

    def _recorded(self, record: Path) -> str | None:
        if not record.is_file():
            return None
        try:
            return str(json.loads(record.read_text(encoding="utf-8"))["sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataUnavailable(
                f"the record of a hash is damaged: {record} ({error!r}); remove it to record the file anew"
            ) from error

    def _record(self, record: Path, source: Source, sha256: str, size_b: int) -> None:
        facts = {"schema": RECORD_SCHEMA, "url": source.url, "sha256": sha256, "size_b": size_b}
        self._write(record, lambda file: file.write(json.dumps(facts, indent=1).encode()))

    def _write(self, path: Path, fill: Callable[[Any], object]) -> None:
        """Write a file of the cache so that it is there whole or not at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                part = Path(file.name)
                try:
                    fill(file)
                    file.close()
                    part.replace(path)
                finally:
                    part.unlink(missing_ok=True)
        except OSError as error:
            raise DataUnavailable(f"cannot write the cache of data sets: {path}: {error}") from error


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataUnavailable(f"cannot read {path}: {error}") from error


def _read_arrays(path: Path) -> Arrays | None:
    """Read a converted file; None if it is not there or damaged (it is then made again)."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
