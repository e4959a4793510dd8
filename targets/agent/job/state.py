"""Tell a job's state from its folder: running, ended, lost; and wait for its end."""

import fcntl
import os
import signal
from typing import Any, List

from tunebench.targets.agent.linux import detached
from tunebench.targets.agent.workdir import Workdir

LOCK = "supervisor.lock"
EXIT = "exit.json"


def state(job_dir: str) -> str:
    """Return ``done``, ``running``, ``lost`` (no exit record and no supervisor) or ``unknown`` (no such job)."""
    if not os.path.isdir(job_dir):
        return "unknown"
    if os.path.exists(os.path.join(job_dir, EXIT)):
        return "done"
    if is_supervised(job_dir):
        return "running"
    # The record may have been written between the two looks.
    return "done" if os.path.exists(os.path.join(job_dir, EXIT)) else "lost"


def is_supervised(job_dir: str) -> bool:
    """Tell whether a job's supervisor lives: it holds the job's lock."""
    return detached.is_held(os.path.join(job_dir, LOCK))


class _OutOfTime(Exception):
    pass


def wait(job_dir: str, timeout_s: float) -> str:
    """Block until the job's supervisor is gone or ``timeout_s`` is over; returns the state."""
    now = state(job_dir)
    if now != "running":
        return now

    def ring(_signal: int, _frame: Any) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    descriptor = os.open(os.path.join(job_dir, LOCK), os.O_RDWR)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, timeout_s))
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except _OutOfTime:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(descriptor)
    return state(job_dir)


def running(place: Workdir) -> List[str]:
    """Return ids of all jobs whose supervisor is alive."""
    names = sorted(os.listdir(place.jobs)) if os.path.isdir(place.jobs) else []
    return [name for name in names if state(place.job(name)) == "running"]
