"""Check that everything planned was measured once, where and as planned, or skipped with a reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tunebench.harness.planning import energy_windows
from tunebench.harness.planning.attempts import MAX_ATTEMPTS, to_be_repeated
from tunebench.harness.verify.discrepancy import Discrepancy, RecordLine
from tunebench.reports.records import Skip
from tunebench.reports.results.layout import PLAN
from tunebench.reports.results.reader import RunReader

_AS_PLANNED = ("board_id", "block", "slot", "role", "seed", "task", "label", "method", "base")


def plan_against_records(reader: RunReader, lines: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    """Check that every planned repetition ended exactly once, and that every record was planned."""
    plan = {str(planned.get("rep_id")): planned for planned in reader.plan_view.repetitions}
    skipped = reader.manifest.skipped if reader.manifest else []
    yield from _doubled(lines)
    by_id = {line.record.rep_id: line.record for line in lines}
    for rep_id, planned in plan.items():
        last = by_id.get(rep_id)
        for attempt in range(2, MAX_ATTEMPTS + 1):
            if last is not None and to_be_repeated(last):
                last = by_id.get(f"{rep_id}.try{attempt}")
        if last is None and not any(_covers(skip, planned) for skip in skipped):
            yield Discrepancy(
                "not-measured", PLAN, None, f"{rep_id} was planned and has no record, and no skip says why"
            )
    for line in lines:
        first = line.record.rep_id.rsplit(".try", 1)[0] if line.record.attempt > 1 else line.record.rep_id
        if first not in plan:
            yield line.discrepancy("not-planned", f"{PLAN} knows nothing of it")
        else:
            yield from _differs(line, plan[first])


def _doubled(lines: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    seen = Counter[str]()
    for line in lines:
        seen[line.record.rep_id] += 1
        if seen[line.record.rep_id] > 1:
            yield line.discrepancy("doubled", "is recorded more than once")


def _differs(line: RecordLine, planned: Mapping[str, object]) -> Iterator[Discrepancy]:
    for name in _AS_PLANNED:
        if name in planned and getattr(line.record, name) != planned[name]:
            yield line.discrepancy(
                "not-as-planned", f"{name} is {getattr(line.record, name)!r}, planned was {planned[name]!r}"
            )


def _covers(skip: Skip, planned: Mapping[str, object]) -> bool:
    """Return whether a skip leaves a planned repetition out.

    As :func:`tunebench.harness.planning.repetition.covers`, of a plan as it was written.
    """
    if skip.board_id != planned.get("board_id"):
        return False
    if skip.label is not None and (skip.task, skip.label) != (planned.get("task"), planned.get("label")):
        return False
    block = planned.get("block")
    if skip.from_block is not None and not (isinstance(block, int) and block >= skip.from_block):
        return False
    role = planned.get("role")
    idle_too = skip.role == energy_windows.ENERGY and skip.label is None and role == energy_windows.IDLE
    return skip.role is None or skip.role == role or idle_too
