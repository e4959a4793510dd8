"""What a cell measured in each block: seconds, joules, bytes, and which test items it got right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.energy import SCOPES, by_source, energy_reps
from tunebench.reports.records import Repetition
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader

Quantity = Literal["time", "energy", "memory", "accuracy"]
QUANTITIES: tuple[Quantity, ...] = ("time", "energy", "memory", "accuracy")
#: What differs by less does not matter: shares, but for accuracy percentage points.
DEFAULT_DELTA: dict[str, float] = {"time": 0.02, "energy": 0.03, "memory": 0.01, "accuracy": 0.5}
#: Predictions belong to a record if their accuracy is the record's, to this much.
_AGREES = 1e-4


@dataclass(frozen=True)
class Source:
    """The source of values; only values of the same source are compared. Empty for quantities other than joules.

    Attributes:
        scope: what the power sensor covers.
        source: which sensor or meter.
        repeated: from windows of many whole fine-tunings (role ``energy``), not from the timed ones.
    """

    scope: str = ""
    source: str = ""
    repeated: bool = False


@dataclass(frozen=True)
class Values:
    """Positive values of a cell by source and block, the widest scope first; or the reason why there are none."""

    by_source: dict[Source, dict[int, float]]
    missing: str | None = None


@dataclass(frozen=True)
class Right:
    """The test items that a method predicted correctly after training with one seed.

    Attributes:
        items: (item, true label) in order: equal items are what makes two predictions a pair.
        right: for each of them whether the prediction was right.
    """

    items: tuple[tuple[int, int], ...]
    right: NDArray[np.bool_]


def values(cell: Cell, quantity: Quantity) -> Values:
    """Return a cell's seconds, joules or bytes by block."""
    if quantity == "energy":
        return _energy(cell)
    get: Callable[[Repetition], float | None]
    get = (lambda rep: rep.wall_s) if quantity == "time" else (lambda rep: rep.peak_rss_b)
    by_block = {
        rep.block: float(value) for rep in cell.usable if (value := get(rep)) is not None and value > 0
    }
    if not by_block:
        # Why a cell has no times stands with its row.
        return Values(
            {}, "no repetition that may be used" if quantity == "time" else _why_none(cell, quantity)
        )
    return Values({Source(): by_block})


def accuracies(cell: Cell) -> dict[int, float]:
    """Return the accuracy after training by block, as a share."""
    return {rep.block: rep.quality.after for rep in cell.usable if rep.quality.after is not None}


def right_items(cell: Cell, reader: RunReader) -> dict[int, Right]:
    """Return, by block, which test items the cell predicted correctly.

    Only where predictions were stored, can be read, and give the accuracy that the record tells.
    """
    by_block = {}
    for rep in cell.usable:
        if rep.quality.metric != "accuracy" or rep.quality.after is None:
            continue
        try:
            rows = reader.preds(rep)
        except ResultsError:
            continue
        if not rows:
            continue
        right = np.array([label == after for _, label, _, after in rows])
        if abs(right.mean() - rep.quality.after) < _AGREES:
            by_block[rep.block] = Right(tuple((item, label) for item, label, _, _ in rows), right)
    return by_block


def _energy(cell: Cell) -> Values:
    """Return the joules of one fine-tuning, from repetitions of the role ``energy`` and from the timed windows."""
    values_of: dict[Source, dict[int, float]] = {}
    for repeated, reps in ((True, energy_reps(cell.reps)), (False, cell.usable)):
        sources = by_source(reps)
        for scope, name in sorted(sources, key=lambda key: SCOPES.index(key[0])):
            per_block = {rep.block: energy.gross_j / energy.repeats for rep, energy in sources[scope, name]}
            if all(joules > 0 for joules in per_block.values()):
                values_of[Source(scope, name, repeated)] = per_block
    return Values(values_of, None if values_of else _why_none(cell, "energy"))


def _why_none(cell: Cell, quantity: str) -> str:
    keys = ("peak_rss_b",) if quantity == "memory" else ("energy", "power")
    reps: Sequence[Repetition] = [rep for rep in cell.reps if rep.role in ("timed", "energy")]
    reasons = [rep.missing[key] for rep in reps for key in keys if key in rep.missing]
    return reasons[0] if reasons else "no repetition that may be used tells it"
