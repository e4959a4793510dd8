"""This machine as a board; what model it is, its probe says."""

from __future__ import annotations

from tunebench.targets.boards.kind import BoardKind
from tunebench.targets.boards.model import BoardModel

KIND = BoardKind("loopback", host_itself=True)
BOARDS: tuple[BoardModel, ...] = ()
