"""Ctrl-C for processes that tests start."""

from __future__ import annotations

import signal


def heed() -> None:
    """For ``preexec_fn``: a test run that was started in the background has SIGINT ignored, and hands that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
