"""Whether what was planned was measured: each once, where and as planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunebench.harness.planning import energy_windows
from tunebench.harness.planning.attempts import MAX_ATTEMPTS, to_be_repeated
from tunebench.harness.verify.discrepancy import Discrepancy, Lined
from tunebench.reports.records import Skip
from tunebench.reports.results.layout import PLAN
from tunebench.reports.results.reader import RunReader

_AS_PLANNED = ("board_id", "block", "slot", "role", "seed", "task", "label", "method")


def plan_against_records(reader: RunReader, lines: Sequence[Lined]) -> Iterator[Discrepancy]:
    """Every planned repetition has exactly one ending, every record was planned."""
    plan = {
        str(one.get("rep_id")): one for one in reader.plan.get("repetitions") or [] if isinstance(one, dict)
    }
    skipped = reader.manifest.skipped if reader.manifest else []
    yield from _doubled(lines)
    by_id = {one.rep.rep_id: one for one in lines}
    for rep_id, planned in plan.items():
        last = by_id.get(rep_id)
        for attempt in range(2, MAX_ATTEMPTS + 1):
            if last is not None and to_be_repeated(last.rep):
                last = by_id.get(f"{rep_id}.try{attempt}")
        if last is None and not any(_covers(skip, planned) for skip in skipped):
            yield Discrepancy(
                "not-measured", PLAN, None, f"{rep_id} was planned and has no record, and no skip says why"
            )
    for one in lines:
        first = one.rep.rep_id.rsplit(".try", 1)[0] if one.rep.attempt > 1 else one.rep.rep_id
        if first not in plan:
            yield one.finding("not-planned", f"{PLAN} knows nothing of it")
        else:
            yield from _differs(one, plan[first])


def _doubled(lines: Sequence[Lined]) -> Iterator[Discrepancy]:
    seen = Counter[str]()
    for one in lines:
        seen[one.rep.rep_id] += 1
        if seen[one.rep.rep_id] > 1:
            yield one.finding("doubled", "is recorded more than once")


def _differs(one: Lined, planned: Mapping[str, Any]) -> Iterator[Discrepancy]:
    for name in _AS_PLANNED:
        if name in planned and getattr(one.rep, name) != planned[name]:
            yield one.finding(
                "not-as-planned", f"{name} is {getattr(one.rep, name)!r}, planned was {planned[name]!r}"
            )


def _covers(skip: Skip, planned: Mapping[str, Any]) -> bool:
    """As :func:`tunebench.harness.planning.repetition.covers`, of a plan as it was written."""
    if skip.board_id != planned.get("board_id"):
        return False
    if skip.label is not None and (skip.task, skip.label) != (planned.get("task"), planned.get("label")):
        return False
    role = planned.get("role")
    idle_too = skip.role == energy_windows.ENERGY and skip.label is None and role == energy_windows.IDLE
    return skip.role is None or skip.role == role or idle_too
