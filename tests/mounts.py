"""Disks and accounts as containers have them, for real: a command in a mount namespace of its own (unshare(1)).

What is mounted there is seen by that command alone, and is gone with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def read_only(folder: Path) -> str:
    """Return the line that makes a folder a disk that cannot be written."""
    name = shlex.quote(str(folder))
    return f"mount --bind {name} {name} && mount -o remount,bind,ro {name}"


def read_only_root(but: Path) -> str:
    """Return the line that makes everything but one folder a disk that cannot be written, as Kubernetes can."""
    name = shlex.quote(str(but))
    return f"mount --bind {name} {name} && cd {name} && mount -o remount,bind,ro /"


def small_disk(folder: Path, size_kib: int) -> str:
    """Return the line that puts an empty disk of that size in a folder's place."""
    return f"mount -t tmpfs -o size={size_kib}k tmpfs {shlex.quote(str(folder))}"


def nameless(folder: Path) -> str:
    """Return the line after which no account has a name: as under ``docker run --user 12345``."""
    table, switch = folder / "nobody-at-all", folder / "files-alone"
    table.write_text("")
    switch.write_text("passwd: files\ngroup: files\nhosts: files\n")  # nss-systemd makes up a root
    binds = {table: "/etc/passwd", switch: "/etc/nsswitch.conf"}
    return " && ".join(f"mount --bind {shlex.quote(str(ours))} {theirs}" for ours, theirs in binds.items())


def within(lines: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return the command as it is started in a namespace in which these lines have been run; skips without unshare."""
    words = [
        "unshare",
        *([] if os.geteuid() == 0 else ["--map-root-user"]),
        "--mount",
        "--propagation",
        "private",
    ]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*words, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no mount namespaces here (unshare)")
    return [*words, "sh", "-c", " && ".join([*lines, 'exec "$@"']), "sh", *command]
