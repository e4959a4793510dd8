"""Take another board of a farm for a drawn one that somebody else has, at once, while the others measure on.

The plan is frozen: one that also holds the new board's queue takes its place on disk, before anything is measured there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunebench.harness.board.drawing import Drawn, draw_one, pools_of
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.farm.provider import FarmError
from tunebench.harness.farm.turns import Turns
from tunebench.harness.planning.plan import Plan
from tunebench.reports.records import Skip
from tunebench.targets.payload import Blob


@dataclass(frozen=True)
class Substitute:
    """A board that takes the place of one that is lost.

    Attributes:
        board: of the same pool; it measures all blocks, since blocks are compared within a board.
        plan: the run's, with this board in it and the lost one's skip.
    """

    board: BoardEntry
    plan: Plan


class Substitutes:
    """The boards of a run's pools that it has not had yet. Called from the boards' threads.

    Args:
        candidates: boards of the inventory that a draw may take.
        plan: as it was when the campaign began.
        turns: keeps what is taken for its queue.
        payload: the agent, which tells who measures on a board.
        tell: says for whom a draw waits.
        replan: given what was drawn and the lost board's skip, returns the plan that is on disk from then on.
    """

    def __init__(
        self,
        candidates: Sequence[BoardEntry],
        plan: Plan,
        *,
        turns: Turns,
        payload: Blob,
        tell: Callable[[str], None],
        replan: Callable[[Drawn, Skip], Plan],
    ) -> None:
        self._candidates = candidates
        #: Boards that the run has, had, or found in somebody's hands.
        self._met = {board.id for board in plan.boards} | {skip.board_id for skip in plan.skipped}
        self._turns = turns
        self._payload = payload
        self._tell = tell
        self._replan = replan
        # One draw at a time from a pool: two would wait for the same board. Pools do not wait for each other.
        self._drawing = {pool: threading.Lock() for pool in pools_of(candidates)}
        self._planning = threading.Lock()

    def instead_of(self, lost: BoardEntry, reason: str, stop: threading.Event) -> Substitute | None:
        """Draw a board in place of one, wait for it, and plan its queue.

        Args:
            lost: somebody else has it.
            reason: says who; its skip has it.
            stop: ends the wait.

        Returns:
            None: the board was not drawn, or there is no other; what is left of its queue stays open.
        """
        if lost.pool not in self._drawing:
            return None
        with self._drawing[lost.pool]:
            left = [
                board for board in self._candidates if board.pool == lost.pool and board.id not in self._met
            ]
            if not left:
                return None
            self._tell(f"{reason}; another board is taken")
            try:
                drawn = draw_one(left, self._turns, self._payload, self._tell, stop)
            except FarmError as error:
                self._tell(f"no other board is taken: {error}")
                return None
            (board,) = drawn.boards
            self._met |= {board.id, *(skip.board_id for skip in drawn.left_out)}
            with self._planning:
                return Substitute(board, self._replan(drawn, Skip(board_id=lost.id, reason=reason[:1000])))
