"""Tell what a probed board is as it is stored, what it cannot run, and who holds it."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from collections.abc import Sequence
from datetime import UTC, datetime

from tunebench.harness.board.runtimes import without_runtime
from tunebench.harness.board.tuning import as_records
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Workload, canonical_json
from tunebench.harness.processes import this_process
from tunebench.harness.record.energy.board import widest
from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import changes
from tunebench.targets.boards.additions import Addition, choose_addition
from tunebench.targets.boards.wheels import Facts
from tunebench.targets.client.replies import Change, Interpreter, Owner, Probe
from tunebench.workloads.methods.quantized_base import PACKAGE as QUANTIZER

#: Keys of the hardware tier that differ from boot to boot of one machine.
_NOT_THE_MACHINE = ("ram_b", "cores_online")


def owner(token: str) -> Owner:
    """Return who takes leases and writes undo lists.

    Args:
        token: whoever shows it owns the lease: a run's id, so that whoever resumes the run owns its leases.
    """
    me = this_process()
    return Owner(
        user=_user(),
        host=socket.gethostname(),
        pid=os.getpid(),
        token=token,
        boot_id=me.boot_id,
        pid_ns=me.pid_ns,
        started_ticks=me.started_ticks,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def unable(
    workload: Workload,
    interpreter: Interpreter,
    words: Sequence[str],
    noexec: str | None = None,
    probe: Probe | None = None,
) -> str | None:
    """Return why a probed board cannot run a workload; ``None`` if it can.

    Args:
        probe: all that the board told; its machine and C library decide which runtimes have a wheel.
        noexec: the mount point of the working directory's file system, if programs may not be run from it.
    """
    name = " ".join(words)
    if noexec is not None and (what := _run_from_workdir(workload)):
        return (
            f"{what} cannot be run: the board's working directory lies on {noexec}, which is mounted noexec; set"
            " workdir in the inventory to a folder that allows it"
        )
    if not interpreter.ok:
        return f"interpreter {name!r}: {interpreter.reason or 'it does not start'}"
    reason = _without_packages(workload, interpreter, name, probe)
    if runtime := workload.runtime or workload.trunk:
        reason = without_runtime(runtime, interpreter, words, probe)
    if reason is not None:
        return reason
    if workload.device == "cuda" and not interpreter.cuda:
        return f"interpreter {name!r}: its torch sees no CUDA device"
    return None


def _without_packages(
    workload: Workload, interpreter: Interpreter, name: str, probe: Probe | None
) -> str | None:
    """Return which package an engine lacks, and what brings it or why nothing can; ``None``: none."""
    if workload.needs_torch and not interpreter.torch:
        return f"interpreter {name!r} has no usable torch: {interpreter.reason or 'not installed'}"
    for package in workload.needs_packages:
        if not _lacks(interpreter, package):
            continue
        asker = f"engine {workload.engine!r}"
        if package == QUANTIZER:
            asker = f"quantized_base {workload.quantized_base!r}"
        lacking = f"{asker} needs the package {package}, which interpreter {name!r} does not have"
        row = _addition(package, interpreter, probe)
        if isinstance(row, str):
            return f"{lacking}, and no wheel can be: {row}"
        python = interpreter.executable or name
        names = " --with ".join(workload.needs_packages)
        return (
            f"{lacking}; `tunebench setup BOARD --with {names}` brings it into an environment of its own, or on the"
            f" board: {python} -m pip install {_pip_words(package, row)}"
        )
    return None


def _lacks(interpreter: Interpreter, package: str) -> bool:
    """Tell whether an interpreter is known to be without a package."""
    if package == QUANTIZER:
        return interpreter.packages is not None and package not in interpreter.packages
    return not interpreter.transformers


def _pip_words(package: str, row: Addition | None) -> str:
    """Return what pip is asked for: what belongs together in its row's versions, else the package as it comes."""
    pinned = [required for required in (row.requires if row else ()) if "==" in required][:2]
    # Its own torch would come along where the board's is older, with CUDA's libraries.
    return ("--no-deps " if package == QUANTIZER else "") + (" ".join(pinned) or package)


def _addition(package: str, interpreter: Interpreter, probe: Probe | None) -> Addition | str | None:
    """Return the row that fits a board or why none can; ``None`` where the board tells too little to say."""
    hardware = probe.fingerprint.get("hardware", {}) if probe is not None else {}
    libc = str(probe.fingerprint.get("os", {}).get("libc") or "") if probe is not None else ""
    python = ".".join((interpreter.python or "").split(".")[:2])
    machine = hardware.get("machine")
    if not (python and machine and libc):
        return None
    glibc = libc.rpartition(" ")[2] if "glibc" in libc else None
    return choose_addition(package, Facts(python, str(machine), 64, glibc), interpreter.torch)


def _run_from_workdir(workload: Workload) -> str | None:
    """Return what of a workload is started or loaded from the board's working directory; ``None``: nothing."""
    if workload.needs_library:
        return "the compiled kernels of the native engine"
    if workload.command is not None:
        program = workload.command[0]
        if program.startswith("./") or program in workload.files:
            return f"its own program {program}"
    return None


def no_power_source(entry: BoardEntry, probe: Probe) -> str | None:
    """Return why nothing tells this board's power; ``None`` if a sensor or a meter does."""
    if entry.meter is not None or widest(probe.channels) is not None:
        return None
    reason = probe.missing.get("power") or "no power sensor was found"
    return f"{reason[:300]}; the inventory names no meter"


def board_env(board_id: str, probe: Probe, tuned: Sequence[Change] = ()) -> BoardEnv:
    """Return a probe as it is stored: the fingerprint with the first interpreter in its python tier."""
    fingerprint = {tier: dict(values) for tier, values in probe.fingerprint.items()}
    for interpreter in probe.interpreters[:1]:
        stored = interpreter.stored()
        fingerprint.setdefault("python", {}).update(
            {key: stored[key] for key in ("python", "torch", "cuda") if key in stored}
        )
    for name, value in (("governor", probe.governor), ("power_mode", probe.power_mode)):
        if value is not None:
            fingerprint.setdefault("os", {})[name] = value
    return BoardEnv(
        board_id=board_id,
        t_utc=utc_now(),
        fingerprint=fingerprint,
        channels=[channel.stored() for channel in probe.channels],
        missing=dict(probe.missing),
        env_sha256=hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest(),
        tuning=as_records(tuned),
    )


def replaced(before: BoardEnv | None, now: BoardEnv) -> str | None:
    """Return why a run must not go on here: another machine answers under the board's name; None if it is the same.

    What changes without another machine (firmware, kernel, interpreters, cores that are offline, memory that the
    firmware takes) degrades the records instead: :mod:`tunebench.reports.results.drift`.
    """
    if before is None:
        return None
    differences = [
        f"{change.key}: {change.before} -> {change.after}"
        for change in changes(before, now)
        if change.tier == "hardware" and change.key not in _NOT_THE_MACHINE
    ]
    return f"it is not the board that the run was begun on: {'; '.join(differences)}" if differences else None


def utc_now() -> str:
    """Return the time as ``2026-11-21T07:45:00Z``: to order things by, never to take durations from."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
