"""Bring a hung board back: its place in the farm cycles its power, but only when no repetition can be running there."""

from __future__ import annotations

import time
from collections.abc import Callable

from tunebench.harness.board.link import Link
from tunebench.harness.farm.provider import FarmError
from tunebench.harness.farm.turns import Turn
from tunebench.targets.errors import TargetError, UnreachableError

#: A board that hangs more often in one queue needs a person, not another cycle.
MAX_CYCLES = 3
_LOOK_S = 5.0


class Reviver:
    """Cycles one board's power through its place.

    Args:
        turn: at the board; None: no farm can switch it, or it is not asked to.
        link: to the board.
        note: tells the user.
    """

    def __init__(self, turn: Turn | None, link: Link, note: Callable[[str], None]) -> None:
        self._turn = turn
        self._link = link
        self._note = note
        self._cycles = 0
        self._cycle_note: str | None = None

    def revive(self, error: UnreachableError, silent_s: float, busy_s: float) -> None:
        """Wait until nothing can be running on the board any more, then cycle its power, unless it comes back before.

        Args:
            error: why the board is given up without this.
            silent_s: for how long it has not answered.
            busy_s: for how long a repetition may run from its start; 0: none does.

        Raises:
            UnreachableError: nobody can switch its power, or may now.
            Interrupted: the user asked to stop.
        """
        turn = self._turn
        if turn is None or self._cycles >= MAX_CYCLES:
            raise error
        began_s = time.monotonic()
        # It began before the board fell silent, so it ends by itself, at the latest, so long after that.
        ends_s = began_s + max(0.0, busy_s - silent_s)
        if ends_s > began_s:
            self._note(
                f"does not answer; a repetition may be running for {ends_s - began_s:.0f} s more: waiting for its end"
            )
        while time.monotonic() < ends_s:
            if self._answers():
                return
            self._link.pause(min(_LOOK_S, max(0.01, ends_s - time.monotonic())))
        if self._answers():
            return
        self._cycles += 1
        try:
            turn.power("cycle")
        except FarmError as refusal:
            raise UnreachableError(f"{error}; its power was left alone: {refusal}") from None
        waited_s = silent_s + time.monotonic() - began_s
        self._cycle_note = (
            f"place {turn.ticket.board} cycled its power after {waited_s:.0f} s without an answer"
        )
        self._note(self._cycle_note)

    def take_note(self) -> str | None:
        """Return what was done since this was asked last, for the next record; None: nothing."""
        note, self._cycle_note = self._cycle_note, None
        return note

    def _answers(self) -> bool:
        self._link.check_stop()
        try:
            self._link.board.reconnect()
        except TargetError:
            return False
        return True
