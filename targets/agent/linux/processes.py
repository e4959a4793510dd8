"""The processes of a job, found by what cannot be lost: the job's folder in their environment.

A process that left its group or session is still found, and a reused process id is not mistaken.
"""

import ctypes
import os
import signal
import time
from typing import Any, Callable, List

JOB_VARIABLE = "TUNEBENCH_JOB"
#: prctl(2)
_PR_SET_PDEATHSIG = 1


def expanded(argv: List[str]) -> List[str]:
    """Return ``argv`` with a leading ``~`` of the program expanded: nothing here goes through a shell."""
    return [os.path.expanduser(argv[0])] + list(argv[1:])


def of_job(job_dir: str, proc: str = "/proc") -> List[int]:
    """Return ids of all live processes that were started for the job, but for this one."""
    wanted = ("%s=%s" % (JOB_VARIABLE, job_dir)).encode()
    pids = []
    for name in os.listdir(proc):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(os.path.join(proc, name, "environ"), "rb") as file:
                environment = file.read()
        except OSError:
            continue  # another user's, or just gone
        if wanted in environment.split(b"\0"):
            pids.append(int(name))
    return pids


def dying_with_parent() -> Callable[[], None]:
    """Return what lets a child, between fork and exec, die with its parent; all that could fail is loaded before."""
    try:
        prctl: Any = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return lambda: None
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_all(job_dir: str, timeout_s: float = 5.0) -> int:
    """Kill a job's processes until none is left, for ``timeout_s`` at most; return how many are still there."""
    deadline = time.monotonic() + timeout_s
    while True:
        left = of_job(job_dir)
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if not left or time.monotonic() > deadline:
            return len(left)
        time.sleep(0.01)
