"""Tell by what a board says of itself whether it has a runtime: a skip that is known before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.targets.boards.runtime_wheels import why_unfit
from tunebench.targets.client.replies import Interpreter, Probe
from tunebench.workloads.deploy import RUNTIMES


def without_runtime(
    runtime: str, interpreter: Interpreter, words: Sequence[str], probe: Probe | None
) -> str | None:
    """Return why a board has no such runtime: no wheel is for it, or none is there; ``None`` if it may have."""
    about, name = RUNTIMES[runtime], " ".join(words)
    hardware = probe.fingerprint.get("hardware", {}) if probe is not None else {}
    machine = str(hardware["machine"]) if hardware.get("machine") else None
    libc = str(probe.fingerprint.get("os", {}).get("libc") or "") if probe is not None else ""
    reason = about.nowhere or why_unfit(runtime, machine, interpreter.python, libc.rpartition(" ")[2])
    if reason:
        return f"runtime {runtime!r}: {reason}"
    if runtime == "torch":
        lacking = f"interpreter {name!r} has no usable torch: {interpreter.reason or 'not installed'}"
        return None if interpreter.torch else lacking
    if interpreter.packages is None:
        return None
    missing = [package for package in about.packages if package not in interpreter.packages]
    if not missing:
        return None
    python = interpreter.executable or name
    return (
        f"runtime {runtime!r} needs the package {missing[0]}, which interpreter {name!r} does not have; `tunebench setup "
        f"BOARD --runtime {runtime}` brings it into an environment of its own, or on the board: {python} -m pip install "
        f"{' '.join([about.install, *about.packages[1:]])}"
    )
