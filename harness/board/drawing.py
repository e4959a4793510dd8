"""Draw boards of farms by their tags: any that are free, so many as are asked for, or one in place of another.

A plan knows its boards, since series belong to boards; so the turns come first, and are kept for the boards' queues. A
board whose place is free, but which somebody measures on or which does not answer, is given back, and another is taken.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from queue import SimpleQueue

from tunebench.harness.board.environment import owner
from tunebench.harness.board.link import Interrupted, Link, connect
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.errors import UsageError
from tunebench.harness.farm.provider import AnyOf, FarmError, Patience
from tunebench.harness.farm.source import Pool, parse, provider
from tunebench.harness.farm.turns import Turn, Turns
from tunebench.reports.records import Skip
from tunebench.targets.client.board import Board
from tunebench.targets.errors import ConditionError, TargetError
from tunebench.targets.payload import Blob

#: For how long the lease is taken that shows that nobody is there: it is given back at once.
_HOLD_S = 30.0
#: A board that is drawn and does not answer is given back after so long: others can be had.
_LINK_S = 10.0
#: How often whoever waits for a draw looks whether there is something to tell.
_TELL_S = 0.2
#: What a reason begins with where somebody else has the board.
CONTESTED = "contested"


class Contested(ConditionError):
    """Somebody else has the board: its place was taken or released, or its lease is theirs."""

    def __init__(self, board_id: str, reason: str) -> None:
        super().__init__(f"{board_id}: {CONTESTED}: {reason}", "lease")


@dataclass(frozen=True)
class Drawn:
    """Boards that a run may be planned on.

    Attributes:
        boards: those that are always taken and those that were drawn, in the inventory's order.
        left_out: boards that were drawn and given back, each with the reason.
    """

    boards: tuple[BoardEntry, ...]
    left_out: tuple[Skip, ...] = ()


def pools_of(boards: Sequence[BoardEntry]) -> dict[Pool, list[BoardEntry]]:
    """Return the boards of which a run takes only some, by their pool."""
    pools: dict[Pool, list[BoardEntry]] = {}
    for board in boards:
        if board.pool is not None:
            pools.setdefault(board.pool, []).append(board)
    return pools


def at_most(boards: Sequence[BoardEntry]) -> list[BoardEntry]:
    """Return boards of whose pools a run takes no more than are left to choose from."""
    left = {pool: len(candidates) for pool, candidates in pools_of(boards).items()}
    return [
        board
        if board.pool is None or left[board.pool] >= board.pool.count
        else board.of_pool(Pool(board.pool.source, left[board.pool]))
        for board in boards
    ]


def check_counts(boards: Sequence[BoardEntry]) -> None:
    """Refuse a choice of boards that leaves fewer of a pool than a run takes.

    Raises:
        UsageError: names those that are left.
    """
    for pool, candidates in pools_of(boards).items():
        if len(candidates) < pool.count:
            raise UsageError(
                f"{pool.source.farm}: count = {pool.count}, but only {', '.join(board.id for board in candidates)}"
                " may be taken (--boards); choose more of them, or lower the count"
            )


def draw(boards: Sequence[BoardEntry], turns: Turns, payload: Blob, tell: Callable[[str], None]) -> Drawn:
    """Take a turn at so many boards of each pool as it says; the turns are kept for their queues.

    Args:
        boards: what may be taken.
        turns: keeps those that are taken, also where this fails: whoever made it gives them back.
        payload: the agent, which tells who measures on a board.
        tell: says for whom it waits; called in this thread only.

    Raises:
        UsageError: fewer are left to choose from than a pool says.
        FarmError: not so many can be had.
    """
    check_counts(boards)
    stop = threading.Event()
    lines: SimpleQueue[str] = SimpleQueue()
    draws = [
        _Draw(pool, candidates, turns, payload, lines.put, stop)
        for pool, candidates in pools_of(boards).items()
    ]
    wanted = [of_pool for of_pool in draws for _ in range(of_pool.pool.count)]
    if wanted:
        # All at once, so that all stand in the farm's queue before any is waited for.
        with ThreadPoolExecutor(max_workers=len(wanted), thread_name_prefix="draw") as workers:
            pending = {workers.submit(of_pool.take) for of_pool in wanted}
            try:
                while pending:
                    _, pending = wait(pending, timeout=_TELL_S)
                    while not lines.empty():
                        tell(lines.get())
            except BaseException:
                stop.set()
                raise
        failures = [error for of_pool in draws for error in of_pool.failures]
        if failures:
            raise failures[0]
    taken = {board_id for of_pool in draws for board_id in of_pool.taken}
    return Drawn(
        tuple(board for board in boards if board.pool is None or board.id in taken),
        tuple(skip for of_pool in draws for skip in of_pool.left_out),
    )


def draw_one(
    candidates: Sequence[BoardEntry],
    turns: Turns,
    payload: Blob,
    tell: Callable[[str], None],
    stop: threading.Event,
) -> Drawn:
    """Take a turn at any one of these boards of one pool, and wait for it in this thread.

    Args:
        candidates: what may be taken; at least one.
        turns: as above.
        payload: as above.
        tell: as above.
        stop: ends the wait.

    Raises:
        FarmError: none of them can be had, or the wait was stopped.
    """
    (pool,) = pools_of(candidates)
    of_pool = _Draw(Pool(pool.source, 1), candidates, turns, payload, tell, stop)
    of_pool.take_one()
    return Drawn(tuple(board for board in candidates if board.id in of_pool.taken), tuple(of_pool.left_out))


@dataclass
class _Draw:
    """The draw from one pool; ``take`` is called once for each board that is wanted, from as many threads."""

    pool: Pool
    candidates: Sequence[BoardEntry]
    turns: Turns
    payload: Blob
    tell: Callable[[str], None]
    stop: threading.Event
    taken: list[str] = field(default_factory=list)
    left_out: list[Skip] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> None:
        """Take a turn at one more board on which nobody is; why none is to be had is kept among the failures."""
        try:
            self.take_one()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for this thread
            if not self.stop.is_set():
                self.failures.append(error)
            self.stop.set()  # without this one the others are of no use

    def take_one(self) -> None:
        """Take a turn at one more board on which nobody is.

        Raises:
            FarmError: none is to be had.
        """
        farm = provider(parse(self.pool.source.farm))
        give_up_s = time.monotonic() + max(entry.patience_s for entry in self.candidates)
        while True:
            by_place = self._left()
            if not by_place:
                reasons = "; ".join(f"{skip.board_id}: {skip.reason}" for skip in self.left_out[-5:])
                raise FarmError(
                    f"{self.pool.source.farm}: {len(self.taken)} of {self.pool.count} boards can be had:"
                    f" {reasons or 'the others are ours already'}"
                )
            patience = Patience(max(0.0, give_up_s - time.monotonic()), self.tell, self.stop)
            turn = Turn(farm, farm.take(AnyOf(tuple(by_place), self.pool.source.tags), patience))
            entry = by_place[turn.ticket.board]
            if entry.id not in {board.id for board in self._left().values()}:
                turn.give()  # another of our threads has had it since this one stood in the queue
                continue
            try:
                reason = self._in_the_way(entry)
            except BaseException:
                turn.give()
                raise
            if reason is None:
                with self._lock:
                    self.taken.append(entry.id)
                self.turns.keep(entry.id, turn)
                of_farm = f"place {turn.ticket.board} of {self.pool.source.farm}"
                self.tell(f"{entry.id}: {of_farm} is ours, as {turn.ticket.identity}")
                return
            with self._lock:
                self.left_out.append(Skip(board_id=entry.id, reason=reason[:1000]))
            turn.give()
            self.tell(f"{entry.id}: {reason}; another board is taken")

    def _left(self) -> dict[str, BoardEntry]:
        """Return the boards that may still be taken, by their place."""
        with self._lock:
            gone = {*self.taken, *(skip.board_id for skip in self.left_out)}
        return {entry.place or entry.id: entry for entry in self.candidates if entry.id not in gone}

    def _in_the_way(self, entry: BoardEntry) -> str | None:
        """Return why a board is of no use now though its place is ours: the lease on it is taken, and given back.

        Raises:
            FarmError: the user asked to stop.
        """
        me = owner(f"draw-{os.getpid()}-{entry.id}")

        def note(message: str) -> None:
            self.tell(f"{entry.id}: {message}")

        try:
            with contextlib.closing(Board(entry.spec())) as board:
                connect(board, self.stop, note)
                link = Link(
                    board, self.stop, [self.payload], note, patience_s=_LINK_S, condition_patience_s=0.0
                )
                link.sync()
                link.occupy(me, _HOLD_S)
                link.persist(lambda: board.release(me))
        except ConditionError as error:
            return f"{CONTESTED}: {error}"
        except TargetError as error:
            return f"cannot be used: {error}"
        except Interrupted:
            raise FarmError(f"{entry.id}: the draw was stopped") from None
        return None
