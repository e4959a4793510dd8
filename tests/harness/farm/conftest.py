"""A real labgrid on loopback ports: one coordinator, two exporters, places that lead to one SSH server."""

from __future__ import annotations

import atexit
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.harness.farm.lab import Lab
from tunebench.harness.config.inventory import BoardEntry, load_inventory
from tunebench.targets.virtual.loopback import LoopbackServer


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


@pytest.fixture
def farm_inventory(lab: Lab, tmp_path: Path, workload_python: str) -> Callable[..., Path]:
    """Function (keys of [[farm]]): an inventory of the farm's boards with the tag ``board:rpi4``."""

    def write(**keys: object) -> Path:
        endpoint = lab.ssh.endpoint
        usual = {
            "source": f"labgrid://{lab.address}?tag=board:rpi4",
            "kind": "linux",
            "key": endpoint.key_file,
            "known_hosts": endpoint.known_hosts,
            "interpreter": workload_python,
            "python": sys.executable,
            "gates": "warn",
        }
        path = tmp_path / "lab.toml"
        lines = [f"{key} = {_toml(value)}" for key, value in {**usual, **keys}.items()]
        path.write_text("\n".join(["[[farm]]", *lines, ""]))
        return path

    return write


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_toml(inner)}' for key, inner in value.items())} }}"
    return json.dumps(value)


@pytest.fixture
def farm_boards(farm_inventory: Callable[..., Path], tmp_path: Path) -> Callable[..., list[BoardEntry]]:
    """Function (keys of [[farm]]): the boards of such an inventory, each with a lease of its own."""

    def load(**keys: object) -> list[BoardEntry]:
        boards = load_inventory(farm_inventory(**keys)).boards
        # The places share one account; boards do not share their storage.
        return [board.model_copy(update={"workdir": f"{tmp_path}/{board.id}"}) for board in boards]

    return load


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
        atexit.unregister(farm._give_all)  # its coordinator is gone, and would be waited for
        session = farm._session
        if session is not None:
            with contextlib.suppress(Exception):
                farm._run(session.stop())
            with contextlib.suppress(Exception):
                farm._run(session.close())
