"""What is sent to a board's store: a tar of blobs, each from where an upload that broke off had come to."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunebench.targets.payload import Blob

#: Told during an upload: bytes of blobs that are sent, and of all that are to be.
UploadProgress = Callable[[int, int], None]

#: What is read and sent at a time.
CHUNK_B = 1 << 20
#: Larger uploads are weights, wheels and the like; compressing them costs more than it saves, and needs them in memory.
_MAX_PACKED_B = 32 * 1024 * 1024


@dataclass(frozen=True)
class Rest:
    """A blob and how many of its first bytes the board has."""

    blob: Blob
    held_b: int

    @property
    def size_b(self) -> int:
        """Return how many bytes are to be sent."""
        return self.blob.size_b - self.held_b


@dataclass(frozen=True)
class Upload:
    """Blobs to be sent in one stream."""

    blobs: Sequence[Rest]

    @classmethod
    def of(cls, blobs: Sequence[Blob], held: Mapping[str, Any]) -> Upload:
        """Return the upload of blobs of which a board says what it holds.

        Args:
            blobs: what it lacks.
            held: name -> ``{"size", "sha256"}`` of the first bytes, by the board. Where they are not ours, a blob is sent
                from its beginning.
        """
        return cls([Rest(blob, _held_b(blob, held.get(blob.name))) for blob in blobs])

    @property
    def size_b(self) -> int:
        """Return how many bytes of blobs are to be sent."""
        return sum(rest.size_b for rest in self.blobs)

    def chunks(self) -> Iterator[tuple[bytes, int]]:
        """Yield the stream piece by piece, and how many bytes of blobs have gone with it; memory holds one piece of it.

        Where all of it is small it is one piece, compressed if that pays: on a link of 0.2 MB/s a tenth less is seconds;
        wheels and zips do not shrink.
        """
        if self.size_b > _MAX_PACKED_B:
            yield from self._tar()
            return
        tar = b"".join(chunk for chunk, _ in self._tar())
        packed = gzip.compress(tar, 6, mtime=0)
        yield (packed if len(packed) < 0.95 * len(tar) else tar), self.size_b

    def _tar(self) -> Iterator[tuple[bytes, int]]:
        sent_b = 0
        for rest in self.blobs:
            info = tarfile.TarInfo(rest.blob.name)
            info.size = rest.size_b
            yield info.tobuf(tarfile.PAX_FORMAT), sent_b
            for chunk in rest.blob.chunks(rest.held_b, CHUNK_B):
                sent_b += len(chunk)
                yield chunk, sent_b
            yield bytes(-rest.size_b % tarfile.BLOCKSIZE), sent_b
        yield bytes(2 * tarfile.BLOCKSIZE), sent_b


def _held_b(blob: Blob, held: Any) -> int:
    """Return how many of a blob's first bytes a board has, if they are the blob's."""
    size, sha256 = (held.get("size"), held.get("sha256")) if isinstance(held, dict) else (None, None)
    if type(size) is not int or not 0 < size < blob.size_b:
        return 0
    digest, rest_b = hashlib.sha256(), size
    for chunk in blob.chunks(0, CHUNK_B):
        digest.update(chunk[:rest_b])
        rest_b -= len(chunk)
        if rest_b <= 0:
            break
    return size if digest.hexdigest() == sha256 else 0
