"""Keep what was built for boards, by its SHA-256, so that an old build can be run again beside a new one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from tunebench.harness.account import cache_place, cache_places
from tunebench.targets.payload import Blob

#: Roles of blobs that are built here; data and start weights have a cache of their own.
BUILT = ("payload", "own", "native")


def default_folder() -> Path:
    """Return ``~/.cache/tunebench/built``, or what :func:`tunebench.harness.account.cache_place` puts in its place.

    It may be deleted; then an old build that no board has any more cannot be the pinned build of a confirmation.
    """
    return cache_place("built")


def keep(blobs: Iterable[Blob], folder: Path | None = None) -> None:
    """Write built blobs that are not there yet, each in one step: a file is whole or not there."""
    folder = folder or default_folder()
    for blob in blobs:
        path = folder / blob.name
        if blob.role not in BUILT or path.exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{blob.name}.{os.getpid()}.part")
        part.write_bytes(blob.data if blob.data is not None else _content(blob))
        part.replace(path)


def _content(blob: Blob) -> bytes:
    if blob.path is None:
        raise ValueError(f"blob {blob.name}: neither data nor path")
    return blob.path.read_bytes()


def kept(sha256: str, suffix: str, role: str, folder: Path | None = None) -> Blob | None:
    """Return a blob that was kept, once its SHA-256 is verified; None if it is gone or damaged."""
    for place in [folder] if folder else [default_folder(), *cache_places("built")]:
        path = place / f"{sha256}{suffix}"
        if path.is_file():
            blob = Blob.of_file(path, suffix, role)
            if blob.sha256 == sha256:
                return blob
    return None
