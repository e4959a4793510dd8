"""Energy of one fine-tuning: medians over a cell's energy repetitions, a column of its own for each scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import get_args

from tunebench.reports.analysis.row import Median, MethodResult, ScopeEnergy
from tunebench.reports.records import Energy, Repetition, Scope
from tunebench.reports.results.layout import rep_class
from tunebench.reports.stats.sample import median_interval

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
    """Return the usable repetitions of role ``energy``; of several attempts in one block, the last."""
    last_of_block = {
        rep.block: rep for rep in reps if rep.role == "energy" and rep_class(rep) in ("valid", "degraded")
    }
    return list(last_of_block.values())


def joules(reps: Sequence[Repetition]) -> tuple[list[ScopeEnergy], str | None]:
    """Return a cell's energies, one for each scope and source, the widest scope first; if none, the reason.

    Args:
        reps: all of a cell's repetitions.
    """
    reps_of_role = [rep for rep in reps if rep.role == "energy"]
    if not reps_of_role:
        return [], "no energy repetition was run"
    usable_reps = energy_reps(reps)
    if not usable_reps:
        reason = next((rep.outcome_reason for rep in reps_of_role if rep.outcome_reason), None)
        reason = reason or next((reason.message for rep in reps_of_role for reason in rep.reasons), None)
        return [], reason or "no energy repetition that may be used"
    sources = by_source(usable_reps)
    if not sources:
        reasons = [rep.missing.get("energy") or rep.missing.get("power") for rep in usable_reps]
        return [], next((reason for reason in reasons if reason), "the records give no reason")
    order = sorted(sources, key=lambda key: SCOPES.index(key[0]))
    return [_scope_energy(sources[key], len(usable_reps)) for key in order], None


Pair = tuple[Repetition, Energy]


def by_source(reps: Sequence[Repetition]) -> dict[tuple[str, str], list[Pair]]:
    """Group energies by scope and source; energies of different scopes or sources are never pooled."""
    sources: dict[tuple[str, str], list[Pair]] = {}
    for rep in reps:
        for energy in [rep.energy, *rep.energy_other]:
            if energy is not None and energy.repeats:
                sources.setdefault((energy.scope, energy.source), []).append((rep, energy))
    return sources


def _scope_energy(pairs: Sequence[Pair], n_all: int) -> ScopeEnergy:
    energies = [energy for _, energy in pairs]
    first = energies[0]
    gross = [energy.gross_j / energy.repeats for energy in energies]
    nets = [energy.net_j / energy.repeats for energy in energies if energy.net_j is not None]
    reasons = [energy.net_reason for energy in energies if energy.net_j is None]
    idle = [w for energy in energies for w in (energy.idle_before_w, energy.idle_after_w) if w is not None]
    errors = [e.error_j / e.gross_j for e in energies if e.error_j is not None and e.gross_j > 0]
    bounds = [energy.clock_bound_s for energy in energies if energy.clock_bound_s is not None]
    shares = [1 - sum(rep.repeats_s) / rep.wall_s for rep, _ in pairs if _is_whole(rep) and rep.wall_s]
    return ScopeEnergy(
        scope=first.scope,
        source=first.source,
        rails=first.rails,
        corrected=any(energy.corrected for energy in energies),
        n=len(energies),
        n_refused=n_all - len(energies),
        k=sorted(energy.repeats for energy in energies)[len(energies) // 2],
        j=_median(gross),
        net_j=_median(nets) if nets else None,
        net_missing=(reasons[0] or "no reason recorded") if reasons else None,
        mean_w=median(energy.mean_w for energy in energies),
        idle_w=median(idle) if idle else None,
        quantum_w=first.quantum_w,
        min_samples=min(energy.n_samples for energy in energies),
        max_gap_s=max(energy.max_gap_s for energy in energies),
        error_share=max(errors, default=None),
        clock_bound_s=max(bounds, default=None),
        restart_share=max(shares, default=None),
        rep_ids=[rep.rep_id for rep, _ in pairs],
        misses=MISSES[first.scope],
    )


def _is_whole(rep: Repetition) -> bool:
    """Return whether the record holds the seconds of every fine-tuning (a long series is stored thinned)."""
    return bool(rep.repeats_s) and rep.repeats == len(rep.repeats_s)


def _median(values: Sequence[float]) -> Median:
    middle = median_interval(list(values))
    return Median(middle.n, middle.median, middle.low, middle.high, middle.kind, middle.confidence)


def one_scope_a_column(rows: Sequence[MethodResult]) -> list[MethodResult]:
    """Return the rows with the same scope in ``energy`` for all of a board and task: the widest scope.

    Energies of other scopes stand under their own name in ``joules``.
    """
    widest: dict[tuple[str, str], str] = {}
    for row in rows:
        if row.energy:
            key, scope = (row.board_id, row.task), row.energy.scope
            widest[key] = min(widest.get(key, scope), scope, key=SCOPES.index)
    return [_in_scope(row, widest.get((row.board_id, row.task))) for row in rows]


def _in_scope(row: MethodResult, scope: str | None) -> MethodResult:
    if row.energy is None or row.energy.scope == scope:
        return row
    missing = f"measured as {SCOPE_NAMES[row.energy.scope]} only; this column holds {SCOPE_NAMES[str(scope)]}"
    return replace(row, energy=None, energy_missing=missing)
