"""Patience with a link, counted from its failure. The board is a stub: no real link breaks on demand that exactly."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from tunebench.harness.board.link import Link
from tunebench.targets.errors import LinkError, UnreachableError


def link_of(patience_s: float) -> Link:
    ssh = SimpleNamespace(alive=True, close=lambda: None)
    return Link(SimpleNamespace(ssh=ssh, reconnect=lambda: None), threading.Event(), patience_s=patience_s)


def test_a_link_that_breaks_late_in_a_long_wait_is_made_anew():
    calls = []

    def wait() -> str:
        calls.append(time.monotonic())
        if len(calls) == 1:
            time.sleep(0.6)  # a repetition lasts longer than a board may be gone
            raise LinkError("reset by peer")
        return "done"

    assert link_of(patience_s=0.5).persist(wait) == "done"


def test_a_link_that_never_comes_back_ends_patience_and_not_before():
    """Power is cycled by how long a board was silent, so the patience that is told must have passed."""

    def fail() -> None:
        raise LinkError("reset by peer")

    begun_s = time.monotonic()
    with pytest.raises(UnreachableError, match=r"did not come back within 0\.7 s: reset by peer"):
        link_of(patience_s=0.7).persist(fail)
    assert 0.7 <= time.monotonic() - begun_s < 20
