"""Energy of one fine-tuning: medians over a cell's energy repetitions, a column of its own for each scope."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, get_args

from tunebench.reports.records import Energy, Repetition, Scope
from tunebench.reports.results.layout import rep_class
from tunebench.reports.stats.paired import median_interval

SCOPES: tuple[str, ...] = get_args(Scope)
SCOPE_NAMES = {
    "wall_ac": "at the wall",
    "dc_input": "DC input",
    "board_input": "board input",
    "module": "module only",
    "rails_sum": "sum of rails",
    "soc_rail": "SoC rail only",
}
#: What a number of this scope does not tell.
MISSES = {
    "wall_ac": "holds the power supply's own losses (10 to 25%)",
    "dc_input": "leaves out the power supply's losses",
    "board_input": "leaves out the power supply's losses",
    "module": "leaves out the carrier board, its converters and the power supply (some 15% of a small board's input)",
    "rails_sum": "is a lower bound: what is fed straight from the input (USB, storage, fan, HATs) and the converters' "
    "losses are missing",
    "soc_rail": "is one rail: the rest of the board is missing, memory as a rule too",
}
#: Scopes that do not hold all that the board draws.
PARTIAL = ("module", "rails_sum", "soc_rail")


def energy_reps(reps: Sequence[Repetition]) -> list[Repetition]:
    """Those of role ``energy`` that may stand in a number; of several attempts in one block the last."""
    kept = {
        rep.block: rep for rep in reps if rep.role == "energy" and rep_class(rep) in ("valid", "degraded")
    }
    return list(kept.values())


def joules(reps: Sequence[Repetition]) -> dict[str, Any]:
    """``joules`` (one entry a scope and source, widest scope first) and ``joules_missing`` of a cell.

    Args:
        reps: all of a cell's repetitions.
    """
    wanted = [rep for rep in reps if rep.role == "energy"]
    if not wanted:
        return {"joules": [], "joules_missing": "no energy repetition was run"}
    kept = energy_reps(reps)
    if not kept:
        told = next((rep.outcome_reason for rep in wanted if rep.outcome_reason), None)
        told = told or next((one.message for rep in wanted for one in rep.reasons), None)
        return {"joules": [], "joules_missing": told or "no energy repetition that may be used"}
    found = by_source(kept)
    if not found:
        reasons = [rep.missing.get("energy") or rep.missing.get("power") for rep in kept]
        told = next((reason for reason in reasons if reason), "the records give no reason")
        return {"joules": [], "joules_missing": told}
    order = sorted(found, key=lambda key: SCOPES.index(key[0]))
    return {"joules": [_entry(found[key], len(kept)) for key in order], "joules_missing": None}


Pair = tuple[Repetition, Energy]


def by_source(reps: Sequence[Repetition]) -> dict[tuple[str, str], list[Pair]]:
    """Energies by scope and source: never pooled over either."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for rep in reps:
        for one in [rep.energy, *rep.energy_other]:
            if one is not None and one.repeats:
                found.setdefault((one.scope, one.source), []).append((rep, one))
    return found


def _entry(pairs: Sequence[Pair], n_all: int) -> dict[str, Any]:
    energies = [one for _, one in pairs]
    first = energies[0]
    gross = [one.gross_j / one.repeats for one in energies]
    nets = [one.net_j / one.repeats for one in energies if one.net_j is not None]
    reasons = [one.net_reason for one in energies if one.net_j is None]
    idle = [w for one in energies for w in (one.idle_before_w, one.idle_after_w) if w is not None]
    errors = [one.error_j / one.gross_j for one in energies if one.error_j is not None and one.gross_j > 0]
    bounds = [one.clock_bound_s for one in energies if one.clock_bound_s is not None]
    shares = [1 - sum(rep.repeats_s) / rep.wall_s for rep, _ in pairs if _is_whole(rep) and rep.wall_s]
    return {
        "scope": first.scope,
        "source": first.source,
        "rails": first.rails,
        "corrected": any(one.corrected for one in energies),
        "n": len(energies),
        "n_refused": n_all - len(energies),
        "k": sorted(one.repeats for one in energies)[len(energies) // 2],
        "j": _spread(gross),
        "net_j": _spread(nets) if nets else None,
        "net_missing": (reasons[0] or "no reason recorded") if reasons else None,
        "mean_w": median(one.mean_w for one in energies),
        "idle_w": median(idle) if idle else None,
        "quantum_w": first.quantum_w,
        "min_samples": min(one.n_samples for one in energies),
        "max_gap_s": max(one.max_gap_s for one in energies),
        "error_share": max(errors, default=None),
        "clock_bound_s": max(bounds, default=None),
        "restart_share": max(shares, default=None),
        "rep_ids": [rep.rep_id for rep, _ in pairs],
        "misses": MISSES[first.scope],
    }


def _is_whole(rep: Repetition) -> bool:
    """Whether the record holds the seconds of every fine-tuning: a long series is thinned."""
    return bool(rep.repeats_s) and rep.repeats == len(rep.repeats_s)


def _spread(values: Sequence[float]) -> dict[str, Any]:
    found = median_interval(list(values))
    return {
        "n": found.n,
        "median": found.median,
        "low": found.low,
        "high": found.high,
        "interval": found.kind,
        "confidence": found.confidence,
    }


def one_scope_a_column(rows: Sequence[dict[str, Any]]) -> None:
    """Keep one scope a board and task in ``energy``, the widest: what differs stands under its own in ``joules``."""
    widest: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["energy"]:
            key, scope = (row["board_id"], row["task"]), row["energy"]["scope"]
            widest[key] = min(widest.get(key, scope), scope, key=SCOPES.index)
    for row in rows:
        kept = widest.get((row["board_id"], row["task"]))
        if row["energy"] and row["energy"]["scope"] != kept:
            scope = row["energy"]["scope"]
            row["energy"] = None
            row["energy_missing"] = (
                f"measured as {SCOPE_NAMES[scope]} only; this column holds {SCOPE_NAMES[str(kept)]}"
            )
