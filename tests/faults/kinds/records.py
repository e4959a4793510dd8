"""Files of a repetition that a board's card has torn or lost, in each case before the host could fetch them.

The link is held still while a workload runs, so that the host surely comes after the damage.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.faults.scene import Fault, Scene
from tests.faults.site import Job


class _BeforeTheHarvest(Fault):
    """Does something to a repetition that has just ended."""

    family = "records"
    destroys = True

    def __init__(self, name: str, damage: Callable[[Scene, Path], None]) -> None:
        self.name = name
        self._damage = damage

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.5 * calm_s)

    def strike(self, scene: Scene) -> None:
        job: Job = scene.until(scene.site.running)
        scene.site.relay.freeze()
        try:
            scene.until(lambda: job.ended, every_s=0.01)
            scene.until(lambda: not job.supervised, every_s=0.01)
            self._damage(scene, job.folder)
        finally:
            scene.site.relay.thaw()

    def heal(self, scene: Scene) -> None:
        scene.site.relay.thaw()


class TornWhileItRuns(Fault):
    """The journal loses the end of its last line while the supervisor goes on writing."""

    name = "journal-torn-while-it-runs"
    family = "records"
    destroys = True

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.6 * calm_s)

    def strike(self, scene: Scene) -> None:
        _tear(scene, scene.workload().folder / "journal.jsonl")


def _tear(scene: Scene, path: Path) -> None:
    """Cut the file off in the middle of its last line."""
    data = path.read_bytes()
    begin_b = data.rstrip(b"\n").rfind(b"\n") + 1
    with path.open("r+b") as file:
        file.truncate(scene.rng.randrange(begin_b + 1, len(data) - 1))


FAULTS: tuple[Fault, ...] = (
    TornWhileItRuns(),
    _BeforeTheHarvest("journal-torn-mid-line", lambda scene, job: _tear(scene, job / "journal.jsonl")),
    _BeforeTheHarvest("exit-record-torn", lambda scene, job: _tear(scene, job / "exit.json")),
    _BeforeTheHarvest("exit-record-missing", lambda _, job: (job / "exit.json").unlink()),
    _BeforeTheHarvest("result-emptied", lambda _, job: (job / "out" / "result.json").write_bytes(b"")),
)
