"""The agent on the board: the supervisor of a repetition killed, and a command that serves the host."""

from __future__ import annotations

import contextlib
import os
import random
import signal

from tests.faults.scene import Fault, Over, Scene
from tests.faults.site import Job


class SupervisorKilled(Fault):
    """SIGKILL for the supervisor of a workload, at any point of its life."""

    name = "agent-killed"
    family = "agent"
    destroys = True
    logs_of_lost = False

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.6 * calm_s)

    def strike(self, scene: Scene) -> None:
        while True:
            job: Job = scene.until(scene.site.supervised)
            scene.pause(scene.rng.uniform(0.0, scene.host.sleep_s + 0.3))
            if job.supervised and not job.ended:
                os.kill(job.supervisor, signal.SIGKILL)
                scene.destroyed.add(job.folder.name)
                return


class CommandKilled(Fault):
    """SIGKILL for one of the short-lived commands: receiver, probe, start, wait, harvest, clean."""

    name = "agent-command-killed"
    family = "agent"
    may_skip = True

    def strike(self, scene: Scene) -> None:
        pids = scene.until(scene.site.commands)
        with contextlib.suppress(ProcessLookupError):
            os.kill(scene.rng.choice(pids), signal.SIGKILL)
            return
        raise Over


FAULTS: tuple[Fault, ...] = (SupervisorKilled(), CommandKilled())
