"""Start the measurement of a runtime in a process of its own, and say what became of it.

A wheel may be built for a newer CPU than the board's: it dies by SIGILL while it is imported. So may a runtime that reads
a damaged file. Then the repetition has an outcome that names the runtime, the signal and the moment, and the campaign
goes on.
"""

import os
import signal
import subprocess
import sys

from tunebench.workloads import marks
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.errors import WorkloadError

#: in the job's folder: what the child is doing
STAGE = "stage.txt"
#: stage -> in words
STAGES = {
    "import": "while it was imported",
    "load": "while it loaded the network",
    "cold": "in its first call",
    "calls": "in a timed call",
    "parts": "while it ran a part of the network",
    "profile": "under its profiler",
    "test": "on the test set",
}


def main(folder: str) -> int:
    """Run the child; return the exit code of the workload."""
    name = str(marks.load_job().get("workload", {}).get("runtime"))
    if name not in RUNTIMES:
        return _failed(folder, "workload.runtime is %r, allowed: %s" % (name, ", ".join(RUNTIMES)))
    if RUNTIMES[name].nowhere:
        return _failed(folder, RUNTIMES[name].nowhere)
    code = subprocess.call([sys.executable, "-m", "tunebench.workloads.deploy.child"])
    if code >= 0:
        return code
    return _failed(folder, died(name, -code, _stage(folder)))


def died(name: str, number: int, stage: str) -> str:
    """Say that a runtime was ended by a signal, and what that means.

    >>> died("onnxruntime", 4, "import")
    'runtime onnxruntime died of SIGILL while it was imported: this build needs instructions that the CPU does not have'
    """
    try:
        signal_name = signal.Signals(number).name
    except ValueError:
        signal_name = "signal %d" % number
    meaning = {
        "SIGILL": ": this build needs instructions that the CPU does not have",
        "SIGKILL": ": the kernel ended it, most likely for want of memory",
    }
    return "runtime %s died of %s %s%s" % (
        name,
        signal_name,
        STAGES.get(stage, "before it was imported"),
        meaning.get(signal_name, ""),
    )


def _stage(folder: str) -> str:
    try:
        with open(os.path.join(folder, STAGE)) as file:
            return file.read().strip()
    except OSError:
        return ""


def _failed(folder: str, reason: str) -> int:
    print("error: %s" % reason, file=sys.stderr)
    os.makedirs(os.path.join(folder, "out"), exist_ok=True)
    marks.write_json(
        os.path.join(folder, "out", "result.json"),
        dict(marks.empty_result(), outcome="failed", reason=reason),
    )
    return 2


def run(folder: str) -> int:
    """Run the child; a job that cannot be run as written is a failure with its reason."""
    try:
        return main(folder)
    except WorkloadError as error:
        return _failed(folder, str(error))
