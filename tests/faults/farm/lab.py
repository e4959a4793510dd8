"""The shared farm: a labgrid coordinator, two exporters that a supervisor starts again, and a board behind each place."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.site import PYTHON, TIMEOUTS, Site
from tests.harness.farm.lab import Lab
from tests.sshd import QUICK
from tunebench.targets.virtual.openssh import OpenSshServer

EXPORTERS = ("one", "two")
TAG = ("board", "rpi4")
#: How long a host waits for its turn, for a lease, for a board that has vanished.
PATIENCE_S, COMEBACK_S = 20.0, 60.0
_LOOK_S = 0.2


class FarmSite(Site):
    """A board with an account's home of its own, so that all boards of a farm have the same inventory.

    Args:
        board_id: its place's name.
        folder: of all that is its.
        host: the address at which it is reached.
        login: the folder with the key that all boards of the farm let in; None: its own.
    """

    def __init__(self, board_id: str, folder: Path, host: str, login: Path | None) -> None:
        self._home = folder / "home"
        self._login = login
        super().__init__(board_id, folder, host)
        self._home.mkdir()
        self.workdir = self._home / ".cache" / "tunebench"

    def _serve(self) -> OpenSshServer:
        keys = self.folder / "sshd"
        keys.mkdir(mode=0o700)
        # The first of a keyword counts, so ours repeats what QUICK sets.
        settings = f"SetEnv HOME={self._home} {_quick('SetEnv')}\n"
        if self._login is not None:
            settings += f"AuthorizedKeysFile {self._login}/client.pub\n"
        server = OpenSshServer(keys, settings=f"{settings}{QUICK}")
        self._stack.callback(server.kill)
        return server


def _quick(keyword: str) -> str:
    return next(line.split(None, 1)[1] for line in QUICK.splitlines() if line.strip().startswith(keyword))


class FarmLab(Lab):
    """A farm whose places lead to these boards; each exporter has every other one of them."""

    def __init__(self, folder: Path, sites: Sequence[FarmSite], host: str) -> None:
        super().__init__(folder, sites[0].server, host)
        self.sites = sites
        self._ended = threading.Event()
        folder.mkdir()
        self._known_hosts = folder / "known_hosts"
        self._known_hosts.write_text("".join(site.known_hosts().read_text() for site in sites))
        # As a lab provisions its places: a coordinator that starts reads them, and forgets who had them.
        (folder / "places.yaml").write_text(json.dumps(self._places()))
        self.start_coordinator()
        self._supervisors = [
            threading.Thread(target=self._supervise, args=(name, ports), name=f"supervisor {name}")
            for name, ports in self._ports().items()
        ]
        for supervisor in self._supervisors:
            supervisor.start()

    def inventory(self, count: int | None) -> str:
        """Return a host's inventory: boards of the farm, any ``count`` of them, or all (None)."""
        end = self.sites[0].server.endpoint
        keys = {
            "source": f"labgrid://{self.address}?tag={':'.join(TAG)}",
            "kind": "linux",
            "key": end.key_file,
            "known_hosts": str(self._known_hosts),
            "python": PYTHON,
            "interpreter": PYTHON,
            "gates": "warn",
            "patience_s": PATIENCE_S,
            **({"count": count} if count is not None else {}),
        }
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        timeouts = TIMEOUTS.replace("comeback_s = 180.0", f"comeback_s = {COMEBACK_S}")
        return "\n".join(["[[farm]]", *lines, f"timeouts = {timeouts}", ""])

    def held(self) -> list[str]:
        """Return the places that somebody has, with their owner."""
        from tunebench.harness.farm.source import parse, provider

        farm = provider(parse(f"labgrid://{self.address}"))
        return [f"{board.name}: {board.owner}" for board in farm.boards() if board.owner]

    def end(self) -> None:
        """End all of it."""
        self._ended.set()
        for supervisor in self._supervisors:
            supervisor.join()
        super().end()

    def _places(self) -> Mapping[str, object]:
        return {
            self.sites[at].board_id: {
                "tags": dict([TAG]),
                "matches": [{"exporter": name, "group": f"{name}-{number}", "cls": "*"}],
            }
            for name, of_exporter in self._at().items()
            for number, at in enumerate(of_exporter)
        }

    def _ports(self) -> Mapping[str, Sequence[int]]:
        return {
            name: [self.sites[at].relay.port for at in of_exporter]
            for name, of_exporter in self._at().items()
        }

    def _at(self) -> Mapping[str, Sequence[int]]:
        """Return which boards each exporter has."""
        return {name: range(first, len(self.sites), len(EXPORTERS)) for first, name in enumerate(EXPORTERS)}

    def _supervise(self, name: str, ports: Sequence[int]) -> None:
        """Start an exporter, and again whenever it has ended: it does so with its coordinator."""
        while not self._ended.is_set():
            self.start_exporter(name, ports=ports)
            process = self.exporters[name]
            while process.poll() is None and not self._ended.wait(_LOOK_S):
                pass
            self._ended.wait(_LOOK_S)
