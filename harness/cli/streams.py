"""Standard streams that may fail: output that nobody reads, or that a full disk refuses, is no reason to stop.

A campaign of hours must not end because ``| head -1`` has seen enough, because a log collector died, because the disk
under a log is full, or because a terminal's character set has no arrow. So each write that fails is dropped and
remembered, and a character that the stream's encoding lacks is written as its escape. The results are on disk.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

_STANDARD = (0, 1, 2)


class DroppingWriter(io.RawIOBase):
    """A file descriptor whose writes never fail: what cannot be written is dropped.

    Attributes:
        failure: the first error, if any.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: object) -> int:
        """Write all of ``data``, or drop what is left of it; return its length either way."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        at = 0
        while at < len(view):
            try:
                at += os.write(self._descriptor, view[at:])
            except OSError as error:
                self.failure = self.failure or error
                break
        return len(view)


class AsciiText(io.TextIOWrapper):
    """Text in ASCII alone. Click takes a stream of that encoding for a mistake, and writes UTF-8 into its ``buffer``
    (``_stream_is_misconfigured``); so it has none to show.
    """

    @property
    def buffer(self) -> Any:
        raise AttributeError("buffer")


class Streams:
    """Standard output and error of this process, made so that they cannot stop it."""

    def __init__(self) -> None:
        fill_standard_descriptors()
        self._writers: dict[str, DroppingWriter] = {}
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:  # it was closed when the interpreter started
                stream = open(_STANDARD[1 if name == "stdout" else 2], "w", closefd=False)  # noqa: SIM115
            replaced = self._replaced(name, stream)
            if replaced is not None:
                setattr(sys, name, replaced)

    def _replaced(self, name: str, stream: TextIO) -> TextIO | None:
        """Return what takes a stream's place; None for one without a file descriptor (a test's, a notebook's)."""
        try:
            descriptor = stream.fileno()
            stream.flush()
        except (OSError, ValueError):
            return None
        writer = self._writers[name] = DroppingWriter(descriptor)
        ascii_alone = codecs.lookup(stream.encoding).name == "ascii"
        return (AsciiText if ascii_alone else io.TextIOWrapper)(
            io.BufferedWriter(writer),
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=bool(stream.line_buffering) or name == "stderr",
        )

    def lost(self) -> str | None:
        """Return why standard output is not whole; None if it is, or if its reader had seen enough (a closed pipe)."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        writer = self._writers.get("stdout")
        if writer is None or writer.failure is None or writer.failure.errno == errno.EPIPE:
            return None
        return writer.failure.strerror or str(writer.failure)


def fill_standard_descriptors() -> None:
    """Open ``/dev/null`` where a standard stream is closed (``>&-``): else the next file opened, say the results, would
    get its number, and what any library or child prints would land there.
    """
    for descriptor in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)
