"""Compare a board before and after a campaign, and degrade the records of one that changed.

The end of a campaign is known only when its records have long been written, and those are append-only. So the
verdict in ``reps.jsonl`` is what was known then, and the reader adds what the end revealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tunebench.reports.records import BoardEnv, Reason, Repetition

CODE = "environment-changed"

Env = Callable[[str, Literal["before", "after"]], BoardEnv | None]


@dataclass(frozen=True, slots=True)
class Change:
    """A key of a board's fingerprint that differs between two probes, with both values."""

    tier: str
    key: str
    before: object
    after: object


def changes(before: BoardEnv, after: BoardEnv) -> list[Change]:
    """Return every key of the fingerprint that differs."""
    differing = []
    for tier in sorted(set(before.fingerprint) | set(after.fingerprint)):
        old, new = before.fingerprint.get(tier, {}), after.fingerprint.get(tier, {})
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                differing.append(Change(tier, key, old.get(key), new.get(key)))
    return differing


#: Keys of the hardware tier that differ from boot to boot of one machine.
_FROM_BOOT_TO_BOOT = ("ram_b", "cores_online")
_SERIAL = "serial_sha256"


def other_machine(before: Mapping[str, object], after: Mapping[str, object]) -> list[Change]:
    """Return what tells that two hardware tiers are of different machines; empty if nothing does.

    Serial numbers decide where both are known. What was not readable on one side tells nothing.

    >>> other_machine({"model": "Pi 5", "ram_b": 1}, {"model": "Pi 5", "ram_b": 2, "soc": "bcm2712"})
    []
    >>> other_machine({"model": "Pi 5"}, {"model": "Pi 4"})[0].key
    'model'
    """
    differing = [
        Change("hardware", key, before[key], after[key])
        for key in sorted(set(before) & set(after) - set(_FROM_BOOT_TO_BOOT))
        if before[key] is not None and after[key] is not None and before[key] != after[key]
    ]
    if before.get(_SERIAL) is not None and after.get(_SERIAL) is not None:
        return differing if before[_SERIAL] != after[_SERIAL] else []
    return differing


def judged(repetitions: Sequence[Repetition], changed: Mapping[str, list[Change]]) -> list[Repetition]:
    """Return the records; those of boards that changed get the reason, and ``valid`` becomes ``degraded``.

    Args:
        changed: board -> its changes.
    """
    reasons = {board_id: _reason(differing) for board_id, differing in changed.items() if differing}
    return [_with(rep, reasons[rep.board_id]) if rep.board_id in reasons else rep for rep in repetitions]


def changed_boards(board_ids: Iterable[str], env: Env) -> dict[str, list[Change]]:
    """Return the changes by board, for the boards that were probed before and after."""
    changed = {}
    for board_id in dict.fromkeys(board_ids):
        before, after = env(board_id, "before"), env(board_id, "after")
        if before is not None and after is not None:
            changed[board_id] = changes(before, after)
    return changed


def _reason(changed: Sequence[Change]) -> Reason:
    texts = [
        f"{change.tier}.{change.key}: {_short(change.before)} -> {_short(change.after)}" for change in changed
    ]
    more = f" and {len(texts) - 4} more" if len(texts) > 4 else ""
    return Reason(
        code=CODE,
        message=f"the board changed during the campaign: {'; '.join(texts[:4])}{more}",
        level="degraded",
        values={
            f"{change.tier}.{change.key}": f"{_short(change.before)} -> {_short(change.after)}"
            for change in changed
        },
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with(rep: Repetition, reason: Reason) -> Repetition:
    if any(known.code == CODE for known in rep.reasons):
        return rep
    verdict = "degraded" if rep.verdict == "valid" else rep.verdict
    return rep.model_copy(update={"verdict": verdict, "reasons": [*rep.reasons, reason]})
