"""The host: its process killed at any point, its disk full."""

from __future__ import annotations

import contextlib
import random
import shutil

from tests.faults.kinds.storage import SmallDisk, no_small_disk
from tests.faults.scene import Fault, Over, Scene


class Killed(Fault):
    """SIGKILL at any point; the same command is given again."""

    name = "host-killed"
    family = "host"

    def strike(self, scene: Scene) -> None:
        if not scene.host.kill():
            raise Over


class DiskFull(Fault):
    """The disk with the results is full for a while from a random moment on; the command is given until it ends well."""

    name = "host-disk-full"
    family = "host"

    def impossible(self) -> str | None:
        return no_small_disk()

    def prepare(self, scene: Scene) -> None:
        disk = SmallDisk(scene.folder / "host-disk", mib=16)
        scene.stack.callback(disk.unmount)
        disk.mount()
        scene.host.out = disk.path / "results"

    def strike(self, scene: Scene) -> None:
        disk = SmallDisk(scene.folder / "host-disk")
        disk.fill()
        scene.last(scene.rng.uniform(0.5, 4.0))
        disk.free()

    def heal(self, scene: Scene) -> None:
        # The disk is unmounted with the scene: keep a copy of the results, so that a failure can be examined.
        with contextlib.suppress(OSError):
            shutil.copytree(scene.host.out, scene.folder / "kept-results", dirs_exist_ok=True)


class TornStore(Fault):
    """The host dies in the middle of writing a record: half a line stands at the end of the store."""

    name = "store-torn-mid-line"
    family = "host"

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return 0.0

    def strike(self, scene: Scene) -> None:
        def lines() -> list[bytes]:
            stores = [run / "reps.jsonl" for run in scene.host.runs]
            # The plan is there a moment before the store.
            return [
                line for store in stores if store.exists() for line in store.read_bytes().splitlines(True)
            ]

        wanted = scene.rng.randint(1, 2)
        seen = scene.until(lambda: lines() if len(lines()) >= wanted else None)
        if not scene.host.kill():
            raise Over
        scene.host.wait(10.0)
        with (scene.host.runs[0] / "reps.jsonl").open("ab") as file:
            file.write(seen[-1][: scene.rng.randrange(1, len(seen[-1]) - 1)])


FAULTS: tuple[Fault, ...] = (Killed(), DiskFull(), TornStore())
