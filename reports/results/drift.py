"""What changed on a board between the begin and the end of a campaign, and what that makes of its records.

The end of a campaign is known only when its records have long been written, and those are append-only. So the
verdict in ``reps.jsonl`` is what was known then, and the reader adds what the end revealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from tunebench.reports.records import BoardEnv, Reason, Repetition

CODE = "environment-changed"

Env = Callable[[str, Literal["before", "after"]], BoardEnv | None]


def changes(before: BoardEnv, after: BoardEnv) -> list[dict[str, Any]]:
    """Every key of the fingerprint that differs: ``tier``, ``key``, ``before``, ``after``."""
    found = []
    for tier in sorted(set(before.fingerprint) | set(after.fingerprint)):
        old, new = before.fingerprint.get(tier, {}), after.fingerprint.get(tier, {})
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                found.append({"tier": tier, "key": key, "before": old.get(key), "after": new.get(key)})
    return found


def judged(
    repetitions: Sequence[Repetition], changed: Mapping[str, list[dict[str, Any]]]
) -> list[Repetition]:
    """The records with the reason added on boards that changed; ``valid`` becomes ``degraded``.

    Args:
        changed: board -> its changes.
    """
    reasons = {board_id: _reason(found) for board_id, found in changed.items() if found}
    return [_with(one, reasons[one.board_id]) if one.board_id in reasons else one for one in repetitions]


def changed_boards(board_ids: Iterable[str], env: Env) -> dict[str, list[dict[str, Any]]]:
    """Board -> its changes, of those that were probed before and after."""
    found = {}
    for board_id in dict.fromkeys(board_ids):
        before, after = env(board_id, "before"), env(board_id, "after")
        if before is not None and after is not None:
            found[board_id] = changes(before, after)
    return found


def _reason(found: Sequence[Mapping[str, Any]]) -> Reason:
    told = [f"{one['tier']}.{one['key']}: {_short(one['before'])} -> {_short(one['after'])}" for one in found]
    more = f" and {len(told) - 4} more" if len(told) > 4 else ""
    return Reason(
        code=CODE,
        message=f"the board changed during the campaign: {'; '.join(told[:4])}{more}",
        level="degraded",
        values={
            f"{one['tier']}.{one['key']}": f"{_short(one['before'])} -> {_short(one['after'])}"
            for one in found
        },
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with(rep: Repetition, reason: Reason) -> Repetition:
    if any(one.code == CODE for one in rep.reasons):
        return rep
    verdict = "degraded" if rep.verdict == "valid" else rep.verdict
    return rep.model_copy(update={"verdict": verdict, "reasons": [*rep.reasons, reason]})
