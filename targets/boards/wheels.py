"""Which torch goes onto a board: the table ``wheels.toml``, and the choice from it. Pure: no board, no network."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from packaging.version import InvalidVersion, Version

Flavour = Literal["cpu", "jetson", "none"]
#: Where NVIDIA lists its builds, for a JetPack that the table does not have.
NVIDIA_LIST = "https://docs.nvidia.com/deeplearning/frameworks/install-pytorch-jetson-platform/"


@dataclass(frozen=True)
class Facts:
    """What decides on a wheel.

    Attributes:
        python: major.minor of the Python that will run torch.
        machine: ``platform.machine()``.
        bits: of that Python's pointers: a 32-bit user land runs on 64-bit kernels too.
        glibc: version of the C library; ``None``: another C library (musl).
        lse: whether the cores have LSE atomics; ``None``: not an ARM, or unreadable.
        jetpack: a Jetson's.
    """

    python: str
    machine: str
    bits: int = 64
    glibc: str | None = None
    lse: bool | None = None
    jetpack: str | None = None


@dataclass(frozen=True)
class Wheel:
    """A row of the table.

    Attributes:
        torch: the exact version.
        index: replaces PyPI as the place where torch itself is looked for.
        url: the wheel itself, where no index has it.
        requires: all that torch imports, dependencies of dependencies included: installed with ``--no-deps``.
        apt: system libraries it needs that pip cannot bring.
        tried: where this project ran it.
    """

    flavour: str
    machine: str
    torch: str
    pythons: tuple[str, ...]
    glibc: str
    requires: tuple[str, ...]
    tried: str
    jetpacks: tuple[str, ...] = ()
    index: str = ""
    url: str = ""
    size_mb: int | None = None
    apt: tuple[str, ...] = ()
    setuptools_from: str = ""

    def requirements(self, python: str) -> tuple[str, ...]:
        """Return what pip is asked for, torch first.

        Args:
            python: major.minor; from 3.12 on the standard library lacks what torch takes from setuptools.
        """
        first = f"torch @ {self.url}" if self.url else f"torch=={self.torch}"
        more = self.setuptools_from and at_least(python, self.setuptools_from)
        return (first, *self.requires, *(("setuptools",) if more else ()))


@dataclass(frozen=True)
class Crash:
    """A torch that dies by SIGILL on cores that lack something."""

    torch: str
    without: str
    source: str


@dataclass(frozen=True)
class Choice:
    """Wheels that fit, best first; and why there are no (better) ones."""

    wheels: tuple[Wheel, ...]
    reasons: tuple[str, ...] = ()


def at_least(have: str, wanted: str) -> bool:
    """Tell whether a version is as new as another; False if the board's text is no version."""
    try:
        return Version(have) >= Version(wanted)
    except InvalidVersion:
        return False


@cache
def table() -> dict[str, Any]:
    """Return ``wheels.toml`` as it is."""
    text = resources.files("tunebench.targets.boards").joinpath("wheels.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def wheels() -> tuple[Wheel, ...]:
    """Return the table, in its order of preference."""
    return tuple(_row(row) for row in table()["wheel"])


def _row(row: dict[str, Any]) -> Wheel:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
    return Wheel(**values)


def crashes() -> tuple[Crash, ...]:
    """Return the torch versions that are known to die by SIGILL."""
    return tuple(Crash(**row) for row in table()["crash"])


def crash_of(torch: str, lse: bool | None) -> Crash | None:
    """Return the known crash of a torch version on cores with or without LSE, or ``None``."""
    plain = torch.partition("+")[0]
    return next(
        (crash for crash in crashes() if crash.torch == plain and crash.without == "lse" and lse is False),
        None,
    )


def choose(flavour: Flavour, facts: Facts, failed: Collection[str] = ()) -> Choice:
    """Return the wheels that fit a board, newest first.

    Args:
        flavour: ``cpu``, ``jetson`` or ``none``.
        facts: of the board.
        failed: versions that were tried on this board and died.

    >>> [wheel.torch for wheel in choose("cpu", Facts("3.11", "aarch64", 64, "2.36", lse=False)).wheels]
    ['2.9.1', '2.6.0', '2.5.1', '2.3.1']
    """
    if flavour == "none":
        return Choice((), ("no torch was asked for: the native engine needs none",))
    reason = _hopeless(flavour, facts)
    if reason is not None:
        return Choice((), (reason,))
    rows = [row for row in wheels() if row.flavour == flavour and row.machine == facts.machine]
    fitting, reasons = [], []
    for row in rows:
        reason = _misfit(row, facts, failed)
        if reason is None:
            fitting.append(row)
        else:
            reasons.append(f"torch {row.torch}: {reason}")
    if not fitting and flavour == "jetson":
        reasons.append(_no_jetpack(rows, facts))
    return Choice(tuple(fitting), tuple(reasons))


def _hopeless(flavour: Flavour, facts: Facts) -> str | None:
    """Return why no row can fit, whatever its version."""
    instead = "use --torch none and the native engine"
    if facts.bits == 32:
        return (
            f"there is no torch for 32-bit systems ({facts.machine}): {instead}, or install a 64-bit system"
        )
    if flavour == "jetson" and facts.jetpack is None:
        return (
            "this board tells no JetPack that is known here (/etc/nv_tegra_release): NVIDIA's builds go by JetPack;"
            f" see {NVIDIA_LIST}, or use --torch cpu"
        )
    if facts.glibc is None:
        return f"torch's wheels need glibc, and this system has another C library: {instead}"
    machines = sorted({row.machine for row in wheels() if row.flavour == flavour})
    if facts.machine not in machines:
        return f"the table has no torch ({flavour}) for {facts.machine}, only for {', '.join(machines)}: {instead}"
    return None


def _misfit(row: Wheel, facts: Facts, failed: Collection[str]) -> str | None:
    if row.torch in failed:
        return "died on this board (SIGILL)"
    if row.jetpacks and facts.jetpack not in row.jetpacks:
        return f"built for JetPack {row.jetpacks[0]} to {row.jetpacks[-1]}, this is {facts.jetpack}"
    if facts.python not in row.pythons:
        return f"has no wheel for Python {facts.python} (for {span(row.pythons)})"
    if not at_least(str(facts.glibc), row.glibc):
        return f"needs glibc {row.glibc} or newer, this system has {facts.glibc}"
    crash = crash_of(row.torch, facts.lse)
    if crash is not None:
        return f"dies by SIGILL on cores without LSE atomics: {crash.source}"
    return None


def span(versions: Sequence[str]) -> str:
    """Return versions in words, the first to the last."""
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _no_jetpack(rows: Sequence[Wheel], facts: Facts) -> str:
    for row in rows:
        if facts.jetpack in row.jetpacks:
            return f"JetPack {facts.jetpack}'s own Python is {row.pythons[0]}: set the inventory's `python` to that one"
    return (
        f"the table has no build for JetPack {facts.jetpack}: see {NVIDIA_LIST}, install it by hand, and name its"
        " Python in the inventory (interpreter = ...)"
    )
