"""Zip and tar.bz2 archives of strangers, read safely: nothing is ever unpacked to a path that the archive names.

Refused: members that point outside (absolute, ``..``, drive letters, backslashes), links, more bytes or members
than allowed, encryption, a wrong checksum, a file cut short.
"""

from __future__ import annotations

import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

MAX_MEMBERS = 20_000
COPY_B = 1 << 20

#: what zipfile raises for a file that is cut short, altered or packed in a way it does not know
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError)


class ArchiveError(ValueError):
    """The archive cannot be used; the message says why."""


@contextmanager
def opened(file: Path | IO[bytes], max_unpacked_b: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose table of contents is harmless.

    Raises:
        ArchiveError: no zip, cut short, members that point outside, or too much in it; also while the body
            reads members.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive, max_unpacked_b)
            yield archive
    except BROKEN as error:
        raise ArchiveError(f"not a sound zip archive: {error or type(error).__name__}") from error


def check(path: Path, max_unpacked_b: int) -> None:
    """Read every member once and compare its checksum (of tar.bz2: that of each compressed block).

    Raises:
        ArchiveError: says what is wrong.
    """
    if _is_bzip2(path):
        for _ in tar_files(path, max_unpacked_b):
            pass
        return
    with opened(path, max_unpacked_b) as archive:
        broken = archive.testzip()
        if broken is not None:
            raise ArchiveError(f"member {broken!r} has a wrong checksum")


def tar_files(path: Path, max_unpacked_b: int) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of a tar.bz2, in its order.

    Raises:
        ArchiveError: no tar.bz2, cut short, links, members that point outside, or too much in it.
    """
    total_b = 0
    try:
        with tarfile.open(path, "r:bz2") as archive:
            for number, item in enumerate(archive, 1):
                if number > MAX_MEMBERS:
                    raise ArchiveError(f"it holds more than {MAX_MEMBERS} members")
                total_b += item.size
                if total_b > max_unpacked_b:
                    raise ArchiveError(
                        f"it unpacks to more than the {max_unpacked_b} bytes that are accepted"
                    )
                if _points_outside(item.name) or not (item.isfile() or item.isdir()):
                    raise ArchiveError(f"member {item.name!r} points outside the archive, or is no file")
                content = archive.extractfile(item)
                if content is not None:
                    yield item.name, content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"not a sound tar.bz2 archive: {error or type(error).__name__}") from error


def _is_bzip2(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(3) == b"BZh"
    except OSError as error:
        raise ArchiveError(f"cannot be read: {error}") from error


def member(archive: zipfile.ZipFile, ending: str) -> zipfile.ZipInfo | None:
    """Return the one member whose path is ``ending`` or ends with ``/ending``; None if there is none.

    Raises:
        ArchiveError: two fit.
    """
    members = [
        item
        for item in archive.infolist()
        if not item.is_dir() and not is_mac_note(item.filename) and f"/{item.filename}".endswith(f"/{ending}")
    ]
    if len(members) > 1:
        raise ArchiveError(
            f"two members could be {ending!r}: {members[0].filename!r}, {members[1].filename!r}"
        )
    return members[0] if members else None


def is_mac_note(name: str) -> bool:
    """Return whether a member is one of the resource forks that macOS adds beside the files."""
    path = PurePosixPath(name)
    return "__MACOSX" in path.parts or path.name.startswith("._") or path.name == ".DS_Store"


@contextmanager
def nested(archive: zipfile.ZipFile, item: zipfile.ZipInfo, max_unpacked_b: int) -> Iterator[zipfile.ZipFile]:
    """Open an archive inside an archive, by way of an unnamed temporary file."""
    with tempfile.TemporaryFile() as copy:
        with archive.open(item) as inner:
            while chunk := inner.read(COPY_B):
                copy.write(chunk)
        copy.seek(0)
        with opened(copy, max_unpacked_b) as file:
            yield file


def _check_members(archive: zipfile.ZipFile, max_unpacked_b: int) -> None:
    items = archive.infolist()
    if len(items) > MAX_MEMBERS:
        raise ArchiveError(f"it holds {len(items)} members, at most {MAX_MEMBERS} are accepted")
    # zipfile hands out at most the declared size of a member, so the sum bounds what can be read
    total_b = sum(item.file_size for item in items)
    if total_b > max_unpacked_b:
        raise ArchiveError(f"it unpacks to {total_b} bytes, at most {max_unpacked_b} are accepted")
    for item in items:
        if _points_outside(item.filename) or stat.S_ISLNK(item.external_attr >> 16):
            raise ArchiveError(f"member {item.filename!r} points outside the archive")
        if item.flag_bits & 1:
            raise ArchiveError(f"member {item.filename!r} is encrypted")


def _points_outside(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
