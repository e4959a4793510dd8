"""Any Linux machine: what the table says of a board that it does not know."""

from __future__ import annotations

from tunebench.targets.boards.kind import BoardKind
from tunebench.targets.boards.model import BoardModel, System

KIND = BoardKind("linux")

GENERIC_LINUX = BoardModel(
    name="generic Linux",
    page="generic-linux",
    kind=KIND.name,
    compatible=(),
    model_pattern="",
    soc="any",
    cores="any",
    isa="any",
    lse=None,
    ram_gb=(),
    power=None,
    needs_meter="the power of the whole machine; on a PC, RAPL (where it may be read) covers the processor only",
    throttle="scaling_max_freq below cpuinfo_max_freq, cooling devices",
    systems=(
        System("Debian 12, 64-bit ARM", "3.11", "2.36"),
        System("Debian 11, 64-bit ARM", "3.9", "2.31"),
    ),
    notes=("RAPL is readable by root only since 2020; tunebench doctor says how to open it",),
)

BOARDS: tuple[BoardModel, ...] = (GENERIC_LINUX,)
