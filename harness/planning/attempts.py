"""What is done about a repetition that a board lost: say why, and measure its slot once more.

A reboot, a power cut or a killed agent ends a repetition without a result. It is recorded as ``lost`` with its reason,
has no measurement, and is followed at once by a second attempt in the same block and slot, whose id is the first one's
with ``.try2``. So no slot is measured twice, and none is left empty by a board that came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Outcome
from tunebench.targets.agent import protocol

#: A board that loses the same slot twice is not asked a third time: that is a finding.
MAX_ATTEMPTS = 2

REBOOTED = "the board rebooted while it ran; nothing of it was measured"


class Attempt(Protocol):
    """Of a record: which attempt it was, and how it ended."""

    @property
    def rep_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def outcome(self) -> Outcome: ...


Recorded = TypeVar("Recorded", bound=Attempt)


def to_be_repeated(record: Attempt) -> bool:
    """Whether another attempt follows this record."""
    return record.outcome == "lost" and record.attempt < MAX_ATTEMPTS


def next_attempt(planned: Planned) -> Planned:
    """The same slot once more."""
    attempt = planned.attempt + 1
    first_id = planned.rep_id if planned.attempt == 1 else planned.rep_id.rsplit(".try", 1)[0]
    return replace(planned, rep_id=f"{first_id}.try{attempt}", attempt=attempt)


def still_open(planned: Sequence[Planned], records: Iterable[Attempt]) -> list[Planned]:
    """What is left of a plan: repetitions without a record, and the next attempt of those that were lost."""
    by_id = {record.rep_id: record for record in records}
    left = []
    for one in planned:
        due = one
        while due.rep_id in by_id and to_be_repeated(by_id[due.rep_id]):
            due = next_attempt(due)
        if due.rep_id not in by_id:
            left.append(due)
    return left


def last_attempts(records: Iterable[Recorded]) -> list[Recorded]:
    """The records that count for a run's ending: lost ones that were repeated are left out."""
    found = list(records)
    ids = {one.rep_id for one in found}

    def was_repeated(record: Attempt) -> bool:
        first_id = record.rep_id.rsplit(".try", 1)[0] if record.attempt > 1 else record.rep_id
        return to_be_repeated(record) and f"{first_id}.try{record.attempt + 1}" in ids

    return [one for one in found if not was_repeated(one)]


def boot_id_of(files: Mapping[str, bytes]) -> str | None:
    """In which boot of the board a job was started, from its journal; ``None`` where that was lost too."""
    first = files.get("journal.jsonl", b"").split(b"\n", 1)[0]
    try:
        told = protocol.loads(first.decode())
    except ValueError:
        return None
    value = told.get("boot_id") if isinstance(told, dict) else None
    return value if isinstance(value, str) else None
