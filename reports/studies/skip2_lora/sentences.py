"""Sentences of the study, generated from its numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Protocol

from tunebench.reports.formatting.units import clean, percent, significant
from tunebench.reports.studies.skip2_lora.constants import CANDIDATE, REFERENCE
from tunebench.reports.studies.skip2_lora.model import Task, Unit

#: Rates of two methods that differ by less are told as equal.
_SAME_RATE = 0.1
#: Below this share of the best rate seen on the board, the reference itself is not bound by arithmetic.
_FAR_BELOW = 0.5
_NEAR = 0.01
_OURS, _THEIRS = CANDIDATE, REFERENCE


class Place(Protocol):
    """The place where figures were measured: a unit of this study, or of another."""

    @property
    def board_id(self) -> str: ...
    @property
    def board_kind(self) -> str: ...
    @property
    def emulated(self) -> bool: ...
    @property
    def engine(self) -> str: ...
    @property
    def engine_build(self) -> str | None: ...
    @property
    def engine_version(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def power_mode(self) -> str | None: ...


def unit_name(unit: Place) -> str:
    """Return board, engine and build: ``pi-01, native cortex_a53``."""
    engine = " ".join(clean(part, 40) for part in (unit.engine, unit.engine_build) if part)
    return f"{clean(unit.board_id, 60)}, {engine}"


def name_of(unit: Unit) -> str:
    """Return board, engine and build, and the track where the run has several: ``pi-01, native cortex_a53, main``."""
    return unit_name(unit) + (f", {clean(unit.track, 60)}" if unit.track else "")


def conditions(unit: Place) -> str:
    """Return the other fixed conditions: ``cpu, 1 thread, float32``."""
    threads = f"{unit.threads} thread{'s' if unit.threads != 1 else ''}"
    parts = (unit.device, threads, unit.dtype, unit.power_mode, unit.engine_version)
    return ", ".join(clean(part, 40) for part in parts if part)


def reservation(unit: Place) -> str | None:
    """Say why this board's times are no evidence; None if they are."""
    if unit.emulated:
        return "emulated: its times are the emulator's and no evidence; accuracy holds"
    if unit.board_kind == "loopback":
        return "loopback: this machine, shared with the host; its times say nothing about a Pi or a Jetson"
    return None


def rate(per_s: float) -> str:
    """Format multiply-adds per second: ``4.10 G/s``."""
    for unit, scale in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if per_s >= scale:
            return f"{significant(per_s / scale)} {unit}/s"
    return f"{significant(per_s)}/s"


def dependence(units: Sequence[Unit]) -> str:
    """Say, with the figures, that the saving depends on machine, engine and build; or that there is only one figure."""
    known = [unit for unit in units if unit.headline.datasets and not unit.emulated]
    if not known:
        return "No reduction is known from a machine that is not emulated: nothing is said about the saving."
    if len(known) == 1:
        return (
            f"This is one machine's figure, with one engine and build ({name_of(known[0])}): the saving depends "
            "on all three, so it says nothing about others."
        )
    shared = set.intersection(*(set(unit.headline.datasets) for unit in known))
    if not shared:
        return (
            "The saving depends on the machine, the engine and its build; those measured here have no data "
            "set in common and are not compared."
        )
    means = sorted((_mean_over(unit, shared), name_of(unit)) for unit in known)
    (least, least_name), (most, most_name) = means[0], means[-1]
    over = f"the plain mean of {', '.join(clean(name, 40) for name in sorted(shared))}"
    span = f"{percent(least)} ({least_name}) to {percent(most)} ({most_name})"
    if most - least < _NEAR:
        return f"The saving was about the same on all {len(means)}: {span}, over {over}. Others may differ."
    trained = " and how weights are updated" if len({unit.track for unit in known}) > 1 else ""
    return f"The saving depends on the machine, the engine and its build{trained}: from {span}, over {over}."


def _mean_over(unit: Unit, names: set[str]) -> float:
    values = [float(t.reduction.value) for t in unit.tasks if t.reduction and t.name in names]
    return mean(values)


def explanation(unit: Unit, units: Sequence[Unit]) -> str | None:
    """Say why the measured reduction differs from the reduction by multiply-adds; None without multiply-adds or times.

    With rates r = multiply-adds / time, 1 - measured = (1 - bound) * r(reference) / r(candidate): all of the
    difference lies in the two rates.
    """
    known = [
        (task, task.bound, task.reduction) for task in unit.tasks if task.bound is not None and task.reduction
    ]
    tasks = [task for task, _, _ in known]
    pairs = [(_rate(task, CANDIDATE), _rate(task, REFERENCE)) for task in tasks]
    rates = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    if not rates:
        return None
    bounds = _span([bound for _, bound, _ in known], percent)
    measured = _span([reduction.value for _, _, reduction in known], percent)
    shares = [ours / theirs for ours, theirs in rates]
    sentence = (
        f"By multiply-adds alone {_OURS} would save {bounds} of {_THEIRS}'s time; measured: {measured}. "
        f"{_THEIRS} does {_span([theirs for _, theirs in rates], rate)} of them, {_OURS} "
        f"{_span([ours for ours, _ in rates], rate)}: {_span(shares, _whole)} of {_THEIRS}'s rate. "
    )
    return sentence + _meaning(median(shares), _share_of_best(unit, tasks, units)) + _gathering(tasks)


def _meaning(share: float, best: tuple[float, str] | None) -> str:
    if share > 1 + _SAME_RATE:
        sentence = (
            f"{_OURS} gets more out of the machine than {_THEIRS}, which loses time besides its arithmetic; "
            "so the measured saving exceeds the bound."
        )
    elif share >= 1 - _SAME_RATE:
        sentence = (
            "Both run at about the same rate: time follows the arithmetic, and the saving is near the bound."
        )
    else:
        sentence = (
            f"{_OURS} has so little arithmetic left that reading its rows and the fixed cost of each step weigh: "
            "this points to memory and overhead, not arithmetic, as its limit, and the saving falls short of the bound."
        )
    if best is not None and best[0] < _FAR_BELOW:
        return sentence + (
            f" {_THEIRS} itself reaches {_whole(best[0])} of the rate that it has with {best[1]} on this board: here "
            "overhead, not arithmetic, takes most of its time, and skipping arithmetic cannot save it."
        )
    if share < 1 - _SAME_RATE:
        sentence += f" Faster arithmetic shortens {_THEIRS} more than {_OURS}, and the saving with it."
    return sentence


def _share_of_best(unit: Unit, tasks: Sequence[Task], units: Sequence[Unit]) -> tuple[float, str] | None:
    """Return the reference's lowest rate relative to another engine on this board, and that engine; None without any."""
    rates: list[tuple[float, str]] = []
    for other in units:
        if other.board_id != unit.board_id or _build(other) == _build(unit):
            continue
        theirs = {task.name: _rate(task, REFERENCE) for task in other.tasks}
        shares = [
            ours / best for t in tasks if (ours := _rate(t, REFERENCE)) and (best := theirs.get(t.name))
        ]
        if shares:
            name = " ".join(clean(part, 40) for part in (other.engine, other.engine_build) if part)
            rates.append((median(shares), name))
    return min(rates, default=None)


def _build(unit: Unit) -> tuple[str, str | None]:
    return unit.engine, unit.engine_build


def _gathering(tasks: Sequence[Task]) -> str:
    shares = {
        name: [share for task in tasks if (share := _phase_share(task, name, "gather")) is not None]
        for name in (CANDIDATE, REFERENCE)
    }
    if not (shares[CANDIDATE] and shares[REFERENCE]):
        return ""
    return (
        f" Gathering rows takes {_span(shares[CANDIDATE], _whole)} of {_OURS}'s step and "
        f"{_span(shares[REFERENCE], _whole)} of {_THEIRS}'s (instrumented)."
    )


def _phase_share(task: Task, method: str, phase: str) -> float | None:
    phases = next((item.phases for item in task.methods if item.method == method), None)
    if not phases or not phases.step_s or phase not in phases.by_phase_s:
        return None
    return phases.by_phase_s[phase] / phases.step_s


def _rate(task: Task, method: str) -> float | None:
    return next((item.madds_per_s for item in task.methods if item.method == method), None)


def _whole(share: float) -> str:
    return percent(share, 0)


def _span(values: Sequence[float], say: Callable[[float], str]) -> str:
    low, high = say(min(values)), say(max(values))
    return low if low == high else f"{low} to {high}"
