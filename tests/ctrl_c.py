"""Ctrl-C for processes that tests start."""

from __future__ import annotations

import signal


def heed() -> None:
    """Give a child its usual Ctrl-C (``preexec_fn``): a test run in the background ignores SIGINT and passes that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
