"""What the inventory's ``kind`` of a board means; everything that differs between kinds is asked here, never by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tunebench.targets.boards.model import BoardModel
from tunebench.targets.boards.wheels import Flavour


@dataclass(frozen=True)
class BoardKind:
    """A kind of board.

    Attributes:
        name: the inventory's ``kind``.
        host_itself: the board is the machine that tunebench runs on: it has no ``host``, a server of its own is started
            for it, nothing keeps it quiet, and its gates only warn.
        steady_clock: its highest CPU frequency is one that it can keep, so that a lower one is a fault; a PC's turbo
            is not.
        torch: which torch ``tunebench setup`` installs unless told otherwise.
    """

    name: str
    host_itself: bool = False
    steady_clock: bool = False
    torch: Flavour = "cpu"


class BoardFamily(Protocol):
    """What a module of this package must have to be registered: one kind, and the models that are known of it."""

    KIND: BoardKind
    BOARDS: tuple[BoardModel, ...]
