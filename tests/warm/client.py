"""``run`` and ``Popen`` of :mod:`subprocess`, for ``tunebench`` and ``pytest`` from a server that forks."""

from __future__ import annotations

import array
import collections
import contextlib
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

from tests.ctrl_c import heed

#: Read by the interpreter, the C library or a library as it starts, before any import could tell.
_AT_START = re.compile(
    r"PYTHON|LC_|LANG|LD_|TZ$|MALLOC_|GLIBC_|OMP_|OPENBLAS_|MKL_|COVERAGE|TYPER_|_TYPER_|FORCE_COLOR$|PY_COLORS$"
)
#: How many processes start cold before a server is worth its own start: it takes as long as three of them.
_COLD_FIRST = 2
#: As it was before any test changed it.
_ENVIRONMENT = dict(os.environ)
_ROOT = str(Path(__file__).parents[2])
_MOST_B = 100_000
_START_S = 60.0


class _Server:
    """A process that forks children for one module (``tunebench``, ``pytest``)."""

    def __init__(self, module: str) -> None:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("server.py")), module, str(there.fileno())],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                pass_fds=[there.fileno()],
            )
        self._link, self._lock = here, threading.Lock()
        self.owner = os.getpid()
        here.settimeout(_START_S)
        hello = json.loads(here.recv(1 << 20))
        self.alone: bool = hello["alone"]
        self.read = frozenset(hello["read"])
        self.modules = frozenset(hello["modules"])

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """Return the id of a new process."""
        message = json.dumps(request).encode()
        with self._lock:
            self._link.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
            pid: int = json.loads(self._link.recv(1 << 16))
        if pid < 0:
            raise OSError(-pid, os.strerror(-pid))
        return pid


_servers: dict[str, _Server | None] = {}
_asked: collections.Counter[str] = collections.Counter()
_starting = threading.Lock()


def warm_up(module: str) -> _Server | None:
    """Return the server of a module, started when it is first asked for; None where it could not start."""
    with _starting:
        server = _servers.get(module)
        if module not in _servers or (server is not None and server.owner != os.getpid()):
            server = None
            with contextlib.suppress(OSError, ValueError):  # what went wrong stands on standard error
                server = _Server(module)
            _servers[module] = server
        return server


def cold_because(
    words: list[str],
    env: Mapping[str, str],
    cwd: str,
    preexec_fn: Callable[[], object] | None = None,
    others: Mapping[str, Any] | None = None,
) -> str | None:
    """Return why a process must start cold; None if a fork does.

    It is another program, interpreter or option of it; the environment differs in what an interpreter or an import reads;
    the folder it starts in holds a module that goes before one that is imported already; it is to inherit what a fork
    would not. The first of each test process are cold, too.
    """
    if words[:2] != [sys.executable, "-m"] or words[2:3] not in (["tunebench"], ["pytest"]):
        return "another program"
    if sys.flags.isolated or sys.flags.safe_path or any(name.startswith("COVERAGE") for name in env):
        return "this Python runs with options of its own"
    if preexec_fn not in (None, heed):
        return "it runs a function first"
    unusual = [name for name, value in (others or {}).items() if value]
    if unusual:
        return f"{', '.join(unusual)} is set"
    differing = {name for name in env.keys() | _ENVIRONMENT.keys() if env.get(name) != _ENVIRONMENT.get(name)}
    if env.get("PYTHONPATH") == _ROOT:  # where the server found tunebench, too
        differing.discard("PYTHONPATH")
    if at_start := sorted(filter(_AT_START.match, differing)):
        return f"another {', '.join(at_start)}"
    _asked[words[2]] += 1
    if words[2] not in _servers and _asked[words[2]] <= _COLD_FIRST:
        return "the first ones"
    server = warm_up(words[2])
    if server is None or not server.alone:
        return "no process of this machine forks it"
    if read := sorted(differing & server.read):
        return f"an import reads {', '.join(read)}"
    if own := sorted(set(filter(None, map(_module_name, os.listdir(cwd)))) & server.modules - {"tunebench"}):
        return f"{', '.join(own)} in {cwd} goes before another module"
    return None


def _module_name(file: str) -> str | None:
    """Return the module that a file or folder of this name would be imported as; None if it would not (``pytest.ini``).

    >>> _module_name("json.py"), _module_name("json"), _module_name("pytest.ini"), _module_name("_x.cpython-311.so")
    ('json', 'json', None, '_x')
    """
    name, dot, _ = file.partition(".")
    return name if not dot or file.endswith(tuple(all_suffixes())) else None


class Popen(subprocess.Popen):
    """:class:`subprocess.Popen`, from a warm process where that is honest.

    Attributes:
        cold: why it was not; None if it was.
    """

    cold: str | None = None

    def _execute_child(self, *values: Any) -> None:
        own = super()._execute_child
        given = inspect.signature(own).bind(*values).arguments
        words = (
            [os.fsdecode(word) for word in given["args"]]
            if not isinstance(given["args"], str | bytes)
            else []
        )
        environ = os.environ if given["env"] is None else given["env"]
        env = {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()}
        cwd = os.path.abspath(os.fsdecode(given["cwd"] or "."))
        others = {
            name: given.get(name) not in (None, -1, ()) and given.get(name) is not False
            for name in ("shell", "pass_fds", "gid", "gids", "uid", "process_group")
        }
        others["executable"] = given.get("executable") not in (None, words[0] if words else None)
        try:
            self.cold = cold_because(words, env, cwd, given["preexec_fn"], others)
        except OSError as error:  # of the folder: subprocess tells it better
            self.cold = str(error)
        if self.cold is None and len(json.dumps([words, env])) > _MOST_B:
            self.cold = "too long a message"
        if self.cold is not None:
            own(*values)
            return
        umask = given["umask"] if given["umask"] >= 0 else _umask()
        request = {
            "words": words,
            "env": env,
            "cwd": cwd,
            "umask": umask,
            "new_session": bool(given["start_new_session"]),
            "heeds_ctrl_c": given["preexec_fn"] is heed
            or signal.getsignal(signal.SIGINT) is not signal.SIG_IGN,
        }
        ends = (given["p2cread"], given["c2pwrite"], given["errwrite"])
        streams = [number if end == -1 else end for number, end in enumerate(ends)]
        self.pid = warm_up(words[2]).fork(request, streams)  # type: ignore[union-attr]
        self._child_created = True
        self._close_pipe_fds(
            *(given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )


def _umask() -> int:
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("Umask:")).split()[1], 8)


def run(
    words: Any,
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **more: Any,
) -> subprocess.CompletedProcess[Any]:
    """As :func:`subprocess.run`."""
    if input is not None:
        more["stdin"] = subprocess.PIPE
    if capture_output:
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(words, **more) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                process.wait()
            raise
    done = subprocess.CompletedProcess(process.args, process.wait(), stdout, stderr)
    if check:
        done.check_returncode()
    return done
