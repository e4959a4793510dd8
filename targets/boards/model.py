"""What is known of a board before it is asked: the row of a table, and how a board finds its row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Power:
    """What a board measures of its own power.

    Attributes:
        rails: labels that the total is made of: one is a total by itself, several are summed.
        scope: what the total means: ``board_input``, ``module``, ``rails_sum`` (see docs/measurement.md).
        source: where it is read.
        quantum_w: the total's smallest step, where it is known.
        misses: what it does not see.
    """

    rails: tuple[str, ...]
    scope: str
    source: str
    quantum_w: float | None
    misses: str


@dataclass(frozen=True)
class System:
    """An operating system that the board is used with, as far as it decides on torch.

    Attributes:
        name: as people call it.
        python: its ``python3``, major.minor.
        glibc: of its C library; manylinux wheels ask for a lowest one.
        jetpack: a JetPack's major.minor, for NVIDIA's builds.
        bits: of its user land: 32-bit ones have no torch.
    """

    name: str
    python: str
    glibc: str
    jetpack: str | None = None
    bits: int = 64


@dataclass(frozen=True)
class BoardModel:
    """A row of the table.

    Attributes:
        name: as people call it.
        page: name of its page below docs/boards, without ``.md``.
        kind: the inventory's ``kind``.
        compatible: patterns (fnmatch) of device-tree ``compatible`` entries that are this board.
        model_pattern: a regular expression on the device tree's ``model``, for trees with other entries.
        soc: the chip, as in the device tree (``tegra234``) or as people call it where that misleads.
        cores: number and kind.
        isa: the oldest core's instruction set.
        lse: whether all its cores have the atomics of ARMv8.1; ``None``: differs.
        ram_gb: memory sizes that were sold.
        power: what it measures itself; ``None``: nothing.
        needs_meter: what only an external meter tells.
        throttle: where throttling shows.
        systems: what runs on it.
        notes: one thing each that surprises.
    """

    name: str
    page: str
    kind: str
    compatible: tuple[str, ...]
    model_pattern: str
    soc: str
    cores: str
    isa: str
    lse: bool | None
    ram_gb: tuple[float, ...]
    power: Power | None
    needs_meter: str
    throttle: str
    systems: tuple[System, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def is_it(self, hardware: Mapping[str, Any]) -> bool:
        """Tell whether a probe's hardware tier is this board: by ``compatible``, else by ``model``."""
        entries = str(hardware.get("compatible") or "").split()
        if any(fnmatchcase(entry, pattern) for entry in entries for pattern in self.compatible):
            return True
        name = str(hardware.get("model") or "")
        return bool(self.model_pattern and re.search(self.model_pattern, name))


def first_match(table: Iterable[BoardModel], hardware: Mapping[str, Any]) -> BoardModel | None:
    """Return the first row that describes the board; a match by ``compatible`` beats a match by name."""
    rows = list(table)
    by_tree = {"compatible": hardware.get("compatible")}
    by_name = {"model": hardware.get("model")}
    return next((row for part in (by_tree, by_name) for row in rows if row.is_it(part)), None)
