"""An interpreter that is a whole command (``docker exec -i l4t python3``, ``env -i ...``) passes nothing on.

Such a command starts the workload in an environment and a folder of its own. What the workload needs is therefore
carried as an argument, and set by a small program that then becomes the workload. The board's working directory
must be mounted there at the same path.
"""

import json
import math
from typing import Any, List, Mapping

from tunebench.targets.agent.linux import perf_events

#: Beyond the supervisor's own deadline: ends what the supervisor cannot reach, in another PID namespace.
_MARGIN_S = 30
#: Files of users in the folder are not taken for Python's own.
#: Set, change folder, arm the alarm (it survives exec), become the workload.
BECOME = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json, os, signal
settings = json.loads(sys.argv[1])
missing = [path for path in settings["paths"] if not os.path.exists(path)]
if missing:
    sys.exit("tunebench: not there behind this interpreter: %s. Mount the board's working directory at the same path."
             % ", ".join(missing))
old = os.environ.get("PYTHONPATH")
os.environ.update(settings["env"])
if old:
    os.environ["PYTHONPATH"] += os.pathsep + old
os.chdir(settings["cwd"])
signal.alarm(settings["deadline_s"])
os.execv(sys.executable, [sys.executable] + sys.argv[2:])
"""


def carried(job: Mapping[str, Any], argv: List[str], env: Mapping[str, str], cwd: str) -> List[str]:
    """Return a command line that itself sets the environment and the folder, instead of ``Popen``'s ``env`` and ``cwd``.

    Args:
        job: its ``interpreter_words`` say how many words of ``argv`` are the interpreter; without it (or with
            one) nothing needs to be carried.
        argv: interpreter, then what it runs.
        env: of the workload; only what tunebench itself sets is carried.
        cwd: of the workload.
    """
    n = job.get("interpreter_words", 1)
    if not isinstance(n, int) or not 1 < n < len(argv):
        return argv
    names = set(job.get("env", {})) | {"PYTHONUNBUFFERED", "TUNEBENCH_JOB", perf_events.VARIABLE}
    own = {name: env[name] for name in names if name in env}
    payload = job["paths"]["payload"]
    own["PYTHONPATH"] = payload
    settings = {
        "env": own,
        "cwd": cwd,
        "paths": [payload, cwd],
        "deadline_s": math.ceil(float(job["deadline_s"])) + _MARGIN_S,
    }
    return argv[:n] + ["-c", BECOME, json.dumps(settings, sort_keys=True)] + argv[n:]
