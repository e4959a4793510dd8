"""Standard streams of a pytest session that measures: output that nobody reads, or that a disk refuses, stops no board.

``pytest ... | head -1`` ends plain pytest with an internal error at whatever line comes next, perhaps before the first
repetition. pytest's terminal, pytest-benchmark's and ``print`` hold the same two objects, so these learn to forgive in
place; with the session they forget it again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TextIO


class ForgivenStream:
    """A stream whose own ``write`` and ``flush`` drop what cannot be written, as long as it is forgiven.

    Attributes:
        failure: the first error, if any.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write, self._flush = stream.write, stream.flush
        self._draining = threading.Lock()
        self.failure: OSError | None = None
        with contextlib.suppress(AttributeError):  # a stream of another make, which has no room for it
            stream.write, stream.flush = self.write, self.flush  # type: ignore[method-assign]

    def write(self, text: str) -> int:
        """Write, or drop what a failing write has left; return the length either way.

        Raises:
            UnicodeEncodeError: pytest's terminal answers it with escapes.
        """
        self._forgiving(lambda: self._write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what cannot be flushed."""
        self._forgiving(self._flush)

    def restore(self) -> None:
        """Give the stream its own methods back, with nothing left in it that would fail at the interpreter's end."""
        self.flush()
        for name in ("write", "flush"):
            with contextlib.suppress(AttributeError):
                delattr(self._stream, name)

    def _forgiving(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            self.failure = self.failure or error
            self._drain()

    def _drain(self) -> None:
        """Empty the stream's buffer, which keeps what could not be written and would fail with it again and again.

        For that moment its descriptor leads to ``/dev/null``; pytest, too, turns descriptors when it captures.
        """
        with self._draining, contextlib.suppress(OSError, ValueError):
            descriptor = self._stream.fileno()
            kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, descriptor)
                self._flush()
            finally:
                os.dup2(kept, descriptor)
                os.close(kept)
                os.close(nowhere)


def open_closed_streams() -> None:
    """Put ``/dev/null`` in the place of standard streams that were closed when the interpreter started (``>&-``).

    pytest's terminal ends with an internal error without one; its capturing gives back what it has found, so this comes
    before it. Their numbers are taken, too: a stream that got another's would be captured with it.
    """
    closed = [name for name in ("stdout", "stderr") if getattr(sys, name) is None]
    while closed and (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    if closed:
        os.close(descriptor)
    for name in closed:
        setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - to the end


def forgive_standard_streams() -> Callable[[], None]:
    """Let standard output and error drop what they cannot write.

    Returns:
        What ends that. It tells on standard error why standard output is not whole, but for a closed pipe: its reader
        has seen enough.
    """
    output, error = ForgivenStream(sys.stdout), ForgivenStream(sys.stderr)

    def restore() -> None:
        output.restore()
        if output.failure is not None and output.failure.errno != errno.EPIPE:
            reason = output.failure.strerror or str(output.failure)
            error.write(f"tunebench: standard output: {reason}; what was to be printed is not whole\n")
        error.restore()

    return restore
