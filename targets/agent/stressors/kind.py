"""Define what a kind of stressor is: its keys, what applies it, and why a board may not have it."""

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from tunebench.targets.agent.job.stress import Stressor
from tunebench.targets.agent.workdir import Workdir

Params = Dict[str, Any]


class Key(NamedTuple):
    """One key of a kind, a whole number.

    Attributes:
        default: what holds where the suite says nothing.
        low: the smallest that is allowed.
        high: the largest.
        about: what it means, with its unit.
    """

    default: int
    low: int
    high: int
    about: str


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
        absent: (keys' values, place) -> why it cannot be had on this board, or ``None``; changes nothing.
        is_data: codes of checks whose objection is an effect of it: what they find is shown, and excludes nothing.
    """

    keys: Dict[str, Key]
    make: Callable[[Params, Place], Stressor]
    absent: Callable[[Params, Place], Optional[str]]
    is_data: Tuple[str, ...] = ()
