"""Whether a Python on the board starts, and which torch it has."""

import json
import subprocess
from typing import Any, Dict, List

from tunebench.targets.agent.linux import processes, said

#: Importing torch takes up to a minute from an SD card.
IMPORT_S = 240
_SIGILL = -4
#: A shell or ``docker exec`` reports the same as 128 + the signal.
_SIGILL_OF_A_SHELL = 132
SIGILL = "SIGILL: this torch build does not run on this CPU"
#: Runs in the interpreter in question, in a child: a torch built for another CPU dies by SIGILL.
#: A folder without files of users: Python would take a ``json.py`` or ``random.py`` there for its own.
NEUTRAL = "/"
#: The packages of the user and PYTHON* variables stay, since the workload will have them, too: so it is not ``-I``.
_ASK = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json
found = {"python": "%d.%d.%d" % sys.version_info[:3], "executable": sys.executable, "torch": None,
         "cuda": False, "cuda_version": None, "transformers": None, "reason": None}
try:  # looked for, not imported
    from importlib.util import find_spec
    found["packages"] = [name for name in ("numpy", "onnxruntime", "ncnn", "ai_edge_litert", "transformers", "peft",
                                                "bitsandbytes")
                         if find_spec(name) is not None]
except Exception:
    pass
print(json.dumps(found))
sys.stdout.flush()
try:
    import torch
    float((torch.ones(8, 8) @ torch.ones(8, 8)).sum())
    found["torch"] = torch.__version__
    found["cuda_version"] = torch.version.cuda
    found["cuda"] = bool(torch.cuda.is_available())
    try:  # asked, not imported: that takes seconds
        from importlib.metadata import version
        found["transformers"] = version("transformers")
    except Exception:
        pass
except ImportError as error:
    found["reason"] = "torch cannot be imported: %s" % error
except Exception as error:
    found["reason"] = "torch does not work: %r" % error
print(json.dumps(found))
"""


def interpreter(argv: List[str], timeout_s: float = IMPORT_S) -> Dict[str, Any]:
    """Tell whether an interpreter starts, and which torch it has; never raises.

    Returns:
        ``argv``, ``ok`` (it starts), ``python``, ``executable``, ``torch``, ``cuda`` (a device is usable),
        ``cuda_version`` (what torch was built for), ``transformers`` (its version, from Python 3.8 on), ``packages``
        (of those that rows may need, the ones that are there, by import name), ``sigill``, ``reason``.
    """
    answer = {
        "argv": argv,
        "ok": False,
        "python": None,
        "executable": None,
        "torch": None,
        "cuda": False,
        "cuda_version": None,
        "transformers": None,
        "packages": None,
        "sigill": False,
        "reason": None,
    }  # type: Dict[str, Any]
    try:
        done = subprocess.run(
            processes.expanded(argv) + ["-c", _ASK],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=NEUTRAL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        answer["reason"] = "no answer within %g s" % timeout_s
        return answer
    except OSError as error:
        answer["reason"] = "cannot start %s: %s" % (argv[0], error.strerror)
        return answer
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        try:
            answered = json.loads(line)
        except ValueError:
            continue
        if isinstance(answered, dict) and "python" in answered:
            answer.update(answered, ok=True)
    if done.returncode in (_SIGILL, _SIGILL_OF_A_SHELL):
        answer.update(reason=SIGILL, sigill=True)
    elif done.returncode != 0:
        answer["reason"] = "exit status %d: %s" % (
            done.returncode,
            said.why(done.stderr.decode("utf-8", "replace")),
        )
    return answer
