"""Keep in touch with a board whose link may break: ask again until it answers or patience ends."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from tunebench.harness.board.dead_owner import dead_holder
from tunebench.harness.board.meter import BoardMeter
from tunebench.harness.planning import limits
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import SyncReport
from tunebench.targets.client.replies import Lease, Owner
from tunebench.targets.errors import BlobError, ConditionError, LinkError, NoAnswerError, UnreachableError
from tunebench.targets.payload import Blob

Value = TypeVar("Value")


#: How long a vanished board may take to come back before the rest of its queue is skipped.
LINK_PATIENCE_S = 180.0
#: How long a board that cannot be reached may take when a campaign begins: a server that restarts, a link that flaps.
CONNECT_PATIENCE_S = 6.0
#: How long a board may stay hot, busy or leased before the repetition is given up (the inventory's ``patience_s``).
CONDITION_PATIENCE_S = 600.0
#: How often a command may end without an answer (the board's kernel killed it: memory ran out) and is asked again.
MAX_UNANSWERED = 2
#: How often a host that waits for a lease looks whether it is free, and says for whom it waits.
LEASE_LOOK_S = 60.0
#: How often the user hears how far an upload is.
UPLOAD_LOOK_S = 10.0


class Interrupted(Exception):
    """The user asked to stop; what is on the board stays resumable."""


def connect(board: Board, stop: threading.Event, note: Callable[[str], None]) -> None:
    """Connect for the first time, with little patience: the whole queue of a board that is not reached is left out.

    Raises:
        TargetError: it cannot be reached, or not be used.
        Interrupted: the user asked to stop.
    """
    give_up_s = time.monotonic() + CONNECT_PATIENCE_S
    while True:
        try:
            return board.connect()
        except (LinkError, UnreachableError) as error:
            if time.monotonic() + 1.0 > give_up_s:
                raise
            note(f"connecting again: {error}")
        if stop.wait(1.0):
            raise Interrupted


class Link:
    """Carry out idempotent actions on a board, over broken links too, until patience ends or the user stops.

    Args:
        board: connected or not.
        stop: set when the user asked to stop; then nothing waits any more.
        blobs: what must be on the board; pushed again where somebody has removed it.
        note: tells the user what is waited for.
        patience_s: how long a vanished board may take to come back.
        condition_patience_s: how long it may stay hot, busy or leased.
        meter: the board's external meter.
    """

    def __init__(
        self,
        board: Board,
        stop: threading.Event,
        blobs: Sequence[Blob] = (),
        note: Callable[[str], None] = lambda _: None,
        *,
        patience_s: float = LINK_PATIENCE_S,
        condition_patience_s: float = CONDITION_PATIENCE_S,
        meter: BoardMeter | None = None,
    ) -> None:
        self.meter = meter or BoardMeter(None)
        self._note = note
        self.board = board
        self._blobs = list(blobs)
        self._stop = stop
        self._patience_s = patience_s
        self._condition_patience_s = condition_patience_s

    @contextlib.contextmanager
    def using(self, board: Board) -> Iterator[None]:
        """Reach the same board over another connection as long as the context is open."""
        own, self.board = self.board, board
        try:
            yield
        finally:
            self.board = own

    @property
    def patience_s(self) -> float:
        """Return how long a vanished board may take to come back."""
        return self._patience_s

    def persist(self, action: Callable[[], Value]) -> Value:
        """Return what an action returns; do it again, over a new connection, if the link breaks.

        Raises:
            UnreachableError: the board did not come back in time.
            NoAnswerError: its commands end without an answer, one after the other.
            Interrupted: the user asked to stop.
        """
        give_up_s: float | None = None
        pause_s = 0.2
        unanswered = 0
        lacking = False
        while True:
            self.check_stop()
            tried_s = time.monotonic()
            try:
                if not self.board.ssh.alive:
                    self.board.reconnect()
                    self.check_stop()
                if lacking:
                    # Somebody has tidied the board: push what it lacks, then ask again.
                    self._push()
                    lacking = False
                return action()
            except (LinkError, UnreachableError, NoAnswerError) as error:
                unanswered += isinstance(error, NoAnswerError)
                if unanswered > MAX_UNANSWERED:
                    raise
                # From its first failure on, and anew where it had held for so long: a wait may last longer than patience.
                if give_up_s is None or time.monotonic() - tried_s > self._patience_s:
                    give_up_s = time.monotonic() + self._patience_s
                # All of its patience: for so long, at least, the board was silent when this raises.
                left_s = give_up_s - time.monotonic()
                if left_s <= 0:
                    raise UnreachableError(
                        f"the link did not come back within {self._patience_s:g} s: {error}"
                    ) from error
                self._note(f"asking again: {error}")
                lacking = lacking or isinstance(error, BlobError)
                if not isinstance(error, (BlobError, NoAnswerError)):
                    self.board.ssh.close()
                self.pause(min(pause_s, left_s))
                pause_s = min(2 * pause_s, 10.0)

    def check_stop(self) -> None:
        """Raise if the user asked to stop; for work that does not go through :meth:`persist`.

        Raises:
            Interrupted: the user asked to stop.
        """
        if self._stop.is_set():
            raise Interrupted

    def tell(self, message: str) -> None:
        """Say something to the user."""
        self._note(message)

    def sync(self, *more: Blob) -> SyncReport:
        """Push the blobs that the board lacks, and return what was pushed; ``more`` are needed from now on."""
        self._blobs += more
        return self.persist(self._push)

    def _push(self) -> SyncReport:
        next_s = time.monotonic() + UPLOAD_LOOK_S

        def tell(sent_b: int, total_b: int) -> None:
            nonlocal next_s
            if time.monotonic() >= next_s:
                next_s += UPLOAD_LOOK_S
                self._note(f"uploading: {sent_b / 1e6:.0f} of {total_b / 1e6:.0f} MB")

        return self.board.sync(self._blobs, tell)

    def when_ready(
        self, action: Callable[[Sequence[str]], Value], waivable: Mapping[str, float] | None = None
    ) -> Value:
        """Return what an action returns; repeat it while the board refuses because it is hot, busy or leased.

        Args:
            action: called with the codes of the gates that the board should only note from now on.
            waivable: code of a gate -> seconds after which it is waived.

        Raises:
            ConditionError: it refused for longer than we wait.
        """
        begun_s = time.monotonic()
        waived: list[str] = []
        pause_s = 1.0
        while True:
            try:
                return self.persist(functools.partial(action, tuple(waived)))
            except ConditionError as error:
                waited_s = time.monotonic() - begun_s
                bound_s = (waivable or {}).get(error.code or "")
                if bound_s is not None and error.code not in waived and waited_s + pause_s > bound_s:
                    self._note(f"waited {waited_s:.0f} s, goes on: {error}")
                    waived.append(str(error.code))
                    continue
                self._note(f"waiting: {error}")
                if waited_s + pause_s > self._condition_patience_s:
                    raise
                self.pause(pause_s)
                pause_s = min(2 * pause_s, 15.0)

    def occupy(self, owner: Owner, hold_s: float) -> Lease:
        """Take the board's lease, or wait for it: on the board and without traffic, so that nobody is disturbed.

        A lease whose owner is a dead process of this host is taken over at once; a repetition that it left running is
        waited for.

        Raises:
            ConditionError: another has it for longer than we wait; the message says who.
        """
        give_up_s = time.monotonic() + self._condition_patience_s
        dead: Owner | None = None
        wait_s = 0.0  # first a look, so that the user learns at once for whom we wait
        while True:
            ask = functools.partial(self.board.occupy, owner, hold_s, wait_s, dead)
            try:
                return self.persist(ask)
            except ConditionError as error:
                left_s = give_up_s - time.monotonic()
                died = dead_holder(error)
                if died is not None and died != dead and (dead is None or left_s > 0):
                    # Nobody is going to give it back. The board takes it over only if it is still that process's.
                    dead, wait_s = died, 0.0
                    self._note(f"process {died.pid} of this host, which held the lease, is dead")
                    continue
                self._note(f"waiting: {error}")
                if left_s <= 0:
                    raise
                wait_s = min(LEASE_LOOK_S, max(0.1, left_s))

    def pause(self, seconds: float) -> None:
        """Wait, unless the user asks to stop.

        Raises:
            Interrupted: the user asked to stop.
        """
        if self._stop.wait(seconds):
            raise Interrupted


def clean_up(link: Link, rep_id: str, hold_s: float = limits.GAP_S) -> None:
    """Remove a repetition from the board once its record is safe; the lease holds for ``hold_s`` more seconds."""
    link.persist(lambda: link.board.clean(rep_id, hold_s))
