"""Write files that survive a crash (write, fsync, rename, fsync the folder), pack and unpack them."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import urllib.parse
import zlib
from pathlib import Path

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_CHUNK_B = 1 << 20

#: A side file (trace, log, predictions) may unpack to this much; more is refused, not read.
MAX_UNPACKED_B = 256 * 1024 * 1024


def write_durable(path: Path, data: bytes) -> None:
    """Write a file so that after a power cut it is either complete or does not exist under this name."""
    make_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable (a rename is safe only after this)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents durable, so that a power cut loses neither the folder nor its contents."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.parent)


def sync_upwards(path: Path) -> None:
    """Make the names of a folder and of all folders above it durable, even if another process made them."""
    for folder in path.resolve().parents:
        try:
            sync_folder(folder)
        except PermissionError:
            return  # not ours to read, so none of ours was made in it


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_B):
            digest.update(chunk)
    return digest.hexdigest()


def pack(data: bytes) -> bytes:
    """Compress with gzip, without a time stamp: equal content gives equal bytes."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def unpack(data: bytes, *, limit_b: int = MAX_UNPACKED_B) -> bytes:
    """Undo :func:`pack`, reading at most ``limit_b`` bytes.

    Raises:
        ValueError: the data is not gzip, is cut short, or unpacks to more than the limit.
    """
    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, limit_b + 1)
    except zlib.error as error:
        raise ValueError(f"not readable as gzip: {error}") from None
    if len(plain) > limit_b:
        raise ValueError(f"unpacks to more than {limit_b} bytes")
    if not inflater.eof:
        raise ValueError("cut short: the gzip stream has no end")
    return plain


def is_safe_name(name: str) -> bool:
    """Return whether a name can be used as a file name without a change."""
    return _SAFE_NAME.match(name) is not None


def file_name(name: str) -> str:
    """Return a file name for any text: percent-encoded, and shortened by its hash if long.

    >>> file_name("pi5-01"), file_name("../x")
    ('pi5-01', '%2E%2E%2Fx')
    """
    quoted = name if is_safe_name(name) else urllib.parse.quote(name, safe="-_").replace(".", "%2E")
    if len(quoted) <= 120:
        return quoted
    return quoted[:80] + "-" + hashlib.sha256(name.encode()).hexdigest()[:16]
