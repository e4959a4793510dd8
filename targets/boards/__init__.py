"""Which boards are known, and what is known of them before they are asked.

A table, not code: what a board's sensors really are is found by asking it (:mod:`tunebench.targets.agent`); the table
says what to expect, what will stay empty and why, and which torch fits (:mod:`tunebench.targets.boards.wheels`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.targets.boards import jetson, raspberry_pi
from tunebench.targets.boards.generic_linux import GENERIC_LINUX
from tunebench.targets.boards.model import BoardModel, Power, System, first_match

BOARDS: tuple[BoardModel, ...] = (*raspberry_pi.BOARDS, *jetson.BOARDS, GENERIC_LINUX)

__all__ = ["BOARDS", "GENERIC_LINUX", "BoardModel", "Power", "System", "match"]


def match(hardware: Mapping[str, Any]) -> BoardModel:
    """The row of a board, from a probe's hardware tier.

    >>> match({"compatible": "raspberrypi,5-model-b brcm,bcm2712"}).name
    'Raspberry Pi 5'
    >>> match({"model": "ThinkPad"}).name
    'generic Linux'
    """
    return first_match(BOARDS, hardware) or GENERIC_LINUX
