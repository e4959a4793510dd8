"""What the repetitions of a point come to: one value a quantity, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.analysis.cells import cells, numbers
from tunebench.reports.analysis.row import CellNumbers
from tunebench.reports.records import Repetition

_NO_SPEED = "simulated: the runtime does not compute in the claimed type, so no speed is claimed"


@dataclass(frozen=True, slots=True)
class PointValues:
    """Values of a point: seconds and joules of one call or fine-tuning, bytes, a share; and what is missing, why."""

    values: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)


def values_of(rows: Sequence[CellNumbers]) -> PointValues:
    """Return the means over a point's rows: one row, or one for each held-out half.

    Of a network in a runtime memory is the peak at the end of its calls, before accuracy is looked at.
    """
    each = [_of_row(row) for row in rows]
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for quantity in ("time", "energy", "memory", "accuracy"):
        known = [row.values[quantity] for row in each if quantity in row.values]
        if known and len(known) == len(each):
            values[quantity] = math.fsum(known) / len(known)
        else:
            reasons = [row.missing[quantity] for row in each if quantity in row.missing]
            missing[quantity] = reasons[0] if reasons else "nothing was measured"
    return PointValues(values, missing)


def values_in(repetitions: Sequence[Repetition]) -> PointValues:
    """Return the values of a trial's records."""
    return values_of([numbers(cell) for cell in cells(repetitions)])


def board_s(repetitions: Sequence[Repetition]) -> float:
    """Return for how long the board was at work for repetitions, attempts that failed included, seconds."""
    return math.fsum(rep.host_s or rep.process_s or 0.0 for rep in repetitions)


def _of_row(row: CellNumbers) -> PointValues:
    memory, why = row.peak_rss_b, row.peak_rss_missing
    simulated = row.inference is not None and bool(row.inference.simulated)
    if row.inference is not None and row.inference.peak_rss_b is not None:
        memory = row.inference.peak_rss_b
    known = {
        "time": (row.wall_s.median if row.wall_s else None, row.wall_missing),
        "energy": (row.energy.gross_j.median if row.energy else None, row.energy_missing),
        "memory": (memory.median if memory else None, why),
        "accuracy": (row.accuracy.after_mean if row.accuracy else None, row.accuracy_missing),
    }
    if simulated:
        known |= {"time": (None, _NO_SPEED), "energy": (None, _NO_SPEED)}
    return PointValues(
        {quantity: value for quantity, (value, _) in known.items() if value is not None},
        {quantity: reason or "not measured" for quantity, (value, reason) in known.items() if value is None},
    )
