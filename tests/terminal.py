"""Run a command at a pseudo-terminal and answer its questions; it cannot hang: every wait is bounded."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import warm

BOUND_S = 60.0
#: How a question ends: a default in brackets.
ASKED = b"]: "


def at_a_terminal(
    words: Sequence[str], answers: Sequence[bytes], cwd: Path, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a command, give each answer when a question is there; return its exit code and all that was shown."""
    master, slave = pty.openpty()
    process = warm.Popen(
        list(words), stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=env or dict(os.environ), start_new_session=True
    )  # fmt: skip
    os.close(slave)
    shown, left, give_up_s, seen = b"", list(answers), time.monotonic() + BOUND_S, 0
    try:
        while time.monotonic() < give_up_s:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    shown += os.read(master, 4096)
                except OSError:  # the other end is closed
                    break
            if left and ASKED in shown[seen:]:
                seen = len(shown)
                os.write(master, left.pop(0))
        return process.wait(timeout=10), shown.decode()
    finally:
        process.kill()
        os.close(master)
