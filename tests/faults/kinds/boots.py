"""A board that reboots, and one that loses its power: on an emulated machine (QEMU's ``virt``), booted for real.

A boot takes minutes of two cores, so these run only when they are named: ``--only reboot``, ``--only power-cut``.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import time
from pathlib import Path

from tests.faults.scene import Fault, Scene
from tests.faults.site import SETTLE_S, Site
from tunebench.targets.errors import TargetError
from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.qemu import image
from tunebench.targets.virtual.qemu.errors import EmulationError
from tunebench.targets.virtual.qemu.machine import EmulatedBoard, State

_BUSY = (
    "for job in ~/.cache/tunebench/jobs/*/; do"
    ' if [ -e "$job/spawned.json" ] && [ ! -e "$job/exit.json" ]; then echo busy; fi; done'
)
#: Prints what a campaign left behind, one a line: jobs, leases, parts, and processes of the agent.
_REMAINS = (
    "cd ~/.cache/tunebench && { ls jobs; ls lease.json undo.json 2>/dev/null; find . -name '*.part*';"
    " ps -eo args | grep '[.]cache/tunebench/blobs'; }; true"
)


class EmulatedSite(Site):
    """A board in QEMU. Its files and processes are asked for over SSH; workloads can write no ledger."""

    restartable = False

    def __init__(self, board_id: str, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.board_id = board_id
        self.folder = folder
        self.ledger = ""
        self.board = EmulatedBoard(folder / "state", board_id)
        self._boot(keep_disk=False)

    def _boot(self, *, keep_disk: bool) -> State:
        board_image = image.find_any(image.cache_folder())
        port = None
        if keep_disk:
            port = int((self.folder / "port").read_text())
        state = self.board.up(board_image, lambda _: None, machine="virt", port=port, keep_disk=keep_disk)
        (self.folder / "port").write_text(str(state.port))
        return state

    def entry(self) -> str:
        state = self.board.state()
        assert state is not None
        text = self.board.inventory_text(state)
        return text[text.index("[[board]]") :]

    def ask(self, script: str, timeout_s: float = 60.0) -> str:
        """Run a shell script on the board.

        Raises:
            TargetError: it cannot be reached.
        """
        state = self.board.state()
        if state is None:
            return ""
        with Ssh(self.board.endpoint(state)) as ssh:
            return ssh.run(["sh", "-c", script], timeout_s=timeout_s).stdout.decode()

    def busy(self) -> bool:
        """Tell whether a workload runs."""
        with contextlib.suppress(TargetError):
            return "busy" in self.ask(_BUSY)
        return False

    def cut_power(self) -> None:
        """Kill QEMU and boot the same card again."""
        self.board.down(lambda _: None, hard=True)
        self._boot(keep_disk=True)

    def left_behind(self) -> list[str]:
        give_up_s = time.monotonic() + SETTLE_S
        while (remains := self.ask(_REMAINS).split("\n")[:-1]) and time.monotonic() < give_up_s:
            time.sleep(1.0)
        return remains

    def close(self) -> None:
        self.board.down(lambda _: None, hard=True)


class _Boot(Fault):
    family = "boots"
    destroys = True
    costly = True
    short = False
    limit_s = 900.0

    def impossible(self) -> str | None:
        if shutil.which("qemu-system-aarch64") is None:
            return "needs qemu-system-arm"
        try:
            image.find_any(image.cache_folder())
        except EmulationError as error:
            return f"no image of the emulated board: {error}"
        return None

    def make_site(self, board_id: str, folder: Path) -> Site:
        return EmulatedSite(board_id, folder)

    def prepare(self, scene: Scene) -> None:
        scene.host.sleep_s = 10.0
        scene.host.deadline_s = 120.0

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 30.0)

    def strike(self, scene: Scene) -> None:
        site = scene.site
        assert isinstance(site, EmulatedSite)
        scene.until(site.busy, every_s=2.0, limit_s=300.0)
        scene.pause(scene.rng.uniform(0.0, scene.host.sleep_s))
        self.take_down(site)

    def take_down(self, site: EmulatedSite) -> None:
        """Take the board down: reboot it or cut its power."""
        raise NotImplementedError


class Reboot(_Boot):
    """The board is told to reboot in the middle of a repetition, or between two."""

    name = "board-rebooted"

    def take_down(self, site: EmulatedSite) -> None:
        with contextlib.suppress(TargetError):  # the link breaks while it reboots
            site.ask("sudo -n /usr/sbin/reboot")


class PowerCut(_Boot):
    """QEMU is killed, and boots again from the same card."""

    name = "board-power-cut"

    def take_down(self, site: EmulatedSite) -> None:
        site.cut_power()


FAULTS: tuple[Fault, ...] = (Reboot(), PowerCut())
