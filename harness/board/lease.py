"""Hold a board for a campaign: take its lease, keep it, give it back, and leave nothing of ours behind."""

from __future__ import annotations

import threading
import time

from tunebench.harness.board.link import Link, clean_up
from tunebench.harness.planning import limits
from tunebench.targets.agent import lease
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Owner
from tunebench.targets.errors import TargetError, WorkdirError

#: For how long a board is asked to tidy up whose card takes no change just now (read-only, full): that may pass.
TIDY_PATIENCE_S = 20.0
_PAUSE_S = 1.0


class BoardLease:
    """The lease of one board, held for one campaign; a context: leaving it gives the lease back.

    Args:
        link: to the board.
        owner: who holds the lease, as the board stores it.
        stopping: held while connections are cut, so that none is cut that was made to tidy up.
        stop: set when the user asked to stop; then nothing waits any more.

    Attributes:
        link: to the board.
    """

    def __init__(self, link: Link, owner: Owner, stopping: threading.Lock, stop: threading.Event) -> None:
        self.link = link
        self._owner = owner
        self._stopping = stopping
        self._stop = stop
        self._taken = False
        #: Repetitions whose record is safe while their files are still on the board.
        self._to_clean: set[str] = set()

    def __enter__(self) -> BoardLease:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self.leave(error)
            return
        try:
            self.hand_back()
        except BaseException as late:
            self.leave(late)
            raise

    def take(self) -> None:
        """Take the board's lease for the whole queue, and say whose it was where another's had run out.

        Raises:
            ConditionError: another has it for longer than we wait.
        """
        self._taken = True  # also if the answer does not come: the board may have granted it
        former = self.link.occupy(self._owner, limits.SETUP_S).taken_over_from
        if former is not None:
            self.link.tell(lease.describe(former.stored()))

    def clean(self, rep_id: str, hold_s: float) -> None:
        """Remove a repetition from the board once its record is safe; the lease holds for ``hold_s`` more seconds."""
        self._to_clean.add(rep_id)
        clean_up(self.link, rep_id, hold_s)
        self._to_clean.discard(rep_id)

    def hand_back(self) -> None:
        """Give the lease back with all patience; no fault of the board is an error here, since its queue is done."""
        try:
            self.link.persist(lambda: self.link.board.release(self._owner))
        except WorkdirError as error:
            self.leave(error)
        except TargetError as error:
            self._tell_kept(error)

    def leave(self, cause: BaseException) -> None:
        """Tidy up as well as possible when a campaign breaks off; a lease that is not given back expires.

        Args:
            cause: why it ends. A card that took no change may take one a moment later, so such a board is asked
                again, also for what an upload left half done; all others are asked once.
        """
        give_up_s = time.monotonic() + TIDY_PATIENCE_S
        swept = isinstance(cause, WorkdirError)
        while True:
            try:
                return self._tidy(swept)
            except WorkdirError as error:
                swept = True
                if time.monotonic() + _PAUSE_S > give_up_s or self._stop.wait(_PAUSE_S):
                    return self._tell_kept(error)
            except TargetError as error:
                return self._tell_kept(error)

    def free(self, rep_id: str) -> None:
        """Kill the unfinished repetition at Ctrl-C, as well as possible; it is run anew when the run is resumed."""
        try:
            self._reconnected(always=True).clean(rep_id)
        except TargetError as error:
            self.link.tell(f"could not be freed, its repetition runs to its deadline: {error}")

    def _tidy(self, swept: bool) -> None:
        if not (swept or self._taken):
            return
        board = self._reconnected()
        if swept:
            board.sync(())  # asks for nothing: the board removes parts of uploads whose receiver has died
        for rep_id in sorted(self._to_clean) if swept else ():
            board.clean(rep_id)
            self._to_clean.discard(rep_id)
        if self._taken:
            board.release(self._owner)

    def _reconnected(self, *, always: bool = False) -> Board:
        board = self.link.board
        if always or not board.ssh.alive:
            with self._stopping:
                board.reconnect()
        return board

    def _tell_kept(self, error: TargetError) -> None:
        outcome = "the lease was not given back, it will expire" if self._taken else "it was not tidied up"
        self.link.tell(f"{outcome}: {error}")
