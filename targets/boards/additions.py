"""What goes onto a board beside torch: rows of ``wheels.toml``, and the choice from them. Pure: no board, no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunebench.targets.boards.wheels import Facts, at_least, span, table


@dataclass(frozen=True)
class Addition:
    """A row of the table.

    Attributes:
        name: what ``setup --with``, or of a runtime ``--runtime``, is asked for.
        pythons: those that it has a wheel for, oldest first.
        torch: the oldest that it works with; empty: it runs without.
        disk_mb: what it takes unpacked.
        imports: modules that must be importable afterwards.
        requires: all that they import, dependencies of dependencies included, torch's left out; the package itself first.
        tried: where this project ran it.
    """

    name: str
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    glibc: str
    disk_mb: int
    imports: tuple[str, ...]
    requires: tuple[str, ...]
    tried: str
    torch: str = ""

    @property
    def label(self) -> str:
        """Return the package with its version, as a set-up environment records it."""
        return self.requires[0].replace("==", " ")


def rows_of(kind: str) -> tuple[Addition, ...]:
    """Return the rows of a kind, ``addition`` or ``runtime``, in their order of preference."""
    return tuple(_row(row) for row in table()[kind])


def additions() -> tuple[Addition, ...]:
    """Return what stands beside torch, in the table's order of preference."""
    return rows_of("addition")


def _row(row: dict[str, Any]) -> Addition:
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in row.items()}
    return Addition(**values)


def addition_names() -> tuple[str, ...]:
    """Return what ``setup --with`` may be asked for."""
    return tuple(dict.fromkeys(row.name for row in additions()))


def choose_addition(name: str, facts: Facts, torch: str | None) -> Addition | str:
    """Return the newest row that fits a board, or the reason why none can.

    Args:
        name: one of :func:`addition_names`.
        facts: of the board.
        torch: the version that it will run with.

    >>> choose_addition("transformers", Facts("3.11", "aarch64", 64, "2.36"), "2.9.1").label
    'transformers 5.24.0'
    >>> choose_addition("transformers", Facts("3.6", "aarch64", 64, "2.27"), "1.11.0a0+17540c5")
    'no transformers of the table has wheels for Python 3.6 (for 3.8 to 3.13)'
    """
    if torch is None:
        return f"{name} runs on torch, and there is none"
    rows = [row for row in additions() if row.name == name]
    machines = sorted({machine for row in rows for machine in row.machines})
    if facts.machine not in machines or facts.bits == 32 or facts.glibc is None:
        what = f"{facts.machine}, {facts.bits} bits" + ("" if facts.glibc else ", without glibc")
        return f"{name} needs wheels for {' or '.join(machines)} with 64 bits and glibc, this is {what}"
    reasons = []
    for row in rows:
        if facts.python not in row.pythons:
            continue
        reason = _misfit(row, facts, torch)
        if reason is None:
            return row
        reasons.append(reason)
    pythons = sorted({python for row in rows for python in row.pythons}, key=_number)
    none = f"no {name} of the table has wheels for Python {facts.python} (for {span(pythons)})"
    return "; ".join(reasons) or none


def _misfit(row: Addition, facts: Facts, torch: str) -> str | None:
    if not at_least(str(facts.glibc), row.glibc):
        return f"{row.label} needs glibc {row.glibc} or newer, this system has {facts.glibc}"
    if not at_least(torch, row.torch):
        return f"{row.label} needs torch {row.torch} or newer, here it is {torch}"
    return None


def _number(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))
