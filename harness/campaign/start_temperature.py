"""Find the temperature from which a board's repetitions start, from what is stored of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tunebench.harness.planning.limits import START_TEMP_C
from tunebench.reports.results.state import Stored


def begun_at(records: Iterable[Stored], board_id: str) -> dict[str, float]:
    """Where the first repetition of a run began, so that a resumed run goes on alike."""
    for one in records:
        if one.board_id == board_id and one.temp_start_c is not None:
            return {START_TEMP_C: one.temp_start_c}
    return {}


def settle(begun: dict[str, float], conditions: dict[str, Any], warnings: list[dict[str, str]]) -> None:
    """Note where a repetition began: the first sets the mark; one that could not keep it moves the mark.

    A board whose surroundings have warmed up would otherwise wait before every repetition, for nothing.
    """
    temp_c = conditions.get("temp_c")
    if isinstance(temp_c, bool) or not isinstance(temp_c, int | float):
        return
    moved = any(one.get("code") in ("start-temp", "start-cold") for one in warnings if isinstance(one, dict))
    if moved or START_TEMP_C not in begun:
        begun[START_TEMP_C] = float(temp_c)
