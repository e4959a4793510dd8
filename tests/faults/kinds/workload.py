"""The workload: hung, killed, out of memory, writing garbage. Each ends with its reason and is not measured again."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
from pathlib import Path

from tests.faults.scene import Fault, Over, Scene
from tests.faults.site import Job

_MIB = 1 << 20


class _AtWork(Fault):
    """Strikes while a workload runs."""

    family = "workload"

    def moment_s(self, rng: random.Random, calm_s: float) -> float:
        return rng.uniform(0.0, 0.6 * calm_s)


class Hung(_AtWork):
    """It stops and never goes on; the board ends it at its deadline."""

    name = "workload-hung"
    spoils = frozenset({"deadline"})

    def prepare(self, scene: Scene) -> None:
        scene.host.deadline_s = 8.0

    def strike(self, scene: Scene) -> None:
        _signal(scene.workload(), signal.SIGSTOP)


class Killed(_AtWork):
    """SIGKILL."""

    name = "workload-killed"
    #: ``oom`` too: the kernel counts out-of-memory kills of the whole machine, so also those of a scene beside this one.
    spoils = frozenset({"killed", "oom"})

    def strike(self, scene: Scene) -> None:
        _signal(scene.workload(), signal.SIGKILL)


class Garbage(_AtWork):
    """Its results, marks and output are random bytes, and it says that all is well."""

    name = "workload-writes-garbage"
    spoils = frozenset({"failed"})

    def strike(self, scene: Scene) -> None:
        _signal(scene.workload(listens=True), signal.SIGUSR2)


class Refused(_AtWork):
    """It asks for memory that its limit does not allow: the allocation fails."""

    name = "workload-allocation-fails"
    spoils = frozenset({"oom"})

    def strike(self, scene: Scene) -> None:
        job = scene.workload(listens=True)
        limit_b = _size_b(job.workload) + 16 * _MIB
        resource.prlimit(job.workload, resource.RLIMIT_AS, (limit_b, limit_b))
        _signal(job, signal.SIGUSR1)


class OutOfMemory(_AtWork):
    """It takes more memory than its cgroup has: the kernel kills it."""

    name = "workload-out-of-memory"
    spoils = frozenset({"oom"})

    def impossible(self) -> str | None:
        probe = f"tunebench-faults-probe-{os.getpid()}"
        try:
            _make_group(probe, 64 * _MIB).rmdir()
        except OSError as error:
            return f"no memory cgroup can be made here: {error}"
        return None

    def strike(self, scene: Scene) -> None:
        job = scene.workload(listens=True)
        group = _make_group(scene.folder.name, 48 * _MIB)
        (group / "cgroup.procs").write_text(str(job.workload))
        _signal(job, signal.SIGUSR1)

    def heal(self, scene: Scene) -> None:
        with contextlib.suppress(OSError):
            _group(scene.folder.name).rmdir()


def _signal(job: Job, number: signal.Signals) -> None:
    if not job.works:
        raise Over
    os.kill(job.workload, number)


def _size_b(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _group(name: str) -> Path:
    """Where a memory cgroup lies: of version 1 below the controller's own tree, else in the one tree there is."""
    root = Path("/sys/fs/cgroup")
    return (root / "memory" / name) if (root / "memory").is_dir() else root / name


def _make_group(name: str, limit_b: int) -> Path:
    group = _group(name)
    group.mkdir(exist_ok=True)
    first = group / "memory.limit_in_bytes"
    try:
        (first if first.exists() else group / "memory.max").write_text(str(limit_b))
    except OSError:
        group.rmdir()
        raise
    swap = group / "memory.swap.max"
    if swap.exists():
        swap.write_text("0")
    return group


FAULTS: tuple[Fault, ...] = (Hung(), Killed(), OutOfMemory(), Refused(), Garbage())
