"""Define what a kind of stressor is: its keys, what applies it, and why a board may not have it."""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from tunebench.targets.agent.job.stress import Stressor
from tunebench.targets.agent.workdir import Workdir

Params = Dict[str, Any]


class Key(NamedTuple):
    """One key of a kind: a whole number, or a word.

    Attributes:
        default: what holds where the suite says nothing.
        low: the smallest number that is allowed.
        high: the largest.
        words: the words that it may be, in place of a number.
        free: it is a word that only the board knows.
        about: what it means, with its unit.
    """

    default: Any
    low: int = 0
    high: int = 0
    words: Tuple[str, ...] = ()
    free: bool = False
    about: str = ""

    @property
    def allowed(self) -> str:
        """Say what it may be."""
        if self.free:
            return "a text of 1 to 32 characters (%s)" % self.about
        return ", ".join(self.words) or "a whole number from %d to %d (%s)" % (
            self.low,
            self.high,
            self.about,
        )

    def fits(self, value: Any) -> bool:
        """Tell whether a value is one that it may have."""
        if self.free:
            return isinstance(value, str) and 1 <= len(value) <= 32 and value.isprintable()
        if self.words:
            return value in self.words
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


class Place(NamedTuple):
    """Where a stressor is applied.

    Attributes:
        root: where the board's files begin.
        workdir: the working directory, with the undo list.
        most_b: memory that may be taken from others; ``None``: all that there is.
        job_dir: of the repetition; ``None`` before there is one.
        payload: the file that holds the agent.
        owner: as in the lease, with the ``rep_id`` of the repetition.
    """

    root: str
    workdir: Workdir
    most_b: Optional[int] = None
    job_dir: Optional[str] = None
    payload: str = ""
    owner: Dict[str, Any] = {}


class Kind(NamedTuple):
    """One kind of stressor.

    Attributes:
        keys: its keys in ``[[stressor]]``, by name.
        make: (keys' values, place) -> the stressor of one repetition.
        absent: (keys' values, place) -> why it cannot be had on this board, or ``None``; nothing stays changed.
        is_data: codes of checks whose objection is an effect of it: what they find is shown, and excludes nothing.
    """

    keys: Dict[str, Key]
    make: Callable[[Params, Place], Stressor]
    absent: Callable[[Params, Place], Optional[str]]
    is_data: Tuple[str, ...] = ()
