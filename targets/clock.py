"""How far the board's monotonic clock is from ours.

Cristian's algorithm (Distributed Computing 3:146, 1989): of several request-reply exchanges the one with
the shortest round trip bounds the offset best, by half of that round trip.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from targets.errors import ReplyError


class Talk(Protocol):
    """The part of a duplex channel that an exchange needs."""

    def send_message(self, message: dict[str, Any]) -> None: ...

    def read_message(self, timeout_s: float) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Offset:
    """Host clock less board clock; the truth lies within ``offset_s`` +- ``bound_s``."""

    offset_s: float
    bound_s: float


def exchange(duplex: Talk, n: int = 8, timeout_s: float = 10.0) -> Offset:
    """Ping the agent ``n`` times and keep the exchange with the shortest round trip.

    Raises:
        ReplyError: the answer is no pong to our ping.
        LinkError: no answer within ``timeout_s``.
    """
    best: Offset | None = None
    for index in range(max(1, n)):
        sent_ns = time.monotonic_ns()
        duplex.send_message({"ping": index})
        reply = duplex.read_message(timeout_s)
        received_ns = time.monotonic_ns()
        board_ns = reply.get("t_ns")
        if reply.get("pong") != index or type(board_ns) is not int:
            raise ReplyError(f"expected the pong to ping {index}, got {str(reply)[:200]}")
        bound_s = (received_ns - sent_ns) / 2e9
        if best is None or bound_s < best.bound_s:
            best = Offset(((sent_ns + received_ns) / 2 - board_ns) / 1e9, bound_s)
    assert best is not None  # noqa: S101 - n >= 1
    return best
