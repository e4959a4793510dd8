"""Child processes that a stressor is made of: they belong to the job, and end with its supervisor however that ends."""

import os
import select
import subprocess
import sys
import time
from typing import List, Optional

from tunebench.targets.agent.job.stress import StressError
from tunebench.targets.agent.linux import processes
from tunebench.targets.agent.tuning.stressors.kind import Place

#: An interpreter's start on a slow board.
START_S = 30.0
_GRACE_S = 5.0


def start(module: str, words: List[str], place: Place) -> "subprocess.Popen[bytes]":
    """Start a module of the agent as a child in a group of its own; its standard output is a pipe.

    The job's folder stands in its environment, so that whatever ends the job's processes finds it, and the kernel kills
    it when the supervisor dies.
    """
    env = dict(os.environ, PYTHONPATH=place.payload)
    env[processes.JOB_VARIABLE] = str(place.job_dir)
    return subprocess.Popen(
        [sys.executable, "-S", "-m", module] + words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=env,
        start_new_session=True,
        preexec_fn=processes.dying_with_parent(),  # noqa: PLW1509 - another thread could only hang in a driver
    )


def first_line(child: "subprocess.Popen[bytes]", within_s: float = START_S) -> str:
    """Return the first line that a child says; raise StressError if it says none in time."""
    output = child.stdout
    if output is None or not select.select([output], [], [], within_s)[0]:
        raise StressError("a process of it said nothing within %g s" % within_s)
    line = output.readline().decode("utf-8", "replace").strip()
    if not line or child.poll() is not None:
        raise StressError("a process of it ended at once: %s" % (line or "it said nothing"))
    return line


def cpu_s(pid: int) -> Optional[float]:
    """Return the CPU time of a process, seconds; ``None`` if it is gone. Source: proc_pid_stat(5)."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rfind(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(children: "List[subprocess.Popen[bytes]]") -> None:
    """Kill children and wait for their end; raise StressError if one does not die."""
    give_up_s = time.monotonic() + _GRACE_S
    for child in children:
        child.kill()
    for child in children:
        try:
            child.wait(max(0.01, give_up_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise StressError("process %d of it does not die" % child.pid) from None
        if child.stdout is not None:
            child.stdout.close()
