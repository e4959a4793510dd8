"""Fixtures and hooks of all tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from tests.boards import trees

#: Fixtures that tests of several rooms use.
pytest_plugins = [
    "tests.fixtures.browser",
    "tests.fixtures.installed",
    "tests.fixtures.meters",
    "tests.fixtures.mounts",
    "tests.fixtures.pytest_session",
]

_DATA = ("TUNEBENCH_DATA", "TUNEBENCH_CAPTURES")


# tox lets nobody write bytecode, as tests make modules and change them. The tests' own are kept all the same: to read and
# rewrite them again takes half of the twenty seconds of a collection, in each worker of each part.
sys.dont_write_bytecode = False


def pytest_collection_finish() -> None:
    """Write no bytecode from here on, if the environment says so."""
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips because real data are missing, where the run promises that they are there."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        promised = [name for name in _DATA if os.environ.get(name)]
        reason = str(report.longrepr)
        if promised and (item.get_closest_marker("data") or any(name in reason for name in _DATA)):
            report.outcome = "failed"
            report.longrepr = f"{', '.join(promised)} is set, yet this test was skipped: {reason}"
    return report


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Command of a Python that has no torch, which each probe of a board would import."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return f"{folder}/bin/python"


@pytest.fixture
def simulated(tmp_path: Path) -> Callable[..., Any]:
    """``simulated("pi-5")`` writes that board's tree and returns it; options as in tests/boards/trees.py."""

    def make(board: str, name: str = "", **options: Any) -> Any:
        return trees.BOARDS[board](tmp_path / (name or board), **options)

    return make


class Proxy:
    """A TCP relay to a server: the link of a lab, which can freeze (nothing moves), be cut and be unplugged."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._plugged = True
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._plugged:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        self._drop(source, sink)

    @staticmethod
    def _drop(*sockets: socket.socket) -> None:
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def cut(self) -> None:
        """End the connections there are; new ones are relayed."""
        self._drop(*self._sockets)
        self._sockets.clear()

    def unplug(self) -> None:
        """End the connections there are and refuse new ones until it is plugged in."""
        self._plugged = False
        self.cut()

    def plug_in(self) -> None:
        self._plugged = True

    def close(self) -> None:
        self._flows.set()
        self._listener.close()
        self.cut()


@pytest.fixture
def make_proxy() -> Generator[Callable[[int], Proxy]]:
    """``make_proxy(port)``: a link to a server of this machine that can be frozen and cut."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(contextlib.closing(Proxy(port)))
