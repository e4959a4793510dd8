"""The cells of a campaign: one method on one board under one set of conditions; their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from tunebench.reports.analysis.energy import joules
from tunebench.reports.analysis.row import (
    Accuracy,
    CellNumbers,
    PhaseTimes,
    ReasonCount,
    RepeatedEnergy,
    ScopeEnergy,
    TimedEnergy,
)
from tunebench.reports.analysis.within.inference import served
from tunebench.reports.analysis.within.instructions import instructions
from tunebench.reports.analysis.within.language import text_training
from tunebench.reports.analysis.within.partition import partitioned
from tunebench.reports.analysis.within.phases import UNEXPLAINED, phase_order
from tunebench.reports.analysis.within.spreads import known_spread as _known_spread
from tunebench.reports.analysis.within.spreads import spread as _spread
from tunebench.reports.analysis.within.sustained import lasting
from tunebench.reports.formatting.training_words import DEFAULTS, setting
from tunebench.reports.records import Repetition
from tunebench.reports.results.frames import CELL, CONDITIONS, frame, pairs, usable
from tunebench.reports.results.layout import count
from tunebench.reports.stats.paired import Comparison, compare
from tunebench.reports.stats.sample import mean_sd, median_interval

_EVALUATE = "evaluate"
#: The metric in which a workload tells the resident memory of its process before it read data and made a network.
IDLE_RSS = "idle_rss_b"
#: Keys of training that cost time; schedule, alpha and LoRA+'s ratio change a factor only.
_COSTLY = ("optimizer", "clip", "weight_decay", "batchnorm", "head", "accumulate")
_WORST_FIRST = ("invalid", "degraded", "valid")


@dataclass(frozen=True)
class Cell:
    """Repetitions that may be pooled: same board, task, label and conditions.

    Attributes:
        reps: all of them, every role, in the order stored.
        table: their frame.
        counted: the rows of ``table`` that may stand in a number, one a block.
    """

    reps: list[Repetition]
    table: pd.DataFrame
    counted: pd.DataFrame

    @property
    def first(self) -> Repetition:
        """Return the first repetition: all of a cell agree in the fields that define the cell."""
        return self.reps[0]

    @property
    def timed(self) -> list[Repetition]:
        """Return the timed repetitions, however they ended."""
        return [rep for rep in self.reps if rep.role == "timed"]

    @property
    def instrumented(self) -> list[Repetition]:
        """Return the instrumented repetitions that ended well."""
        ended = [rep for rep in self.reps if rep.role == "instrumented" and rep.outcome == "ok"]
        return [rep for rep in ended if rep.verdict != "invalid" and rep.wall_s]

    @property
    def usable(self) -> list[Repetition]:
        """Return the repetitions that stand in ``counted``."""
        ids = set(self.counted["rep_id"])
        return [rep for rep in self.reps if rep.rep_id in ids]

    def conditions(self) -> tuple[Any, ...]:
        """Return the conditions that must be equal before two cells are compared."""
        return tuple(getattr(self.first, name) for name in CONDITIONS)


def cells(repetitions: Sequence[Repetition]) -> list[Cell]:
    """Group repetitions into cells; correctness checks and idle baselines belong to no method and are left out."""
    reps = [rep for rep in repetitions if rep.role not in ("check", "idle")]
    table = frame(reps)
    counted = usable(table)
    counted_of = counted.groupby(CELL, dropna=False, sort=False).indices if len(counted) else {}
    groups = []
    for key, rows in table.groupby(CELL, dropna=False, sort=False).indices.items() if len(table) else ():
        positions = [int(row) for row in rows]
        chosen = counted.iloc[counted_of[key]] if key in counted_of else counted.iloc[0:0]
        groups.append(Cell(reps=[reps[i] for i in positions], table=table.iloc[positions], counted=chosen))
    return groups


def paired(baseline: Cell, candidate: Cell, *, delta: float) -> tuple[Comparison | None, str | None]:
    """Compare the seconds of two cells, paired by block; return the comparison or the reason why there is none."""
    if baseline.conditions() != candidate.conditions():
        return None, "engine build, device, threads, dtype or power mode differ: never compared"
    values = pairs(baseline.counted, candidate.counted)
    if values.empty:
        return None, f"no block in which both this and {baseline.first.label} were measured"
    return compare(values["baseline"].tolist(), values["candidate"].tolist(), delta=delta), None


def unequal_work(baseline: Cell, cell: Cell) -> list[str]:
    """List what of the work differs from the baseline's: then the speed-up is not only the method's.

    The parameters ``epochs`` and ``batch``, what of the training costs time (:data:`_COSTLY`; a user's own method does
    not tell), and the steps that were made, unless the epochs alone explain them.
    """
    base, own = baseline.first.params, cell.first.params
    differing = [
        f"{name}: {own.get(name)} against {base.get(name)}"
        for name in ("epochs", "batch")
        if name in base and name in own and base[name] != own[name]
    ]
    if not (baseline.first.own or cell.first.own):
        for name in _COSTLY:
            ours, theirs = (params.get(name, DEFAULTS[name]) for params in (own, base))
            if ours != theirs:
                differing.append(f"{name}: {setting(ours)} against {setting(theirs)}")
    steps, base_steps = steps_of(cell), steps_of(baseline)
    if steps is None or base_steps is None or steps == base_steps:
        return differing
    epochs, base_epochs = own.get("epochs"), base.get("epochs")
    if isinstance(epochs, int) and isinstance(base_epochs, int) and base.get("batch") == own.get("batch"):
        explained = epochs != base_epochs and steps * base_epochs == base_steps * epochs
        return differing if explained else [*differing, f"steps: {steps} against {base_steps}"]
    return [*differing, f"steps: {steps} against {base_steps}"]


def steps_of(cell: Cell) -> int | None:
    """Return the training steps of one fine-tuning, as the repetitions that count tell them; None if none does."""
    steps = _agreed([rep.steps for rep in cell.usable])
    return steps if isinstance(steps, int) else None


def numbers(cell: Cell) -> CellNumbers:
    """Compute all figures of a cell except its comparison with the baseline."""
    first, used = cell.first, cell.usable
    repeated, repeated_missing = joules(cell.reps)
    energy, energy_missing = _energy(cell, repeated, repeated_missing)
    verdict, reasons = _validity(cell)
    return CellNumbers(
        board_id=first.board_id,
        board_kind=first.board_kind,
        board_model=first.board_model,
        emulated=first.emulated,
        power_mode=first.power_mode,
        task=first.task,
        dataset=first.dataset,
        model=first.model,
        label=first.label,
        method=first.method,
        own=first.own,
        aa_control=first.aa_control,
        engine=first.engine,
        engine_build=first.engine_build,
        engine_version=_agreed([rep.prov.engine_version for rep in cell.reps]),
        device=first.device,
        threads=first.threads,
        dtype=first.dtype,
        params=first.params,
        steps=_agreed([rep.steps for rep in used]),
        n=len(used),
        rep_ids=[rep.rep_id for rep in used],
        counts=count(cell.timed),
        policy=first.policy,
        sustained=lasting(used),
        wall_s=_spread([rep.wall_s for rep in used]),
        wall_missing=None if used else _why_no_time(cell),
        peak_rss_b=_spread([rep.peak_rss_b for rep in used]),
        peak_rss_missing=_missing(used, "peak_rss_b", lambda rep: rep.peak_rss_b),
        idle_rss_b=_spread([_idle(rep) for rep in used]),
        over_idle_b=_spread([_over_idle(rep) for rep in used]),
        over_idle_missing=_why_no_increment(cell),
        pmu=instructions(used),
        pmu_missing=_missing(used, "instructions", lambda rep: rep.pmu),
        joules=repeated,
        joules_missing=repeated_missing,
        energy=energy,
        energy_missing=energy_missing,
        accuracy=_accuracy(used),
        accuracy_missing=_missing(used, "quality", lambda rep: rep.quality.after),
        params_total=_agreed([rep.params_total for rep in used]),
        params_trainable=_agreed([rep.params_trainable for rep in used]),
        update_b=_agreed([rep.update_b for rep in used]),
        cache_b=_agreed([rep.cache_b for rep in used]),
        optimizer_state_b=_agreed([rep.optimizer_state_b for rep in used]),
        cache_hit_ratio=_agreed([rep.cache_hit_ratio for rep in used]),
        temp_max_c=max((t for rep in used if (t := rep.conditions.temp_max_c) is not None), default=None),
        verdict=verdict,
        reasons=reasons,
        phases=_phases(cell),
        instrumentation_overhead=_overhead(cell),
        curve=_curve(cell),
        inference=served(used),
        partition=partitioned(cell.reps, used),
        texts=text_training(cell.reps, used),
    )


def _agreed(values: Iterable[Any]) -> Any:
    """Return the value that all records share, or the median of numbers, or a list of texts; None if none is known."""
    known = [value for value in values if value is not None]
    if not known or all(value == known[0] for value in known):
        return known[0] if known else None
    if all(isinstance(value, int | float) for value in known):
        return sorted(known)[len(known) // 2]
    return ", ".join(sorted({str(value) for value in known}))


def _missing(used: Sequence[Repetition], key: str, get: Callable[[Repetition], Any]) -> str | None:
    if any(get(rep) is not None for rep in used):
        return None
    if not used:
        return "no repetition that may be used"
    reasons = [rep.missing[key] for rep in used if key in rep.missing]
    return Counter(reasons).most_common(1)[0][0] if reasons else "not measured; the record gives no reason"


def _idle(rep: Repetition) -> float | None:
    """Return the idle interpreter's memory, bytes; a module of one's own may call a number of its own like that."""
    idle_b = None if rep.own else rep.metrics.get(IDLE_RSS)
    return idle_b if idle_b is not None and idle_b > 0 else None


def _over_idle(rep: Repetition) -> float | None:
    """Return the peak memory less the idle interpreter's, bytes; None where either is not known or they contradict."""
    idle_b, peak_b = _idle(rep), rep.peak_rss_b
    return peak_b - idle_b if idle_b is not None and peak_b is not None and idle_b <= peak_b else None


def _why_no_increment(cell: Cell) -> str | None:
    used = cell.usable
    if any(_over_idle(rep) is not None for rep in used):
        return None
    if not used:
        return "no repetition that may be used"
    if cell.first.own:
        return "a module of one's own loads its engine itself: there is no moment at which it is idle"
    if any(_idle(rep) is None for rep in used):
        return "the memory of the idle interpreter was not recorded (a run of an earlier version, or no /proc there)"
    return "the peak is not known, or lies below the idle interpreter's memory: not believed"


def _why_no_time(cell: Cell) -> str:
    if not cell.timed:
        return "no timed repetition was recorded"
    reasons = [rep.outcome_reason or _first_reason(rep) or rep.outcome for rep in cell.timed]
    return Counter(reasons).most_common(1)[0][0]


def _first_reason(rep: Repetition) -> str | None:
    return rep.reasons[0].message if rep.reasons else rep.missing.get("wall_s")


def _energy(
    cell: Cell, repeated: Sequence[ScopeEnergy], repeated_missing: str | None
) -> tuple[RepeatedEnergy | TimedEnergy | None, str | None]:
    """Return the energy of one fine-tuning in the widest scope, or None and the reason why there is none.

    Energy repetitions are preferred; without them the timed windows count where they last long enough.
    """
    if repeated:
        widest = repeated[0]
        return RepeatedEnergy(
            of="energy repetitions",
            gross_j=widest.j,
            scope=widest.scope,
            source=widest.source,
            net_j=widest.net_j,
            mean_w=widest.mean_w,
            quantum_w=widest.quantum_w,
            min_samples=widest.min_samples,
            max_gap_s=widest.max_gap_s,
            k=widest.k,
        ), None
    known = [rep.energy for rep in cell.usable if rep.energy is not None]
    if not known:
        return None, _why_no_energy(cell, repeated_missing)
    sources = {(energy.scope, energy.source) for energy in known}
    if len(sources) > 1:
        names = "; ".join(sorted(f"{scope} by {source}" for scope, source in sources))
        return None, f"repetitions differ in scope or source: {names}"
    return TimedEnergy(
        of="timed windows",
        scope=known[0].scope,
        source=known[0].source,
        gross_j=_known_spread([energy.gross_j / (energy.repeats or 1) for energy in known]),
        net_j=_spread([energy.net_j / (energy.repeats or 1) for energy in known if energy.net_j is not None]),
        mean_w=mean_sd([energy.mean_w for energy in known])[0],
        quantum_w=known[0].quantum_w,
        min_samples=min(energy.n_samples for energy in known),
        max_gap_s=max(energy.max_gap_s for energy in known),
        k=min(energy.repeats for energy in known),
    ), None


def _why_no_energy(cell: Cell, repeated_missing: str | None) -> str | None:
    if any(rep.role == "energy" for rep in cell.reps):
        return str(repeated_missing)
    reason = _missing(cell.usable, "energy", lambda rep: rep.energy)
    if reason and reason.startswith("not measured;"):
        reason = _missing(cell.usable, "power", lambda rep: rep.energy)
    if reason and reason.startswith("the window of"):
        return f"{reason}; a suite with energy = true repeats the fine-tuning until it is long enough"
    return reason


def _accuracy(used: Sequence[Repetition]) -> Accuracy | None:
    after = [rep.quality.after for rep in used if rep.quality.after is not None]
    if not after:
        return None
    before = [rep.quality.before for rep in used if rep.quality.before is not None]
    mean, sd = mean_sd(after)
    before_mean, before_sd = mean_sd(before) if before else (None, None)
    return Accuracy(
        metric=used[0].quality.metric,
        n=len(after),
        n_items=_agreed([rep.quality.n_items for rep in used]),
        before_mean=before_mean,
        before_sd=before_sd,
        after_mean=mean,
        after_sd=sd,
    )


def _validity(cell: Cell) -> tuple[str, list[ReasonCount]]:
    """Return the worst verdict among the repetitions used in the numbers, and the reasons of all timed repetitions."""
    verdicts = {rep.verdict for rep in cell.usable}
    verdict = next((name for name in _WORST_FIRST if name in verdicts), "invalid")
    tally: Counter[tuple[str, str]] = Counter()
    for rep in cell.timed:
        # In the record's order: of reasons that are equally frequent, the first met stands first in every process.
        tally.update(dict.fromkeys(((reason.code, reason.message) for reason in rep.reasons), 1))
        if rep.outcome != "ok" and not rep.reasons:
            tally[(rep.outcome, rep.outcome_reason or "no reason recorded")] += 1
    by_code: dict[str, ReasonCount] = {}
    for (code, message), times in tally.most_common():
        known = by_code.get(code, ReasonCount(code, message, 0))
        by_code[code] = replace(known, n=known.n + times)
    # How a repetition ended explains more than where it ran: it stands first.
    return verdict, sorted(by_code.values(), key=lambda reason: reason.code != "outcome")


def _phases(cell: Cell) -> PhaseTimes | None:
    """Return the seconds of a step by phase, as means over the instrumented repetitions; evaluation is kept apart."""
    reps = [rep for rep in cell.instrumented if rep.steps and rep.window_phases_s]
    if not reps:
        return None
    steps = sum(rep.steps or 0 for rep in reps)
    total: dict[str, float] = {}
    for rep in reps:
        for phase, phase_s in rep.window_phases_s.items():
            total[phase] = total.get(phase, 0.0) + phase_s
    evaluate_s = total.pop(_EVALUATE, 0.0)
    wall_s = sum(rep.wall_s or 0.0 for rep in reps) - evaluate_s
    explained = {name: total[name] for name in phase_order(total) if name not in UNEXPLAINED}
    return PhaseTimes(
        n=len(reps),
        steps=steps,
        step_s=wall_s / steps,
        by_phase_s={name: phase_s / steps for name, phase_s in explained.items()},
        unaccounted_s=max(0.0, wall_s - sum(explained.values())) / steps,
        evaluate_s=evaluate_s / len(reps),
    )


def _overhead(cell: Cell) -> float | None:
    """Return the relative cost of the per-step marks: instrumented time (without evaluation) / timed - 1, by medians."""
    timed = [rep.wall_s for rep in cell.usable if rep.wall_s]
    marked = [(rep.wall_s or 0.0) - rep.window_phases_s.get(_EVALUATE, 0.0) for rep in cell.instrumented]
    if not timed or not marked:
        return None
    return median_interval(marked).median / median_interval(timed).median - 1


def _curve(cell: Cell) -> list[tuple[int, float, float]]:
    """Return the curve (metric against seconds of training) of the first instrumented repetition that has a curve."""
    return next((list(rep.quality.curve) for rep in cell.instrumented if rep.quality.curve), [])
