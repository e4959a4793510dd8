"""Decide what follows a repetition that a board lost: its slot is measured once more.

A reboot, a power cut or a killed agent ends a repetition without a result. It is recorded as ``lost`` with its reason
and has no measurement. A second attempt follows at once in the same block and slot; its id is that of the first with
``.try2``. So no slot is measured twice, and none is left empty by a board that came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Outcome
from tunebench.targets.agent import protocol

#: A board that loses the same slot twice is not asked a third time: the loss is then a result.
MAX_ATTEMPTS = 2

REBOOTED = "the board rebooted while it ran; nothing of it was measured"


class Attempt(Protocol):
    """The part of a record that says which attempt it was, and how it ended."""

    @property
    def rep_id(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    @property
    def outcome(self) -> Outcome: ...


Recorded = TypeVar("Recorded", bound=Attempt)


def to_be_repeated(record: Attempt) -> bool:
    """Tell whether another attempt follows this record."""
    return record.outcome == "lost" and record.attempt < MAX_ATTEMPTS


def next_attempt(planned: Planned) -> Planned:
    """Return the next attempt at the slot of a repetition."""
    attempt = planned.attempt + 1
    first_id = planned.rep_id if planned.attempt == 1 else planned.rep_id.rsplit(".try", 1)[0]
    return replace(planned, rep_id=f"{first_id}.try{attempt}", attempt=attempt)


def still_open(planned: Sequence[Planned], records: Iterable[Attempt]) -> list[Planned]:
    """Return what is left of a plan: repetitions without a record, and the next attempt of those that were lost."""
    by_id = {record.rep_id: record for record in records}
    open_repetitions = []
    for repetition in planned:
        due = repetition
        while due.rep_id in by_id and to_be_repeated(by_id[due.rep_id]):
            due = next_attempt(due)
        if due.rep_id not in by_id:
            open_repetitions.append(due)
    return open_repetitions


def last_attempts(records: Iterable[Recorded]) -> list[Recorded]:
    """Return the records that count for how a run ends: lost ones that were repeated are left out."""
    tried = list(records)
    ids = {record.rep_id for record in tried}

    def was_repeated(record: Attempt) -> bool:
        first_id = record.rep_id.rsplit(".try", 1)[0] if record.attempt > 1 else record.rep_id
        return to_be_repeated(record) and f"{first_id}.try{record.attempt + 1}" in ids

    return [record for record in tried if not was_repeated(record)]


def boot_id_of(files: Mapping[str, bytes]) -> str | None:
    """Return the id of the boot in which a job was started, from its journal; ``None`` where that was lost too."""
    first_line = files.get("journal.jsonl", b"").split(b"\n", 1)[0]
    try:
        entry = protocol.loads(first_line.decode())
    except ValueError:
        return None
    boot_id = entry.get("boot_id") if isinstance(entry, dict) else None
    return boot_id if isinstance(boot_id, str) else None
