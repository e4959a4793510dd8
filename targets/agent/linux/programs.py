"""The board's own programs (vcgencmd, nvpmodel, tegrastats, jetson_clocks): really run, or replayed.

With root ``/`` the program itself is run. Below another root the recorded answer is given, from
``<root>/.commands/<argv joined by _>.json``: ``{"argv": [...], "rc": 0, "out": "..."}``; no such file means
that the board has no such program. A simulated board may add ``"delay_s"`` (how long the answer takes) and
``"writes": {"path below the root": "text"}`` (what the program changes, e.g. the next answer of a query).
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

#: Where vendors put programs that a non-login shell's PATH may lack.
_PLACES = ("/usr/bin", "/usr/sbin", "/sbin", "/opt/vc/bin")
COMMANDS = ".commands"
#: More than any of these programs prints; what exceeds it is cut.
MAX_OUT_B = 256 * 1024
_GRACE_S = 2.0


class Said(NamedTuple):
    """What a program answered.

    Attributes:
        rc: exit status (negative: killed by that signal); ``None`` if it gave none.
        out: standard output and standard error together (vcgencmd reports errors on the former).
        reason: why there is no answer; ``None`` if the program ran to its end, whatever its status.
    """

    rc: Optional[int]
    out: str
    reason: Optional[str]


def find_program(name: str) -> Optional[str]:
    """Return the full path of a program of this machine, or ``None``."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath)] + list(_PLACES))
    return shutil.which(name, path=path)


def recording_name(argv: Sequence[str]) -> str:
    """Return file name of a recorded answer: ``["nvpmodel", "-q"]`` is in ``nvpmodel_-q.json``."""
    return re.sub(r"[^A-Za-z0-9.\-]", "_", "_".join(argv)) + ".json"


def run(root: str, argv: Sequence[str], timeout_s: float) -> Said:
    """Run a program to its end, or give its recorded answer; never raises for what the program does.

    Args:
        root: where the board's file system starts; ``/`` runs the real program.
        argv: program and arguments; no shell is involved.
        timeout_s: it is killed after so long.
    """
    if not is_real(root):
        return _recorded(root, argv, timeout_s)
    program = find_program(argv[0])
    if program is None:
        return Said(None, "", _absent(argv[0]))
    try:
        done = subprocess.run(
            [program] + list(argv[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Said(None, "", _late(argv[0], timeout_s))
    except OSError as error:
        return Said(None, "", "cannot start %s: %s" % (argv[0], error.strerror))
    return Said(done.returncode, done.stdout[:MAX_OUT_B].decode("utf-8", "replace"), None)


def is_real(root: str) -> bool:
    """Tell whether ``root`` is this machine's own file system."""
    return os.path.realpath(root) == "/"


def _absent(name: str) -> str:
    return "no program %s on this board" % name


def _late(name: str, timeout_s: float) -> str:
    return "%s gave no answer within %g s" % (name, timeout_s)


def _recording(root: str, argv: Sequence[str]) -> Optional[Dict[str, Any]]:
    """Return the recorded answer, or ``None`` if there is none (or none that makes sense)."""
    path = os.path.join(root, COMMANDS, recording_name(argv))
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and isinstance(said.get("out"), str) else None


def _recorded(root: str, argv: Sequence[str], timeout_s: float) -> Said:
    said = _recording(root, argv)
    if said is None:
        return Said(None, "", _absent(argv[0]))
    delay_s = float(said.get("delay_s", 0.0))
    time.sleep(min(delay_s, timeout_s))
    if delay_s > timeout_s:
        return Said(None, "", _late(argv[0], timeout_s))
    for name, text in said.get("writes", {}).items():
        _write_below(root, name, text)
    rc = said.get("rc")
    return Said(rc if isinstance(rc, int) else None, said["out"], None)


def _write_below(root: str, name: str, text: str) -> None:
    """Write a file of the simulated board; do nothing if its path leads out of that board's root."""
    top = os.path.realpath(root)
    path = os.path.realpath(os.path.join(top, name.lstrip("/")))
    if os.path.commonpath([top, path]) == top:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


class Stream:
    """A program that prints a line now and then for as long as it is let; a context manager.

    Attributes:
        reason: why it gives no lines; ``None`` if it was started.
    """

    def __init__(self, root: str, argv: Sequence[str], period_s: float = 0.0) -> None:
        self.reason: Optional[str] = None
        self._process: Optional["subprocess.Popen[bytes]"] = None
        self._replayed: List[str] = []
        self._period_s = period_s
        if is_real(root):
            self._start(argv)
        else:
            said = _recording(root, argv)
            self.reason = None if said else _absent(argv[0])
            self._replayed = said["out"].splitlines() if said else []

    def _start(self, argv: Sequence[str]) -> None:
        program = find_program(argv[0])
        if program is None:
            self.reason = _absent(argv[0])
            return
        try:
            self._process = subprocess.Popen(
                [program] + list(argv[1:]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            self.reason = "cannot start %s: %s" % (argv[0], error.strerror)

    def lines(self) -> Iterator[str]:
        """Yield each line as it comes, and block in between; a recording is replayed at its own pace, in a loop."""
        if self._process is not None and self._process.stdout is not None:
            for raw in self._process.stdout:
                yield raw[:MAX_OUT_B].decode("utf-8", "replace").rstrip("\n")
        while self._replayed:
            for line in self._replayed:
                time.sleep(self._period_s)
                yield line

    def close(self) -> None:
        """End our own child (and nobody else's)."""
        self._replayed = []
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def stream(root: str, argv: Sequence[str], period_s: float = 0.0) -> Stream:
    """Start a program that prints for ever.

    Args:
        root: where the board's file system starts; below another one than ``/`` the recorded lines are
            replayed, over again.
        argv: program and arguments.
        period_s: the pace of a replay.
    """
    return Stream(root, argv, period_s)
