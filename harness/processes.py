"""Tell processes of this host from all others, and whether one of them has ended.

A number means a process only within one boot (/proc/sys/kernel/random/boot_id) and one namespace of process numbers
(pid_namespaces(7): a container has its own).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tunebench.targets.agent import workdir

_NOT_KNOWN = "unknown"
#: States of proc_pid_stat(5) in which a process runs no more and only its parent has not asked how it ended.
_ENDED_STATES = ("Z", "X", "x")


@dataclass(frozen=True)
class Process:
    """What tells a process from all others: its boot, the namespace of its number, and when it began; None: not told."""

    boot_id: str | None
    pid_ns: str | None
    started_ticks: int | None


def this_process() -> Process:
    """Return what tells this process from all others."""
    boot_id = workdir.boot_id()
    _, started_ticks = _stat(os.getpid())
    return Process(None if boot_id == _NOT_KNOWN else boot_id, _pid_ns(), started_ticks)


def has_ended(pid: int, started_ticks: object = None) -> bool:
    """Tell whether a process of this boot and namespace has ended; False where that is not certain.

    Args:
        pid: its number; one that is in use again counts as alive.
        started_ticks: when it began; it tells an ended one that only waits for its parent.
    """
    try:
        os.kill(pid, 0)  # asks the kernel itself: /proc may hide others' processes (hidepid of proc(5))
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return _only_waits_for_its_parent(pid, started_ticks)


def _only_waits_for_its_parent(pid: int, started_ticks: object) -> bool:
    """Tell whether it is a zombie, as in containers whose first process reaps nobody."""
    state, began_ticks = _stat(pid)
    if state not in _ENDED_STATES or began_ticks is None or began_ticks != started_ticks:
        return False
    try:
        tasks = [task.name for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return tasks == [str(pid)]  # a first thread may end before the others


def _stat(pid: int) -> tuple[str | None, int | None]:
    """Return state and start (ticks since boot) of a process; None where they cannot be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # the name before it may hold anything
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None, None


def _pid_ns() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
