"""A method as one can choose it: what it costs, what it gives, and why it may not be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.measured import Check
from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.analysis.verdict_words import effect
from tunebench.reports.formatting.units import clean


@dataclass(frozen=True, slots=True)
class Option:
    """A method of one board and task, in the figures by which one chooses.

    Attributes:
        factor: the baseline's time over this one's, above 1 is faster; 1 for the baseline; None if not compared, and on
            emulated boards.
        low: lower end of the factor's interval, or of the range seen if ``interval`` is ``range``.
        verdict: on the time; None for the baseline and where nothing was compared.
        accuracy: after training, a share; its metric is ``metric``.
        points: accuracy less the baseline's, percentage points; 0 for the baseline, None if not compared.
        points_verdict: on the accuracy.
        energy_j: gross joules of one fine-tuning, ``energy_scope`` says of what.
        validity: ``valid``, ``degraded`` or ``invalid``.
        refused: why it may not be chosen; None if it may.
        frontier: whether no other method is both cheaper in time and more accurate, judged by the centres.
        unequal: in which parameters its work differs from the baseline's.
        savings: energy and memory that it is shown to save, in words such as ``energy −34.0%``.
    """

    label: str
    is_baseline: bool
    n: int
    factor: float | None
    low: float | None
    high: float | None
    interval: str | None
    verdict: str | None
    time_s: float | None
    metric: str
    accuracy: float | None
    points: float | None
    points_low: float | None
    points_high: float | None
    points_verdict: str | None
    delta_points: float
    memory_b: float | None
    energy_j: float | None
    energy_scope: str | None
    update_b: int | None
    validity: str
    refused: str | None
    frontier: bool
    unequal: list[str]
    savings: list[str]

    @property
    def name(self) -> str:
        """Return the label, fit to be shown."""
        return clean(self.label, 40)


def unbeaten(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of (cost, good) that no other point beats or equals in both; the cheapest first.

    >>> unbeaten([(3, 0.85), (2, 0.9), (1, 0.8)])
    [2, 1]
    """
    best: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not best or points[place][1] > points[best[-1]][1]:
            best.append(place)
    return best


def options(rows: Sequence[MethodResult], checks: Sequence[Check], delta: float) -> list[Option]:
    """Return the methods of one group of comparable rows, in their order, without A/A controls.

    Args:
        rows: one board, task and set of conditions.
        checks: the run's correctness checks.
        delta: accuracy points that do not matter, where a row has no verdict that tells its own.
    """
    members = [row for row in rows if not row.aa_control]
    refusals = [_refused(row, checks) for row in members]
    able = [
        (place, row.wall_s.median, row.accuracy.after_mean)
        for place, (row, refused) in enumerate(zip(members, refusals, strict=True))
        if refused is None and row.wall_s is not None and row.accuracy is not None
    ]
    front = {able[place][0] for place in unbeaten([(cost, good) for _, cost, good in able])}
    return [
        _option(row, refused, place in front, delta)
        for place, (row, refused) in enumerate(zip(members, refusals, strict=True))
    ]


def failed_check(check: Check) -> bool:
    """Return whether a correctness check says that a method's speed means nothing."""
    return check.passed is False or check.outcome != "ok"


def _refused(row: MethodResult, checks: Sequence[Check]) -> str | None:
    if not row.n or row.wall_s is None:
        return row.wall_missing or "no repetition that may be used"
    here = (row.board_id, row.task, row.label)
    if any(failed_check(check) and (check.board_id, check.task, check.label) == here for check in checks):
        return "it did not pass its correctness check"
    if row.is_baseline:
        return None
    if row.speed_up is None:
        return row.speed_up_missing or "its time was not compared"
    return None


def _option(row: MethodResult, refused: str | None, frontier: bool, delta: float) -> Option:
    # An emulator's times are compared in the tables below; as a reason to choose they are none.
    speed, points = (None if row.emulated else row.speed_up), row.judged("accuracy")
    accuracy, energy = row.accuracy, row.energy
    base = row.is_baseline
    return Option(
        label=row.label,
        is_baseline=base,
        n=speed.n if speed else row.n,
        factor=1.0 if base else speed.factor if speed else None,
        low=speed.low if speed else None,
        high=speed.high if speed else None,
        interval=speed.interval if speed else None,
        verdict=speed.verdict if speed else None,
        time_s=row.wall_s.median if row.wall_s else None,
        metric=accuracy.metric if accuracy else "accuracy",
        accuracy=accuracy.after_mean if accuracy else None,
        points=0.0 if base and accuracy else points.value if points else None,
        points_low=points.low if points else None,
        points_high=points.high if points else None,
        points_verdict=points.verdict if points else None,
        delta_points=points.delta if points else delta,
        memory_b=row.peak_rss_b.median if row.peak_rss_b else None,
        energy_j=energy.gross_j.median if energy else None,
        energy_scope=SCOPE_NAMES.get(energy.scope, energy.scope) if energy else None,
        update_b=row.update_b,
        validity=row.verdict,
        refused=refused,
        frontier=frontier,
        unequal=list(row.unequal_params or ()),
        savings=[
            f"{name} {effect(judged)}"
            for name in ("energy", "memory")
            if (judged := row.judged(name)) is not None and judged.better
        ],
    )
