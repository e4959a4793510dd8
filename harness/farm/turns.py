"""Keep the turns that a run has at boards of farms, until the board's queue takes them over or the run ends."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tunebench.harness.farm.provider import FarmError, PowerAction, Provider, State, Ticket


@dataclass(frozen=True)
class Turn:
    """A turn that is ours, and the farm that gave it."""

    farm: Provider
    ticket: Ticket

    def check(self) -> State:
        """Tell whether it still is ours."""
        return self.farm.check(self.ticket)

    def owner(self) -> str:
        """Return who has the board's place now, in words."""
        with contextlib.suppress(FarmError):
            for board in self.farm.boards():
                if board.name == self.ticket.board:
                    return board.owner or "nobody"
        return "not known"

    def give(self) -> None:
        """End it; one that is over is fine."""
        self.farm.give(self.ticket)

    def power(self, action: PowerAction) -> None:
        """Switch the board's power.

        Raises:
            FarmError: the farm cannot, or the turn is not ours.
        """
        self.farm.power(self.ticket, action)


class Turns:
    """Turns by the id of their board; leaving the context ends those that nobody has taken over. Thread-safe."""

    def __init__(self) -> None:
        self._turns: dict[str, Turn] = {}
        self._lock = threading.Lock()

    def keep(self, board_id: str, turn: Turn) -> None:
        """Keep a turn for its board's queue."""
        with self._lock:
            self._turns[board_id] = turn

    def hand_over(self, board_id: str) -> Turn | None:
        """Return the turn of a board, which the caller ends from now on; None: there is none."""
        with self._lock:
            return self._turns.pop(board_id, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            left, self._turns = list(self._turns.values()), {}
        for turn in left:
            turn.give()
