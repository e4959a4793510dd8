"""A search as it is stored in the plan of the run that measured its choice again: trials, budget, aim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from tunebench.reports.analysis.quantities import QUANTITIES, Quantity
from tunebench.reports.formatting.json_value import INLINE
from tunebench.reports.studies.search.budget import Bound, Budget


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of a search, measured once on the board.

    Attributes:
        number: counts from 1, in the order of the search.
        label: the point in words.
        point: dimension -> value.
        run_id: of its records; None: it has none.
        values: quantity -> value: seconds and joules of one call or fine-tuning, bytes, a share of held-out samples.
        missing: quantity -> why it has no value.
        board_s: for how long the board was at work for it, seconds.
    """

    number: int
    label: str
    point: Mapping[str, str | int | float]
    run_id: str | None
    values: Mapping[str, float]
    missing: Mapping[str, str] = field(default_factory=dict)
    board_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Search:
    """A search.

    Attributes:
        task: the suite's.
        aim: what the best of the trials within the budget is best in.
        points: how many the space has.
        board_s_limit: for how long the board might be at work, seconds.
        chosen: number of the trial that was chosen; None: none is within the budget.
    """

    task: str
    board_id: str
    budget: Budget
    aim: Quantity
    points: int
    board_s_limit: float
    trials: tuple[Trial, ...]
    chosen: int | None = None

    @property
    def board_s(self) -> float:
        """Return for how long the board was at work, seconds."""
        return sum(trial.board_s for trial in self.trials)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """Return what the front is of: the aim, what is bounded, time and accuracy; in the order of the report."""
        asked = {self.aim, *self.budget.quantities, "time", "accuracy"}
        return tuple(quantity for quantity in QUANTITIES if quantity in asked)

    def as_dict(self) -> dict[str, Any]:
        """Return it as the plan has it."""
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, object]) -> Search | None:
        """Return a stored search; None where it is none, or was written by what knew other keys."""
        try:
            return _search(cast("Mapping[str, Any]", value))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class SearchFacts:
    """A search as the summary tells it.

    Attributes:
        front: numbers of the trials that no other beats or equals in all quantities.
        within: numbers of the trials within the budget.
        measured_again: quantity -> value of the choice from fresh seeds; accuracy on the test set.
        missing_again: quantity -> why it has no value.
        holds: whether the choice, measured again, is within the budget; None: not measured.
    """

    search: Search = field(metadata=INLINE)
    board_s: float
    front: Sequence[int]
    within: Sequence[int]
    measured_again: Mapping[str, float]
    missing_again: Mapping[str, str]
    holds: bool | None


def _search(value: Mapping[str, Any]) -> Search:
    bounds = tuple(_bound(bound) for bound in value["budget"]["bounds"])
    chosen = value["chosen"]
    return Search(
        task=str(value["task"]),
        board_id=str(value["board_id"]),
        budget=Budget(bounds),
        aim=_quantity(value["aim"]),
        points=int(value["points"]),
        board_s_limit=float(value["board_s_limit"]),
        trials=tuple(_trial(trial) for trial in value["trials"]),
        chosen=None if chosen is None else int(chosen),
    )


def _bound(value: Mapping[str, Any]) -> Bound:
    return Bound(_quantity(value["quantity"]), float(value["limit"]))


def _trial(value: Mapping[str, Any]) -> Trial:
    return Trial(
        number=int(value["number"]),
        label=str(value["label"]),
        point={str(name): part for name, part in value["point"].items()},
        run_id=None if value["run_id"] is None else str(value["run_id"]),
        values={_quantity(name): float(number) for name, number in value["values"].items()},
        missing={str(name): str(reason) for name, reason in value["missing"].items()},
        board_s=float(value["board_s"]),
    )


def _quantity(name: object) -> Quantity:
    if name not in QUANTITIES:
        raise ValueError(name)
    return name
