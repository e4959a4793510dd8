"""Which boards have a wheel of a runtime: rows of ``wheels.toml``, and the choice. Pure: no board, no network."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from tunebench.targets.boards.additions import Addition, rows_of
from tunebench.targets.boards.wheels import Facts


def runtime_wheels(name: str) -> tuple[Addition, ...]:
    """Return the rows of a runtime, in their order of preference; none of one that brings no wheel of its own."""
    return tuple(row for row in rows_of("runtime") if row.name == name)


def runtime_names() -> tuple[str, ...]:
    """Return what ``setup --runtime`` may be asked for."""
    return tuple(dict.fromkeys(row.name for row in rows_of("runtime")))


def why_unfit(name: str, machine: str | None, python: str | None, glibc: str | None) -> str | None:
    """Return why no wheel of a runtime runs on a board, as far as it is known; None if one may.

    A Python newer than the table is no reason: wheels for it may have come since.

    Args:
        name: of the runtime.
        machine: as ``uname -m`` says, of a 32-bit user land ``armv7l``.
        python: version of the interpreter that is to have it.
        glibc: version of the C library; another library's name counts as unknown.

    >>> why_unfit("onnxruntime", "armv7l", None, None)
    'it has no wheel for armv7l; it has for aarch64, x86_64'
    >>> why_unfit("onnxruntime", "aarch64", "3.8.10", "2.31")
    'its wheels need Python 3.10, this is 3.8'
    """
    every = runtime_wheels(name)
    rows = [row for row in every if machine is None or machine in row.machines]
    if every and not rows:
        machines = sorted({machine for row in every for machine in row.machines})
        return f"it has no wheel for {machine}; it has for {', '.join(machines)}"
    this = _minor(python)
    oldest = min((Version(row.pythons[0]) for row in rows), default=None)
    if this is not None and oldest is not None and this < oldest:
        return f"its wheels need Python {oldest}, this is {this}"
    for_python = [row for row in rows if this is None or str(this) in row.pythons]
    needed = min((Version(row.glibc) for row in for_python), default=None)
    libc = _minor(glibc)
    if libc is not None and needed is not None and libc < needed:
        return f"its wheels need glibc {needed}, this board has {libc}"
    return None


def choose_runtime(name: str, facts: Facts) -> Addition | str:
    """Return the first row that fits a board, or the reason why none does.

    >>> choose_runtime("onnxruntime", Facts("3.10", "aarch64", 64, "2.35")).label
    'onnxruntime 1.23.2'
    >>> choose_runtime("ncnn", Facts("3.11", "aarch64", 64, None))
    'the table has none for Python 3.11 and no glibc'
    """
    # A 32-bit user land runs on 64-bit kernels, too.
    machine = "armv7l" if (facts.machine, facts.bits) == ("aarch64", 32) else facts.machine
    libc = _minor(facts.glibc)
    for row in runtime_wheels(name):
        fits = machine in row.machines and facts.python in row.pythons
        if fits and libc is not None and libc >= Version(row.glibc):
            return row
    has = f"glibc {facts.glibc}" if facts.glibc else "no glibc"
    unfit = why_unfit(name, machine, facts.python, facts.glibc)
    return unfit or f"the table has none for Python {facts.python} and {has}"


def _minor(text: str | None) -> Version | None:
    """Return the first two numbers of a version; None if it is none."""
    try:
        version = Version(text or "")
    except InvalidVersion:
        return None
    return Version(f"{version.major}.{version.minor}")
