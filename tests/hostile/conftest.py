"""Boards that lie: a real SSH server, the real receiver, and a ``python3`` that answers for the agent."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import stat
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.payload import make_payload
from tunebench.targets.transport.endpoint import Timeouts
from tunebench.targets.virtual.loopback import LoopbackServer

SHORT = Timeouts(connect_s=3.0, banner_s=3.0, auth_s=5.0, channel_s=3.0, command_s=6.0)

#: Answers pings like an agent, reads the request, then says what it was told to say.
_LIAR = """
import json, os, sys, time
said, command = sys.argv[1], sys.argv[2:]
if command[0] in ("start", "harvest", "probe", "lease", "bundle", "tune", "untune", "examine", "trials"):
    while True:
        line = sys.stdin.buffer.readline()
        message = json.loads(line[len("@tb1 "):]) if line else {}
        if "ping" not in message:
            break
        pong = {"pong": message["ping"], "t_ns": time.monotonic_ns()}
        sys.stdout.write("@tb1 " + json.dumps(pong) + "\\n")
        sys.stdout.flush()
with open(said, "rb") as file:
    sys.stdout.buffer.write(file.read())
sys.stdout.flush()
"""

_ONE_REPETITION = """
[suite]
name = "s"
blocks = 1
baseline = "a"
aa = false
instrumented = false
[[workload]]
label = "a"
task = "sleep"
command = ["python3", "work.py"]
files = ["work.py"]
deadline_s = 20
"""


def message(value: object) -> bytes:
    """Return one protocol line, without checking what it says."""
    return b"@tb1 " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n"


def program(path: Path, text: str) -> str:
    """Write an executable; returns its path."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture(scope="session")
def server() -> Generator[LoopbackServer]:
    with LoopbackServer(SHORT) as running:
        yield running


Connect = Callable[..., Board]


@pytest.fixture
def connect(server: LoopbackServer, tmp_path: Path) -> Generator[Connect]:
    """``connect(python=...)``: a connected board; nothing is synced yet."""
    with contextlib.ExitStack() as stack:

        def make(at: LoopbackServer = server, **changes: object) -> Board:
            end = at.endpoint
            spec = BoardSpec(
                id="hostile",
                host=end.host,
                user=end.user,
                port=end.port,
                key_file=end.key_file,
                known_hosts=end.known_hosts,
                ssh_config="",
                python=sys.executable,
                workdir=str(tmp_path / "work"),
                timeouts=SHORT,
            )
            return stack.enter_context(Board(dataclasses.replace(spec, **changes)))  # type: ignore[arg-type]

        yield make


@pytest.fixture
def liar(connect: Connect, tmp_path: Path) -> Callable[..., Board]:
    """A board whose blobs are taken by the real receiver and whose agent says ``said``, or runs ``script``."""

    def make(said: bytes = b"", script: str | None = None) -> Board:
        (tmp_path / "said").write_bytes(said)
        (tmp_path / "liar.py").write_text(_LIAR)
        answer = script or f'shift 3; exec {sys.executable} -I -S {tmp_path}/liar.py {tmp_path}/said "$@"'
        text = f'#!/bin/sh\n[ "$3" = -c ] && exec {sys.executable} "$@"\n{answer}\n'
        board = connect(python=program(tmp_path / "python3", text))
        board.sync([make_payload()])
        return board

    return make


@pytest.fixture
def one_repetition(tmp_path: Path) -> Callable[[str], Path]:
    """Function (source of the workload): writes a suite of one repetition, ``suite.toml``, and its ``work.py``."""

    def write(work: str) -> Path:
        (tmp_path / "work.py").write_text(work)
        (tmp_path / "suite.toml").write_text(_ONE_REPETITION)
        return tmp_path / "suite.toml"

    return write


class Bounds:
    """Measure time and memory of a section of this process."""

    def __init__(self, seconds: float, mib: float) -> None:
        self._seconds, self._mib = seconds, mib

    def __enter__(self) -> Bounds:
        self._begun_s = time.monotonic()
        self._peak_b = _peak_b()
        return self

    def __exit__(self, *_: object) -> None:
        took_s = time.monotonic() - self._begun_s
        grown_mib = (_peak_b() - self._peak_b) / 2**20
        assert took_s < self._seconds, f"took {took_s:.1f} s"
        assert grown_mib < self._mib, f"took {grown_mib:.0f} MiB more than ever before"


def _peak_b() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.fixture
def bounded() -> type[Bounds]:
    return Bounds


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[], set[str]]:
    """The files outside the board's folder, to see that a hostile harvest wrote none."""

    def files() -> set[str]:
        roots = [tmp_path, Path.cwd(), Path(os.environ.get("TMPDIR", "/tmp"))]
        paths = {str(path) for path in tmp_path.rglob("*")}
        return paths | {str(path) for root in roots[1:] for path in root.iterdir() if "evil" in path.name}

    return files
