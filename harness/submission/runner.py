"""The process of a submission: ``python -m tunebench.harness.submission.runner FOLDER [LOCK]``.

It holds the submission's lock, runs ``tunebench run --json``, and writes down how that ended. LOCK is the descriptor of
the lock where whoever started this process has taken it already.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tunebench.harness.submission.submission import ASKED, ENDED, LOCK, LOG, PRINTED
from tunebench.targets.agent import workdir


def main(folder: Path, lock: int | None) -> None:
    """Run what was asked to its end; a request to end (SIGTERM) is the run's Ctrl-C, so that boards are freed."""
    if lock is None:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, False)
    asked = (workdir.read_json(str(folder / ASKED)) or {}).get("words") or []
    words = ("run", "--json", *map(str, asked))
    # A shell that starts something in the background lets it ignore Ctrl-C, and what it starts, too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with (folder / LOG).open("ab") as log, (folder / PRINTED).open("wb") as printed:
        run = subprocess.Popen(
            (sys.executable, "-m", "tunebench", *words),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=log,
        )

        def end(_number: int, _frame: FrameType | None) -> None:
            run.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = run.wait()
    ended_utc = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    # A run that a signal has killed says nothing of what it measured.
    workdir.write_json(
        str(folder / ENDED),
        {"code": code if code >= 0 else None, "signal": -code if code < 0 else None, "ended_utc": ended_utc},
        True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
