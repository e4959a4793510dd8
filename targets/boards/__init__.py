"""Which boards are known, and what is known of them before they are asked.

A table, not code: what a board's sensors really are is found by asking it (:mod:`tunebench.targets.agent`); the table
says what to expect, what will stay empty and why, and which torch fits (:mod:`tunebench.targets.boards.wheels`).

To add a board: a row in its family's module. To add a kind of board: a module with ``KIND`` and ``BOARDS``
(:class:`~tunebench.targets.boards.kind.BoardFamily`), and its name in :data:`MODULES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from tunebench.targets.boards.generic_linux import GENERIC_LINUX
from tunebench.targets.boards.kind import BoardFamily, BoardKind
from tunebench.targets.boards.model import BoardModel, Power, System, first_match

#: Modules of this package with a kind of board each, in the order of tables and error texts.
MODULES = (
    "raspberry_pi",
    "jetson",
    "generic_linux",
    "loopback",
)
#: All that is known.
FAMILIES: tuple[BoardFamily, ...] = tuple(
    cast(BoardFamily, import_module(f"{__name__}.{name}")) for name in MODULES
)
BOARDS: tuple[BoardModel, ...] = tuple(board for family in FAMILIES for board in family.BOARDS)
KINDS: Mapping[str, BoardKind] = {family.KIND.name: family.KIND for family in FAMILIES}

__all__ = [
    "BOARDS",
    "FAMILIES",
    "GENERIC_LINUX",
    "KINDS",
    "BoardKind",
    "BoardModel",
    "Power",
    "System",
    "kind_of",
    "match",
]


def kind_of(name: str) -> BoardKind:
    """Return what a kind means; one that this release does not know (in results) counts as any Linux machine.

    >>> kind_of("loopback").host_itself
    True
    """
    return KINDS.get(name) or BoardKind(name)


def match(hardware: Mapping[str, Any]) -> BoardModel:
    """Return the row of a board, from a probe's hardware tier.

    >>> match({"compatible": "raspberrypi,5-model-b brcm,bcm2712"}).name
    'Raspberry Pi 5'
    >>> match({"model": "ThinkPad"}).name
    'generic Linux'
    """
    return first_match(BOARDS, hardware) or GENERIC_LINUX
