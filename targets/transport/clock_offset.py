"""How far the board's monotonic clock is from ours, and how it drifts.

Cristian's algorithm (Distributed Computing 3:146, 1989): of several request-reply exchanges the one with
the shortest round trip bounds the offset best, by half of that round trip. Two such exchanges, before and after,
give a line: what lies between them is mapped with a bound between theirs, as long as both clocks run evenly.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from tunebench.targets.errors import ReplyError

#: Two sound crystals differ by less; more means that a clock was stepped or slewed on the way.
MAX_DRIFT_PPM = 200.0


class Talk(Protocol):
    """The part of a duplex channel that an exchange needs."""

    def send_message(self, message: dict[str, Any]) -> None: ...

    def read_message(self, timeout_s: float) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Offset:
    """Host clock less board clock; the truth lies within ``offset_s`` +- ``bound_s``.

    Attributes:
        host_s: when that was, on the host's CLOCK_MONOTONIC; None where it was not kept.
    """

    offset_s: float
    bound_s: float
    host_s: float | None = None


@dataclass(frozen=True)
class ClockLine:
    """Board time -> host time through two exchanges (both with ``host_s``)."""

    before: Offset
    after: Offset

    @property
    def drift_ppm(self) -> float:
        """Return how much faster the host's clock runs than the board's, in parts per million."""
        return 1e6 * (self.after.offset_s - self.before.offset_s) / self._apart_s

    @property
    def drift_bound_ppm(self) -> float:
        """Return the bound of :attr:`drift_ppm`: the true drift lies within it."""
        return 1e6 * (self.after.bound_s + self.before.bound_s) / self._apart_s

    def host_s(self, board_s: float) -> float:
        """Return the host's time at a time of the board."""
        share = self._share(board_s)
        return board_s + (1 - share) * self.before.offset_s + share * self.after.offset_s

    def bound_s(self, board_s: float) -> float:
        """Return the bound of :meth:`host_s`: the truth lies within it. It grows outside the two exchanges."""
        share = self._share(board_s)
        return abs(1 - share) * self.before.bound_s + abs(share) * self.after.bound_s

    def problem(self) -> str | None:
        """Return why the line cannot be trusted: a drift that is too large beyond doubt."""
        if abs(self.drift_ppm) - self.drift_bound_ppm > MAX_DRIFT_PPM:
            return (
                f"host and board clocks drift apart by {self.drift_ppm:.0f} +- {self.drift_bound_ppm:.0f} ppm;"
                f" over {MAX_DRIFT_PPM:g} ppm one of them was stepped"
            )
        return None

    @property
    def _apart_s(self) -> float:
        return max(_board_s(self.after) - _board_s(self.before), 1e-9)

    def _share(self, board_s: float) -> float:
        return (board_s - _board_s(self.before)) / self._apart_s


def _board_s(offset: Offset) -> float:
    if offset.host_s is None:
        raise ValueError("a clock line needs the time of each exchange")
    return offset.host_s - offset.offset_s


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
            middle_ns = (sent_ns + received_ns) / 2
            best = Offset((middle_ns - board_ns) / 1e9, bound_s, middle_ns / 1e9)
    assert best is not None  # noqa: S101 - n >= 1
    return best
