"""Lay repetitions out as a tidy pandas table: a row each, units in the column names, missing is NaN or None."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pandas as pd

from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import rep_class

#: What a number belongs to. Values that differ in any of these are never pooled.
CELL = ["board_id", "task", "label", "engine", "engine_build", "device", "threads", "dtype", "power_mode"]
#: Methods are compared only where all of these are equal. The engine is not among them: whoever plans a task
#: decides which engines meet in it (a user's own command beside torch, say), and the report says that they do.
CONDITIONS = [name for name in CELL if name not in ("label", "engine")]

_PLAIN = [
    "rep_id", "block", "slot", "attempt", "role", *CELL, "board_kind", "emulated", "method", "aa_control",
    "own", "seed", "t_start_utc", "wall_s", "process_s", "host_s", "steps", "peak_rss_b", "params_total",
    "params_trainable", "update_b", "optimizer_state_b", "cache_b", "outcome", "verdict",
]  # fmt: skip
COLUMNS = [
    *_PLAIN, "class", "usable", "order", "energy_j", "energy_scope", "energy_source", "energy_repeats",
    "net_j", "accuracy_before",
    "accuracy_after", "temp_max_c", "instructions", "cycles", "cache_misses", "pmu_running",
]  # fmt: skip


def frame(repetitions: Iterable[Repetition]) -> pd.DataFrame:
    """Return a table with a row for each repetition, in the order stored (column ``order``), and all of ``COLUMNS``.

    ``class`` is as in :func:`tunebench.reports.results.count`; ``usable`` marks timed repetitions that ended well and
    were not judged invalid: the only ones that stand in a median.
    """
    rows = [_row(order, rep) for order, rep in enumerate(repetitions)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    for name in ("power_mode", "engine_build"):
        table[name] = table[name].fillna("")
    return table


def usable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that may be used in numbers; of several attempts in one block, the last."""
    rows = table[table["usable"].astype(bool)]
    return rows.drop_duplicates([*CELL, "block"], keep="last")


def pairs(
    baseline: pd.DataFrame, candidate: pd.DataFrame, column: str = "wall_s", *, across: Collection[str] = ()
) -> pd.DataFrame:
    """Pair the values of two cells by block: columns ``block``, ``baseline``, ``candidate``; blocks in order.

    Args:
        baseline: rows of one cell.
        candidate: rows of the other.
        column: whose values.
        across: conditions that may differ, since the difference is what is asked for.

    Raises:
        ValueError: the two differ in board, task, engine build, device, threads, dtype or power mode.
    """
    for name in CONDITIONS:
        if name in across:
            continue
        values = set(baseline[name]) | set(candidate[name])
        if len(values) > 1:
            raise ValueError(f"never compared: {name} differs: {sorted(map(str, values))}")
    left = baseline[["block", column]].rename(columns={column: "baseline"})
    right = candidate[["block", column]].rename(columns={column: "candidate"})
    return left.merge(right, on="block").dropna().sort_values("block", ignore_index=True)


def _row(order: int, rep: Repetition) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(rep, name) for name in _PLAIN}
    row["class"] = rep_class(rep)
    row["usable"] = (
        rep.role == "timed" and rep.outcome == "ok" and rep.verdict != "invalid" and rep.wall_s is not None
        and rep.wall_s > 0
    )  # fmt: skip
    row["order"] = order
    if rep.energy is not None:
        row |= {"energy_j": rep.energy.gross_j, "energy_scope": rep.energy.scope}
        row["energy_source"], row["energy_repeats"] = rep.energy.source, rep.energy.repeats
        row["net_j"] = rep.energy.net_j
    row["accuracy_before"], row["accuracy_after"] = rep.quality.before, rep.quality.after
    row["temp_max_c"] = rep.conditions.temp_max_c
    if rep.pmu is not None:
        # Of one fine-tuning, as wall_s is; a window may hold several.
        counts = {
            "instructions": rep.pmu.instructions,
            "cycles": rep.pmu.cycles,
            "cache_misses": rep.pmu.cache_misses,
        }
        row |= {name: None if count is None else count / rep.pmu.repeats for name, count in counts.items()}
        row["pmu_running"] = rep.pmu.running
    return row
