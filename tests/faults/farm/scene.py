"""Two hosts, a farm and its boards, and what strikes them there and nowhere else."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.farm.lab import EXPORTERS, FarmLab
from tests.faults.farm.network import Network
from tests.faults.host import Host
from tests.faults.kinds import host, link, server
from tests.faults.scene import Fault, Scene

#: A killed command's places are freed by ``farm reap`` when they were held for so long: longer than a draw may wait for
#: its other boards, and so hold the first without a lease.
REAP_MIN = 0.5
_REAP_S = 60.0


class FarmHost(Host):
    """A host of several, each of which runs campaign after campaign on the farm's boards.

    Attributes:
        name: its host name, and that of its wire.
        outs: the results root of each campaign.
    """

    def __init__(self, name: str, folder: Path, lab: FarmLab, start_by: Sequence[str]) -> None:
        folder.mkdir()
        super().__init__(folder, lab.sites, start_by)
        self.name = name
        self.outs: list[Path] = []
        self._lab = lab
        self._count: int | None = None

    def begin(self, count: int | None) -> None:
        """Begin a campaign on so many of the boards, whichever are free; None: on all of them."""
        self._count = count
        self.out = self.folder / f"results-{len(self.outs) + 1}"
        self.outs.append(self.out)
        self.write()
        self.start()

    def inventory(self) -> str:
        """Return the farm."""
        return self._lab.inventory(self._count)

    def reap(self) -> None:
        """Free the places that dead commands have left, as a timer of a lab does."""
        words = ["farm", "reap", "-i", "lab.toml", "--older-min", str(REAP_MIN)]
        reaper = self.tunebench(words, "reap")
        try:
            reaper.wait(_REAP_S)
        except subprocess.TimeoutExpired:
            reaper.kill()
            reaper.wait()


@dataclass(kw_only=True)
class FarmScene(Scene):
    """A scene with a farm; ``host`` is the one that is struck.

    Attributes:
        lab: the coordinator and its exporters.
        network: that of the hosts.
        hosts: all of them.
    """

    lab: FarmLab
    network: Network
    hosts: Sequence[FarmHost]

    def anywhere(self) -> FarmScene:
        """Return the same scene with a board and a host to strike."""
        return dataclasses.replace(self, site=self.rng.choice(self.sites), host=self.rng.choice(self.hosts))


class FarmFault(Fault):
    """A fault of what only a farm has."""

    family = "farm"

    def strike(self, scene: Scene) -> None:
        assert isinstance(scene, FarmScene)
        self.strike_farm(scene)

    def strike_farm(self, scene: FarmScene) -> None:
        """As :meth:`strike`."""


class ExporterKilled(FarmFault):
    """An exporter is killed; its supervisor starts it again."""

    name = "exporter-killed"

    def strike_farm(self, scene: FarmScene) -> None:
        scene.lab.exporters[scene.rng.choice(EXPORTERS)].kill()


class CoordinatorKilled(FarmFault):
    """The coordinator is killed and started again after a while: it has forgotten who had which place."""

    name = "coordinator-killed-and-restarted"

    def strike_farm(self, scene: FarmScene) -> None:
        coordinator = scene.lab.coordinator
        assert coordinator is not None
        coordinator.kill()
        coordinator.wait()
        try:
            scene.last(scene.rng.uniform(0.2, 5.0))
        finally:
            scene.lab.start_coordinator()


class CoordinatorFrozen(FarmFault):
    """The coordinator is stopped for a while: connections stay, nobody answers."""

    name = "coordinator-frozen-sigstop"

    def strike_farm(self, scene: FarmScene) -> None:
        coordinator = scene.lab.coordinator
        assert coordinator is not None
        coordinator.send_signal(signal.SIGSTOP)
        try:
            scene.last(scene.rng.uniform(1.0, 20.0))
        finally:
            coordinator.send_signal(signal.SIGCONT)


class HostCut(FarmFault):
    """A host's wire is pulled for a while: it reaches neither the farm nor a board."""

    name = "host-wire-pulled"

    def strike_farm(self, scene: FarmScene) -> None:
        assert isinstance(scene.host, FarmHost)
        scene.network.cut(scene.host.name)
        try:
            scene.last(scene.rng.uniform(1.0, 8.0))
        finally:
            scene.network.mend(scene.host.name)


#: Most of them are the farm's; the links and servers of boards are struck as in a lab without one.
STRIKES: tuple[Fault, ...] = (
    host.Killed(),
    ExporterKilled(),
    CoordinatorKilled(),
    CoordinatorFrozen(),
    HostCut(),
    link.Cut(1),
    link.Cut(4),
    server.Killed(),
)
