"""The board's disk: full before, during and at the end of a repetition, and read-only."""

from __future__ import annotations

import random

from tests.faults.kinds.storage import SmallDisk, no_read_only, no_small_disk, set_read_only
from tests.faults.scene import Fault, Scene


class _OnASmallDisk(Fault):
    """The working directory lies on a file system of its own that can be filled."""

    family = "disk"
    destroys = True
    #: The workload's output cannot be stored.
    logs = False
    at_most = 2

    def impossible(self) -> str | None:
        return no_small_disk()

    def prepare(self, scene: Scene) -> None:
        disk = self._disk(scene)
        # The site, whose processes may use it, is closed before.
        scene.stack.callback(disk.unmount)
        scene.stack.callback(scene.site.close)
        disk.mount()
        scene.site.workdir = disk.path / "work"

    @staticmethod
    def _disk(scene: Scene) -> SmallDisk:
        return SmallDisk(scene.folder / "board" / "disk", mib=80)

    def _full_for(self, scene: Scene, shortest_s: float, longest_s: float) -> None:
        disk = self._disk(scene)
        disk.fill()
        scene.last(scene.rng.uniform(shortest_s, longest_s))
        disk.free()

    def heal(self, scene: Scene) -> None:
        self._disk(scene).free()


class FullBefore(_OnASmallDisk):
    """Full when the campaign begins: the board is left out, with that reason, or has room again in time."""

    name = "board-disk-full-before"
    may_skip = True
    from_the_start = True

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.4 * calm_s)

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        self._disk(scene).fill()

    def strike(self, scene: Scene) -> None:
        self._disk(scene).free()


class FullDuring(_OnASmallDisk):
    """Full from somewhere within a repetition on, for a while."""

    name = "board-disk-full-during"
    spoils = frozenset({"failed"})

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.6 * calm_s)

    def strike(self, scene: Scene) -> None:
        scene.workload()
        self._full_for(scene, 0.2, 5.0)


class FullAtTheEnd(_OnASmallDisk):
    """Full right after a measured window, when results, samples and exit record are to be written."""

    name = "board-disk-full-at-the-end"
    spoils = frozenset({"failed"})

    def prepare(self, scene: Scene) -> None:
        super().prepare(scene)
        scene.host.tail_s = 0.3

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return 0.0

    def strike(self, scene: Scene) -> None:
        wanted = scene.rng.randint(1, 3)
        scene.until(lambda: _ended(scene) >= wanted, every_s=0.01)
        self._full_for(scene, 0.5, 3.0)


def _ended(scene: Scene) -> int:
    try:
        with open(scene.sites[0].ledger) as file:
            return sum(line.startswith("end ") for line in file)
    except OSError:
        return 0


class ReadOnly(Fault):
    """No file can be created, renamed or removed below the working directory, as when a card turns read-only."""

    name = "workdir-read-only"
    family = "disk"
    destroys = True
    may_skip = True
    spoils = frozenset({"failed"})
    logs = False
    at_most = 2

    def impossible(self) -> str | None:
        return no_read_only()

    def prepare(self, scene: Scene) -> None:
        # Otherwise the folder of a scene that fails could not be removed.
        scene.stack.callback(set_read_only, scene.site.workdir, False)

    def strike(self, scene: Scene) -> None:
        scene.until(scene.site.workdir.is_dir)
        try:
            set_read_only(scene.site.workdir, True)
            scene.last(scene.rng.uniform(0.5, 4.0))
        finally:
            set_read_only(scene.site.workdir, False)

    def heal(self, scene: Scene) -> None:
        set_read_only(scene.site.workdir, False)


FAULTS: tuple[Fault, ...] = (FullBefore(), FullDuring(), FullAtTheEnd(), ReadOnly())
