"""Join net energy to records: gross less what the idle board draws, measured before and after.

The baseline behind an energy repetition is measured when its record is long on disk, and records are written once.
So net is joined here, whenever results are read; a record that stands alone has gross only.

Rules (EEMBC, MLPerf Power; docs/measurement.md): both baselines must be there, of the same scope and source; they may
differ by max(3%, 2 quanta) at most; the load must stand out by 3 sigma of the idle samples and by 2 quanta.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunebench.reports.records import Energy, Repetition

MAX_DRIFT = 0.03
MAX_DRIFT_QUANTA = 2.0
MIN_SIGMA = 3.0
MIN_QUANTA = 2.0

NOT_BRACKETED = "no idle baselines lie around it; an energy repetition has them"
STRESSED = "the idle baselines were measured quietly, without its stressor"


def with_net(repetitions: Sequence[Repetition]) -> list[Repetition]:
    """Return the repetitions; their energies get net figures, or the reason why there are none.

    Block ``b``'s energy repetitions lie between the idle baselines ``b`` and ``b + 1`` of the same board; of
    several attempts the last stands. Where blocks were added to a run, the baseline at which it had ended (slot 0) was
    measured once more before they began (slot 1): the first is behind the old blocks, the second before the new ones.
    """
    idle: Idle = {}
    for rep in repetitions:
        if rep.role == "idle":
            idle.setdefault((rep.board_id, rep.block), {})[rep.slot] = rep
    return [_joined(rep, idle) for rep in repetitions]


#: (board, block) -> slot -> idle baseline.
Idle = dict[tuple[str, int], dict[int, Repetition]]


def _joined(rep: Repetition, idle: Idle) -> Repetition:
    if rep.role == "idle" or (rep.energy is None and not rep.energy_other):
        return rep
    if rep.role != "energy":
        energies = [_not_bracketed(energy) for energy in _energies(rep)]
    elif rep.stressor is not None:
        energies = [_without_net(energy, STRESSED) for energy in _energies(rep)]
    else:
        earlier, later = idle.get((rep.board_id, rep.block), {}), idle.get((rep.board_id, rep.block + 1), {})
        before = earlier[max(earlier)] if earlier else None
        after = later[min(later)] if later else None
        energies = [net(energy, before, after) for energy in _energies(rep)]
    primary = energies.pop(0) if rep.energy is not None else None
    return rep.model_copy(update={"energy": primary, "energy_other": energies})


def _not_bracketed(energy: Energy) -> Energy:
    return _without_net(energy, NOT_BRACKETED)


def _without_net(energy: Energy, reason: str) -> Energy:
    return energy if energy.net_j is not None else energy.model_copy(update={"net_reason": reason})


def _energies(rep: Repetition) -> list[Energy]:
    return [*([rep.energy] if rep.energy is not None else []), *rep.energy_other]


def net(energy: Energy, before: Repetition | None, after: Repetition | None) -> Energy:
    """Return ``energy`` with net figures from the idle repetitions before and after it, or with ``net_reason``."""
    idle: list[Energy] = []
    reasons: list[str] = []
    for name, rep in (("before", before), ("after", after)):
        baseline = _idle_energy(energy, rep)
        if isinstance(baseline, str):
            reasons.append(f"no idle baseline {name} it: {baseline}")
        else:
            idle.append(baseline)
    fields: dict[str, float | str | None] = {
        "idle_before_w": _watts(energy, before),
        "idle_after_w": _watts(energy, after),
        "idle_source": ", ".join(rep.rep_id for rep in (before, after) if rep is not None) or None,
    }
    reason = "; ".join(reasons) or _fault(energy, idle)
    if reason:
        return energy.model_copy(
            update={**fields, "net_j": None, "net_j_per_finetuning": None, "net_reason": reason}
        )
    net_j = energy.gross_j - _mean(idle) * (energy.window_s or 0.0)
    fields |= {"net_j": net_j, "net_reason": None}
    fields["net_j_per_finetuning"] = net_j / energy.repeats if energy.repeats else None
    return energy.model_copy(update=fields)


def _idle_energy(energy: Energy, rep: Repetition | None) -> Energy | str:
    """Return the baseline's energy of the same scope and source, or why there is none."""
    if rep is None:
        return "it was not measured"
    if rep.outcome != "ok" or rep.verdict == "invalid":
        return rep.outcome_reason or next((reason.message for reason in rep.reasons), rep.outcome)
    for candidate in _energies(rep):
        if (candidate.scope, candidate.source) == (energy.scope, energy.source):
            return candidate
    if _energies(rep):
        return f"its power is of another source than {energy.scope} by {energy.source}"
    return rep.missing.get("energy") or rep.missing.get("power") or "its power is not known"


def _watts(energy: Energy, rep: Repetition | None) -> float | None:
    baseline = _idle_energy(energy, rep)
    return None if isinstance(baseline, str) else baseline.mean_w


def _mean(energies: Iterable[Energy]) -> float:
    watts = [energy.mean_w for energy in energies]
    return sum(watts) / len(watts)


def _fault(energy: Energy, idle: Sequence[Energy]) -> str | None:
    """Return the reason why net energy cannot be trusted although both baselines are there; None if it can."""
    if not energy.window_s:
        return "the record does not say how long its window lasts"
    idle_w, quantum_w = _mean(idle), energy.quantum_w or 0.0
    drift_w = abs(idle[0].mean_w - idle[1].mean_w)
    allowed_w = max(MAX_DRIFT * idle_w, MAX_DRIFT_QUANTA * quantum_w)
    if drift_w > allowed_w:
        return (
            f"the idle board drew {idle[0].mean_w:.3g} W before and {idle[1].mean_w:.3g} W after: "
            f"{allowed_w:.2g} W of difference is allowed"
        )
    load_w, sigma_w = energy.mean_w - idle_w, max(baseline.std_w or 0.0 for baseline in idle)
    least_w = max(MIN_SIGMA * sigma_w, MIN_QUANTA * quantum_w)
    if load_w <= 0 or load_w < least_w:
        return (
            f"the load adds {load_w:.3g} W to the {idle_w:.3g} W of the idle board; less than "
            f"{least_w:.2g} W is not told from its noise and the sensor's steps"
        )
    return None
