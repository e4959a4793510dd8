"""Start a run that outlives whoever asked for it, and tell later what became of it.

A submission is a folder below the results root: what was asked, its log, what ``run --json`` printed, and at its end the
exit code. Whether it still runs is told by a lock on a file that its process holds and the kernel gives back, however it
ends. There is no daemon: where systemd serves the account (``systemd-run --user``) a transient unit holds it, elsewhere a
process in a session of its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tunebench.harness.errors import HarnessError
from tunebench.targets.agent import workdir
from tunebench.targets.agent.linux.detached import is_held

FOLDER = ".submitted"
SCHEMA = "tunebench.submission/1"
ASKED, LOCK, LOG, PRINTED, ENDED = "submission.json", "lock", "log.txt", "run.json", "ended.json"
State = Literal["running", "ended", "killed"]
#: By these, runners of CI find what a job has left behind, and kill it: this is meant to stay.
_LEASHES = ("RUNNER_TRACKING_ID", "JENKINS_NODE_COOKIE", "JENKINS_SERVER_COOKIE", "HUDSON_COOKIE")
_UNIT_S = 20.0


@dataclass(frozen=True)
class Submission:
    """What became of a submission.

    Attributes:
        folder: its own.
        words: of the command, without the program.
        held_by: the systemd unit, or None for a process in a session of its own.
        code: exit code of the run; None until it has ended.
        printed: what ``run --json`` printed; empty until it has ended.
    """

    folder: Path
    id: str
    state: State
    words: tuple[str, ...]
    since_utc: str
    held_by: str | None
    code: int | None
    printed: dict[str, Any]

    @property
    def log(self) -> Path:
        """Return the file with what the run told."""
        return self.folder / LOG


def submit(out: Path, words: Sequence[str]) -> Submission:
    """Start ``tunebench run`` with these words, detached; return at once.

    Raises:
        HarnessError: it could not be started.
    """
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder = out.resolve() / FOLDER / name
    unit = f"tunebench-{name}" if _systemd_serves() else None
    try:
        folder.mkdir(parents=True)
        workdir.write_json(
            str(folder / ASKED),
            {
                "schema": SCHEMA,
                "words": list(words),
                "since_utc": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                "unit": unit,
            },
        )
        # Held from here: nobody may take it for killed before its process has it.
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HarnessError(f"{folder}: cannot be written: {error.strerror or error}") from None
    command = [sys.executable, "-m", "tunebench.harness.submission.runner", str(folder)]
    try:
        if unit is None:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.Popen(
                [*command, str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
                pass_fds=[lock],
            )
        else:
            _start_unit(unit, command)
            _wait_until_held(folder / LOCK)
    finally:
        os.close(lock)
    return read(folder)


def submissions(out: Path) -> list[Path]:
    """Return the submissions below a results root, the newest first."""
    return sorted((out / FOLDER).glob(f"*/{ASKED}"), key=lambda path: path.parent.name, reverse=True)


def read(folder: Path) -> Submission:
    """Return what became of a submission.

    Raises:
        HarnessError: it is none, or cannot be read.
    """
    asked = workdir.read_json(str(folder / ASKED))
    if asked is None or asked.get("schema") != SCHEMA:
        raise HarnessError(f"{folder}: holds no submission of this version")
    # The lock first: a run that ends between the two looks has ended, and was not killed.
    held = is_held(str(folder / LOCK))
    ended = workdir.read_json(str(folder / ENDED))
    state: State = "ended" if ended is not None else "running" if held else "killed"
    code = (ended or {}).get("code")
    return Submission(
        folder=folder,
        id=folder.name,
        state=state,
        words=tuple(map(str, asked.get("words") or ())),
        since_utc=str(asked.get("since_utc")),
        held_by=asked.get("unit"),
        code=code if isinstance(code, int) else None,
        printed=_printed(folder) if ended is not None else {},
    )


def _printed(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / PRINTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _LEASHES}


def _systemd_serves() -> bool:
    """Tell whether the account has a systemd manager that starts units."""
    if shutil.which("systemd-run") is None or shutil.which("systemctl") is None:
        return False
    try:
        asked = subprocess.run(
            ["systemctl", "--user", "show-environment"], capture_output=True, timeout=_UNIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def _wait_until_held(lock: Path) -> None:
    """Wait until the unit's process has its lock: before, it would look killed.

    Raises:
        HarnessError: it does not come.
    """
    give_up_s = time.monotonic() + _UNIT_S
    while not is_held(str(lock)) and not (lock.parent / ENDED).exists():
        if time.monotonic() > give_up_s:
            raise HarnessError(f"{lock.parent}: systemd started a unit, but its process does not run")
        time.sleep(0.05)


def _start_unit(unit: str, command: Sequence[str]) -> None:
    """Start a transient unit; it ends with its process, and is forgotten then.

    Raises:
        HarnessError: systemd refuses it.
    """
    passed = [f"--setenv={name}={value}" for name, value in _environment().items() if "\n" not in value]
    words = [
        "systemd-run",
        "--user",
        "--collect",
        "--quiet",
        f"--unit={unit}",
        f"--working-directory={Path.cwd()}",
    ]
    started = subprocess.run(
        [*words, *passed, "--", *command], capture_output=True, text=True, timeout=_UNIT_S, check=False
    )
    if started.returncode:
        raise HarnessError(f"systemd-run: {' '.join(started.stderr.split())[:300]}")
