"""Processes of a real labgrid: a coordinator, exporters, places that lead to SSH servers of this machine."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tunebench.targets.virtual.loopback import LoopbackServer
from tunebench.targets.virtual.openssh import OpenSshServer

EXPORTED = """
{name}-{number}:
  NetworkService:
    address: {host}
    port: {port}
    username: {user}
  NetworkPowerPort:
    model: rest
    host: http://{relay}/relay/{{index}}/value
    index: "3"
"""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])


class Lab:
    """Processes of a labgrid, each started and ended by its process.

    Args:
        folder: of its files and logs.
        ssh: the boards' SSH server, or one whose user they all have.
        host: the address of the coordinator and of the boards.
    """

    def __init__(self, folder: Path, ssh: LoopbackServer | OpenSshServer, host: str = "127.0.0.1") -> None:
        self.folder, self.ssh, self.host = folder, ssh, host
        #: Where an HTTP relay for power would be.
        self.relay = f"127.0.0.1:{free_port()}"
        self.address = f"{host}:{free_port(host)}"
        self.coordinator: subprocess.Popen[bytes] | None = None
        self.exporters: dict[str, subprocess.Popen[bytes]] = {}

    def start_coordinator(self) -> None:
        self.coordinator = self._start("labgrid.remote.coordinator", "-l", self.address)
        host, port = self.address.split(":")
        until(lambda: socket.create_connection((host, int(port)), timeout=1).close() is None)

    def start_exporter(self, name: str, boards: int = 1, ports: Sequence[int] = ()) -> None:
        """Start an exporter of boards in groups ``NAME-0``, ``NAME-1`` and so on.

        Args:
            name: the exporter's.
            boards: how many, all at the one SSH server.
            ports: where the boards' servers are reached instead, one for each.
        """
        endpoint = self.ssh.endpoint
        path = self.folder / f"{name}.yaml"
        path.write_text(
            "".join(
                EXPORTED.format(
                    name=name, number=number, host=self.host, port=port, user=endpoint.user, relay=self.relay
                )
                for number, port in enumerate(ports or [endpoint.port] * boards)
            )
        )
        words = ("-c", self.address, "-n", name, "--hostname", self.host, str(path))
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


def all_there(farm: Any, count: int) -> None:
    """Wait until a farm has so many places, each with its board."""
    until(lambda: [board.problem for board in farm.boards()] == [None] * count)


def add_pair(farm: Any) -> None:
    """Add the places ``pi-a`` and ``pi-b``, one of each exporter, and wait for their boards."""
    for name, exporter in (("pi-a", "one"), ("pi-b", "two")):
        add_place(farm, name, exporter, board="rpi4")
    all_there(farm, 2)


def add_rack(lab: Lab, farm: Any) -> None:
    """Add the places ``pi-a``, ``pi-b`` and ``pi-c``, all of an exporter of their own, and wait for their boards."""
    lab.start_exporter("rack", boards=3)
    for number, name in enumerate(("pi-a", "pi-b", "pi-c")):
        add_place(farm, name, f"rack/rack-{number}", board="rpi4")
    all_there(farm, 3)
