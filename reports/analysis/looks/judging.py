"""Say at which level methods are judged: that of a fixed campaign, or of a look at a run that may stop early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tunebench.reports.analysis.row import NotCompared, Verdict
from tunebench.reports.records import LookTaken
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.attainable import ALPHA


@dataclass(frozen=True)
class Judging:
    """At which level the methods of one board and task are judged, and by which blocks.

    Attributes:
        alpha: probability of any false claim among them, in time, energy and memory. Accuracy is looked at once, at the
            end, and judged as in a fixed campaign: when the run stops does not depend on it.
        before_block: only blocks before this one are judged; None: all.
        look: the number of the look, from 1; None in a fixed campaign.
        looks: how many looks the run takes at most.
        first_look: no look was taken yet: after how many blocks the first one comes.
    """

    alpha: float = ALPHA
    before_block: int | None = None
    look: int | None = None
    looks: int = 0
    first_look: int | None = None


#: (board, task) -> how it is judged.
JudgingOf = Callable[[str, str], Judging]
FIXED = Judging()


def judging_of(reader: RunReader) -> JudgingOf:
    """Return how each board and task of a run is judged: by the last look that was taken at it.

    Blocks behind that look are not judged before the next one: who reads a report meanwhile takes no look of his own.
    """
    looks = reader.plan_view.suite.looks
    if not looks:
        return lambda board_id, task: FIXED
    last: dict[tuple[str, str], LookTaken] = {(look.board_id, look.task): look for look in reader.looks}
    numbers = {blocks: number for number, (blocks, _) in enumerate(looks, start=1)}

    def of(board_id: str, task: str) -> Judging:
        taken = last.get((board_id, task))
        if taken is None:
            return Judging(looks[0][1], None, None, len(looks), looks[0][0])
        return Judging(taken.alpha, taken.blocks, numbers.get(taken.blocks), len(looks))

    return of


def at_look(reader: RunReader, blocks: int, alpha: float) -> JudgingOf:
    """Return how every board and task is judged at one look."""
    judging = Judging(alpha, blocks, 1, len(reader.plan_view.suite.looks))
    return lambda board_id, task: judging


def is_clear(judged: Verdict | NotCompared | None) -> bool:
    """Tell whether a comparison is decided."""
    return isinstance(judged, Verdict) and judged.verdict not in ("UNCLEAR", "NO VERDICT")


def no_look_words(judging: Judging) -> str:
    """Say that a run that stops when it is decided has not been looked at yet."""
    return f"No look was taken yet: the first one comes after {judging.first_look} blocks."
