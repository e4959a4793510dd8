"""What every provider of boards looks like to the harness, and the provider that has no farm behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tunebench.harness.errors import HarnessError

#: Whether a turn still is ours; unknown: the farm does not answer, and what is measured goes on.
State = Literal["held", "unknown", "lost"]
PowerAction = Literal["on", "off", "cycle"]


class FarmError(HarnessError):
    """The farm cannot be reached, or does not give what is asked; names the farm and what would be right."""


@dataclass(frozen=True)
class FarmBoard:
    """A board of a farm.

    Attributes:
        name: as the farm calls it.
        address: where its SSH server is; None: ``problem`` says why it cannot be used.
        owner: who has it now, in the farm's words; None: nobody.
        held_s: for how long, as the farm's clock says; None: nobody has it, or it is not told.
        owner_waits: whether whoever has it stands in the farm's queue for another board: no dead one does for long.
    """

    name: str
    address: str | None = None
    port: int | None = None
    user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    owner: str | None = None
    held_s: float | None = None
    owner_waits: bool = False
    problem: str | None = None


@dataclass(frozen=True)
class Patience:
    """How long to wait for a turn.

    Attributes:
        seconds: 0: not at all.
        note: is told for whom it waits.
        stop: ends the wait at once.
    """

    seconds: float = 0.0
    note: Callable[[str], None] = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class AnyOf:
    """A choice of boards, any of which will do.

    Attributes:
        names: as the farm calls them.
        tags: what all of them have, and in the farm's words asks for them; empty: they are asked for by name.
    """

    names: tuple[str, ...]
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ticket:
    """A turn at a board.

    Attributes:
        board: as the farm calls it.
        identity: whose turn it is, in the farm's words.
    """

    board: str
    identity: str


class Provider(Protocol):
    """Where boards come from. Its methods are called from the boards' threads."""

    def boards(self) -> list[FarmBoard]:
        """Return the boards there are, by name.

        Raises:
            FarmError: the farm cannot be reached.
        """

    def take(self, wanted: str | AnyOf, patience: Patience) -> Ticket:
        """Wait in the farm's queue for a turn at a board, or at one of several, and take it.

        Raises:
            FarmError: there is no such board, it cannot be used, or others have all of them for longer than we wait.
        """

    def check(self, ticket: Ticket) -> State:
        """Tell whether a turn still is ours; one that the farm has forgotten is taken again.

        A turn that somebody has ended or taken is lost: they want the board.
        """

    def give(self, ticket: Ticket) -> None:
        """End a turn; one that is over, or that the farm does not know, is fine."""

    def release(self, name: str, owner: str) -> bool:
        """End the turn of an owner that is known to be dead; return whether it is that owner's no more.

        Raises:
            FarmError: the farm does not answer.
        """

    def power(self, ticket: Ticket, action: PowerAction) -> None:
        """Switch a board's power, only while its turn is held.

        Raises:
            FarmError: the farm cannot switch this board, or the turn is not held.
        """


class Listed:
    """The provider of an inventory's own boards: there is no farm, and the lease on the board is all there is.

    Args:
        listed: the boards of the file.
    """

    def __init__(self, listed: list[FarmBoard]) -> None:
        self._listed = {board.name: board for board in listed}

    def boards(self) -> list[FarmBoard]:
        """Return the boards of the file, in its order."""
        return list(self._listed.values())

    def take(self, wanted: str | AnyOf, patience: Patience) -> Ticket:
        """Return a ticket that says nothing: whose turn it is, the board's lease decides."""
        names = (wanted,) if isinstance(wanted, str) else wanted.names
        name = next((name for name in names if name in self._listed), None)
        if name is None:
            raise FarmError(f"no board {' or '.join(names)}; there are: {', '.join(self._listed)}")
        return Ticket(name, "")

    def check(self, ticket: Ticket) -> State:
        """Return ``held``."""
        return "held"

    def give(self, ticket: Ticket) -> None:
        """Do nothing."""

    def release(self, name: str, owner: str) -> bool:
        """Return True: nobody has a turn here."""
        return True

    def power(self, ticket: Ticket, action: PowerAction) -> None:
        """Refuse: a meter with a switch does it (``tunebench meter power-cycle``)."""
        raise FarmError(
            f"{ticket.board}: no farm switches its power; `tunebench meter power-cycle {ticket.board}` does, with a meter"
        )
