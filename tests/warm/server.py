"""The process that forks: ``server.py MODULE DESCRIPTOR`` imports what MODULE imports, and never runs it itself.

Started by :mod:`tests.warm.client`, to which it is bound by a socket. Each request is a message of JSON with the three
standard streams beside it; the answer is the new process's id. A child is made by ``clone(CLONE_PARENT)``: its parent is
the client, which waits for it as for any other child. So it goes round the C library's ``fork``, which must have nothing
to do: a server with threads says that it cannot fork.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import platform
import random
import runpy
import signal
import socket
import sys
import tempfile
import threading
import time
import types
from typing import NoReturn

#: What commands import in their functions, beside all of the command line's own modules.
_LIBRARIES = {
    "tunebench": ("pandas", "scipy.stats", "scipy.optimize", "duckdb", "asyncssh", "fabric", "httpx", "jinja2",
                  "rich.console", "rich.live", "rich.table", "asyncio", "concurrent.futures.thread"),
    # Neither plugins nor what they come with (anyio: of httpx): pytest rewrites these, so it imports them itself.
    "pytest": ("pytest", "pandas", "scipy.stats", "fabric", "jinja2", "pydantic", "typer", "rich.console",
               "unittest.mock", "asyncio", "concurrent.futures.thread", "multiprocessing"),
}  # fmt: skip
_ROOMS = {
    "tunebench": ("tunebench.harness", "tunebench.reports", "tunebench.targets.client", "tunebench.targets.transport",
                  "tunebench.targets.virtual", "tunebench.workloads.methods", "tunebench.workloads.models"),
    "pytest": ("_pytest",),
}  # fmt: skip
#: A plugin of pytest, which rewrites it.
_LEFT_OUT = "tunebench.harness.hil"

_CLONE_PARENT = 0x00008000
_CLONE = {"x86_64": 56, "aarch64": 220}
_STANDARD = (0, 1, 2)


def preload(module: str) -> set[str]:
    """Import what a module imports; return the names of the environment that were read meanwhile."""
    read: set[str] = set()
    get = os._Environ.__getitem__

    def remember(environ: os._Environ[str], name: str) -> str:
        caller = sys._getframe(1)
        while caller.f_code.co_filename.startswith("<frozen"):
            caller = caller.f_back  # type: ignore[assignment]
        # Who starts a program copies all of it; and sysconfig asks where the home is, for a folder that nothing uses.
        if not caller.f_code.co_filename.endswith(
            ("subprocess.py", "ctypes/util.py", "sysconfig.py", "sysconfig/__init__.py")
        ):
            read.add(name)
        return get(environ, name)

    os._Environ.__getitem__ = remember  # type: ignore[method-assign]
    try:
        for name in _LIBRARIES[module]:
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(name)
        for room in _ROOMS[module]:
            package = importlib.import_module(room)
            for found in pkgutil.walk_packages(package.__path__, f"{room}."):
                if not found.name.startswith(_LEFT_OUT) and not found.name.endswith("__main__"):
                    importlib.import_module(found.name)
    finally:
        os._Environ.__getitem__ = get  # type: ignore[method-assign]
    tempfile.tempdir = None
    return {name for name in read if isinstance(name, str)} - {"TMPDIR", "TEMP", "TMP"}


def fork() -> int:
    """Fork a process that is our parent's child; return its id, in the child 0."""
    python, libc = ctypes.pythonapi, ctypes.PyDLL(None, use_errno=True)
    python.PyOS_BeforeFork()
    pid: int = libc.syscall(_CLONE[platform.machine()], _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return pid


def become(request: dict[str, object], streams: list[int]) -> None:
    """Be the process that was asked for, up to the start of its module."""
    for descriptor, number in zip(streams, _STANDARD, strict=True):
        os.dup2(descriptor, number, inheritable=True)
    for descriptor in streams:
        os.close(descriptor)
    if request["new_session"]:
        os.setsid()
    os.umask(request["umask"])  # type: ignore[arg-type]
    signal.signal(signal.SIGINT, signal.default_int_handler if request["heeds_ctrl_c"] else signal.SIG_IGN)
    os.chdir(request["cwd"])  # type: ignore[arg-type]
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[arg-type]
    time.tzset()
    renew_streams()
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    words: list[str] = request["words"]  # type: ignore[assignment]
    sys.orig_argv = list(words)
    sys.argv = ["-m", *words[3:]]
    # What `-m` puts first, then what the environment adds (the checkout, or it would have started cold).
    added = [
        path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path
    ]
    sys.path[:0] = [os.getcwd(), *added]
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main


def renew_streams() -> None:
    """Make Python's standard streams anew, as an interpreter does at its start: a terminal's by lines."""
    old = {name: getattr(sys, name) for name in ("stdin", "stdout", "stderr")}
    for number, (name, stream) in enumerate(old.items()):
        raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
        raw.name = f"<{name}>"
        unbuffered = number != 0 and stream.write_through  # PYTHONUNBUFFERED
        if number == 0:
            buffer: io.RawIOBase | io.BufferedIOBase = io.BufferedReader(raw)
        else:
            buffer = raw if unbuffered else io.BufferedWriter(raw)
        text = io.TextIOWrapper(
            buffer,  # type: ignore[type-var]
            encoding=stream.encoding,
            errors=stream.errors,
            newline=None if number == 0 else "\n",
            line_buffering=not unbuffered and (number == 2 or raw.isatty()),
            write_through=unbuffered,
        )
        text.mode = "r" if number == 0 else "w"  # type: ignore[misc]
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def serve(module: str, link: socket.socket) -> None:
    """Answer requests; return in a child, when it is ready. The server itself ends here, with the client."""
    read = preload(module)
    alone = len(os.listdir("/proc/self/task")) == 1 and platform.machine() in _CLONE
    gc.collect()
    gc.freeze()
    hello = {
        "alone": alone,
        "read": sorted(read),
        "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    }
    link.send(json.dumps(hello).encode())
    while True:
        message, ancillary, _, _ = link.recvmsg(1 << 20, socket.CMSG_SPACE(3 * 4))
        if not message:
            os._exit(0)
        streams = array.array("i")
        for _, _, data in ancillary:
            streams.frombytes(data)
        try:
            child = fork() == 0
        except OSError as error:
            child = False
            link.send(json.dumps(-(error.errno or 1)).encode())
        if child:
            with link:
                try:
                    become(json.loads(message), list(streams))
                except Exception as error:
                    link.send(json.dumps(-(getattr(error, "errno", None) or 1)).encode())
                    if isinstance(error, OSError):
                        os._exit(1)
                    raise
                link.send(json.dumps(os.getpid()).encode())  # now it may be signalled
            return
        for descriptor in streams:
            os.close(descriptor)


def end(code: int) -> NoReturn:
    """End as an interpreter does, except that its modules are not taken apart: that takes longer than most commands."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:  # what it says, and its own code
        sys.exit(code)
    os._exit(code)


def main(module: str, descriptor: int) -> None:
    """Serve; in a child, run the module and end."""
    serve(module, socket.socket(fileno=descriptor))
    code: object = None
    try:
        runpy._run_module_as_main(module)  # type: ignore[attr-defined]
    except SystemExit as ending:
        code = ending.code
    # Anything else ends this interpreter in its own way.
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    end(int(code or 0) & 0xFF)


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main(sys.argv[1], int(sys.argv[2]))
