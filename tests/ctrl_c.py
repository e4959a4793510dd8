"""Ctrl-C for tests and for processes that they start."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator


def heed() -> None:
    """Give a child its usual Ctrl-C (``preexec_fn``): a test run in the background ignores SIGINT and passes that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Give this process, in its main thread, its usual Ctrl-C as long as the context is open."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
