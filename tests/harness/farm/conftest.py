"""A real labgrid on loopback ports: one coordinator, two exporters, places that lead to one SSH server."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tunebench.targets.virtual.loopback import LoopbackServer

EXPORTED = """
{name}-{number}:
  NetworkService:
    address: 127.0.0.1
    port: {port}
    username: {user}
  NetworkPowerPort:
    model: rest
    host: http://{relay}/relay/{{index}}/value
    index: "3"
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Lab:
    """Processes of a labgrid, each started and ended by its process."""

    def __init__(self, folder: Path, ssh: LoopbackServer) -> None:
        self.folder, self.ssh = folder, ssh
        #: Where an HTTP relay for power would be.
        self.relay = f"127.0.0.1:{free_port()}"
        self.address = f"127.0.0.1:{free_port()}"
        self.coordinator: subprocess.Popen[bytes] | None = None
        self.exporters: dict[str, subprocess.Popen[bytes]] = {}

    def start_coordinator(self) -> None:
        self.coordinator = self._start("labgrid.remote.coordinator", "-l", self.address)
        host, port = self.address.split(":")
        until(lambda: socket.create_connection((host, int(port)), timeout=1).close() is None)

    def start_exporter(self, name: str, boards: int = 1, port: int | None = None) -> None:
        """Start an exporter of boards in groups ``NAME-0``, ``NAME-1`` and so on, all at the one SSH server.

        Args:
            name: the exporter's.
            boards: how many.
            port: where that server is reached; None: at its own port.
        """
        endpoint = self.ssh.endpoint
        path = self.folder / f"{name}.yaml"
        path.write_text(
            "".join(
                EXPORTED.format(
                    name=name, number=number, port=port or endpoint.port, user=endpoint.user, relay=self.relay
                )
                for number in range(boards)
            )
        )
        words = ("-c", self.address, "-n", name, "--hostname", "127.0.0.1", str(path))
        self.exporters[name] = self._start("labgrid.remote.exporter", *words)

    def _start(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words], cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )

    def end(self) -> None:
        for process in [*self.exporters.values(), *([self.coordinator] if self.coordinator else [])]:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def until(condition: Callable[[], Any], within_s: float = 90.0) -> Any:
    deadline_s = time.monotonic() + within_s
    while True:
        with contextlib.suppress(OSError):
            if value := condition():
                return value
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def ask(farm: Any, verb: str, **fields: Any) -> str | None:
    """Ask a coordinator as labgrid-client would; returns its refusal."""
    from tunebench.harness.farm.labgrid_farm import messages

    return farm._run(farm._call(farm._connected(), verb, getattr(messages, f"{verb}Request")(**fields)))


def add_place(farm: Any, name: str, exported: str, /, **tags: str) -> None:
    """Add a place with the boards of an exporter, or with one group of them (``one/one-3``)."""
    ask(farm, "AddPlace", name=name)
    ask(
        farm,
        "AddPlaceMatch",
        placename=name,
        pattern=f"{exported}/*" if "/" in exported else f"{exported}/*/*",
    )
    ask(farm, "SetPlaceTags", placename=name, tags=tags)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A coordinator and two exporters."""
    pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'tunebench[labgrid]'")
    with LoopbackServer() as ssh:
        labgrid = Lab(tmp_path, ssh)
        try:
            labgrid.start_coordinator()
            for name in ("one", "two"):
                labgrid.start_exporter(name)
            yield labgrid
        finally:
            labgrid.end()


class PowerRelay(BaseHTTPRequestHandler):
    """A relay with a REST interface, as labgrid's model ``rest`` speaks to it."""

    asked: ClassVar[list[tuple[str, str]]] = []
    #: Called with each value that is set.
    switched: ClassVar[Callable[[str], None]] = staticmethod(lambda value: None)

    def do_PUT(self) -> None:
        value = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.asked.append((self.path, value))
        type(self).switched(value)
        self.send_response(200 if value in "01" else 400)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def power_relay(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[PowerRelay]]:
    """The HTTP relay that switches the boards' power; off lasts a tenth of a second."""
    monkeypatch.setattr("tunebench.harness.farm.labgrid_farm._OFF_S", 0.1)
    monkeypatch.setattr(PowerRelay, "asked", [])
    host, port = lab.relay.split(":")
    with ThreadingHTTPServer((host, int(port)), PowerRelay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield PowerRelay
        server.shutdown()


@pytest.fixture
def farms(lab: Lab) -> Iterator[Callable[[], Any]]:
    """Function () -> a connection of its own to the coordinator, as another process would have.

    Each session has a connection of its own: the coordinator knows them apart by it.
    """
    from tunebench.harness.farm import labgrid_farm

    made = []

    def make() -> Any:
        made.append(labgrid_farm.LabgridFarm(lab.address))
        return made[-1]

    yield make
    for farm in made:
        session = farm._session
        if session is not None:
            with contextlib.suppress(Exception):
                farm._run(session.stop())
            with contextlib.suppress(Exception):
                farm._run(session.close())
