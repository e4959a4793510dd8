"""Describe one repetition to come, and name the key under which its duration is learnt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tunebench.harness.config.suite import Workload
from tunebench.harness.planning import energy_windows
from tunebench.reports.records import Repetition, Skip

#: Board, task, label, and the role where it decides how long a repetition takes.
DurationKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Planned:
    """One repetition to come: which workload, on which board, in which block and place."""

    rep_id: str
    board_id: str
    block: int
    slot: int
    role: str
    seed: int
    workload: Workload
    #: Roles ``energy`` and ``idle``: how long the window lasts at least.
    window_s: float = 0.0
    #: Counts from 1; see :mod:`tunebench.harness.planning.attempts`.
    attempt: int = 1
    #: Pretraining base whose start weights it begins from; None: the suite has one, or it has no start weights.
    base: int | None = None

    @property
    def duration_key(self) -> DurationKey:
        """Return the key under which its duration is learnt."""
        return duration_key(self.board_id, *self.workload.key, self.role)

    @property
    def deadline_s(self) -> float:
        """Return the seconds after which the board ends it."""
        if self.role in energy_windows.ROLES:
            return energy_windows.deadline_s(self.role, self.window_s, self.workload.deadline_s)
        return self.workload.deadline_s

    @property
    def least_s(self) -> float:
        """Return the seconds that it takes at least on any board; 0: not known beforehand."""
        return energy_windows.least_s(self.role, self.window_s)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``plan.json`` says of it."""
        return {
            "rep_id": self.rep_id,
            "board_id": self.board_id,
            "block": self.block,
            "slot": self.slot,
            "role": self.role,
            "seed": self.seed,
            "task": self.workload.task,
            "label": self.workload.label,
            "method": self.workload.method,
            # Only in suites of several: plans without keep their form.
            **({"base": self.base} if self.base is not None else {}),
        }


def duration_key(board_id: str, task: str, label: str, role: str) -> DurationKey:
    """Return the key of a repetition's duration; timed, checked and instrumented ones share theirs."""
    return (board_id, task, label, role if role in energy_windows.ROLES else "")


def key_of(record: Repetition) -> DurationKey:
    """Return the key of a record's duration."""
    return duration_key(record.board_id, record.task, record.label, record.role)


def covers(skip: Skip, planned: Planned) -> bool:
    """Tell whether a skip leaves this repetition out; idle baselines go with a board's energy repetitions."""
    if skip.board_id != planned.board_id:
        return False
    if skip.label is not None and (skip.task, skip.label) != planned.workload.key:
        return False
    if skip.from_block is not None and planned.block < skip.from_block:
        return False
    with_energy = (
        skip.role == energy_windows.ENERGY and skip.label is None and planned.role == energy_windows.IDLE
    )
    return skip.role is None or skip.role == planned.role or with_energy
