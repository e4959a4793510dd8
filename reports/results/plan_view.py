"""A stored plan (``plan.json``) as typed values.

The plan of a run may have been written by an older version, by hand or by a simulator: the view reads what is there, and
what is missing or of another type is None or empty. It never raises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SuiteView:
    """The suite as it stands in the plan.

    Attributes:
        margin: points by which the candidate may be worse than the baseline and count as not inferior; None: none was
            fixed beforehand.
        bases: pretraining bases that blocks begin from.
        quality_target: share of the metric that a run is timed to; None: the baseline's own quality.
        budgets: key of a record (``wall_s``, ``peak_rss_b``, ``energy_j``) -> amounts that qualities are told at, in
            rising order.
        delta: quantity -> difference that does not matter; positive numbers only.
        workloads: what was to run, each as it was written (key ``cells``).
        looks: (blocks, alpha) of each look that a run which stops when it is decided takes at most (key
            ``until_decided``); empty in other runs.
        search: the search that chose what the run measures, as it was written; empty in other runs.
    """

    name: str | None = None
    level: str | None = None
    blocks: int | None = None
    study: str | None = None
    candidate: str | None = None
    margin: float | None = None
    bases: int = 1
    quality_target: float | None = None
    budgets: Mapping[str, Sequence[float]] = field(default_factory=dict)
    delta: Mapping[str, float] = field(default_factory=dict)
    workloads: tuple[Mapping[str, object], ...] = ()
    looks: tuple[tuple[int, float], ...] = ()
    search: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object) -> SuiteView:
        """Return the view of a plan's ``suite``."""
        suite = _object(value)
        blocks, target, bases = suite.get("blocks"), suite.get("quality_target"), suite.get("bases")
        return cls(
            name=_text(suite.get("name")),
            level=_text(suite.get("level")),
            blocks=blocks if isinstance(blocks, int) else None,
            study=_text(suite.get("study")),
            candidate=_text(suite.get("candidate")),
            margin=_positive(suite.get("margin")),
            bases=bases if isinstance(bases, int) and bases > 1 else 1,
            quality_target=float(target) if isinstance(target, int | float) else None,
            budgets=_budgets(suite.get("budgets")),
            delta=_delta(suite.get("delta")),
            workloads=tuple(_objects(suite.get("cells"))),
            looks=tuple(_looks(suite.get("until_decided"))),
            search=_object(suite.get("search")),
        )


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task of a plan.

    Attributes:
        baseline: label that the others are compared with.
        labels: of its methods, in the order of the plan.
        delta: quantity -> difference that does not matter here, where the task has its own.
    """

    baseline: str | None = None
    labels: tuple[str, ...] = ()
    delta: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object) -> TaskView:
        """Return the view of one entry of a plan's ``tasks``."""
        task = _object(value)
        return cls(
            _text(task.get("baseline")), tuple(map(str, _list(task.get("labels")))), _delta(task.get("delta"))
        )


@dataclass(frozen=True, slots=True)
class PlanView:
    """A plan as it was written.

    Attributes:
        run_id: None where the plan does not say it; the folder's name is then what the run is called.
        sha256: of the suite and the boards: what must be equal for a run to be continued.
        tasks: in the order of the plan.
        boards: ids, in the order of the plan.
        repetitions: the planned repetitions, each as it was written.
        planned: how many repetitions were planned; None where the plan lists none at all.
        skipped: what was left out, each as it was written.
        artifacts: SHA-256 of what the boards were given (key ``cargo``); None in runs of older versions.
        earlier_blocks: how many blocks the run had before each time that some were added (key ``extended``).
    """

    run_id: str | None = None
    lab: str | None = None
    started_utc: str | None = None
    sha256: str | None = None
    suite: SuiteView = field(default_factory=SuiteView)
    tasks: Mapping[str, TaskView] = field(default_factory=dict)
    boards: tuple[str, ...] = ()
    repetitions: tuple[Mapping[str, object], ...] = ()
    planned: int | None = None
    skipped: tuple[Mapping[str, object], ...] = ()
    command: tuple[str, ...] = ()
    artifacts: Mapping[str, object] | None = None
    earlier_blocks: tuple[int, ...] = ()

    @classmethod
    def of(cls, plan: Mapping[str, object]) -> PlanView:
        """Return the view of a plan.

        >>> suite = {"name": "smoke", "delta": {"time": 0.02, "memory": 0}}
        >>> view = PlanView.of({"run_id": "r", "suite": suite, "boards": [{"id": "a"}]})
        >>> view.run_id, view.suite.name, view.suite.delta, view.boards, view.planned
        ('r', 'smoke', {'time': 0.02}, ('a',), None)
        >>> PlanView.of({"suite": 3, "tasks": None}) == PlanView()
        True
        """
        repetitions, artifacts = plan.get("repetitions"), plan.get("cargo")
        return cls(
            run_id=_text(plan.get("run_id")),
            lab=_text(plan.get("lab")),
            started_utc=_text(plan.get("started_utc")),
            sha256=_text(plan.get("sha256")),
            suite=SuiteView.of(plan.get("suite")),
            tasks={name: TaskView.of(task) for name, task in _object(plan.get("tasks")).items()},
            boards=tuple(_board_id(board) for board in _list(plan.get("boards"))),
            repetitions=tuple(_objects(repetitions)),
            planned=len(repetitions) if isinstance(repetitions, list) else None,
            skipped=tuple(_objects(plan.get("skipped"))),
            command=tuple(map(str, _list(plan.get("command")))),
            artifacts=artifacts if isinstance(artifacts, dict) else None,
            earlier_blocks=tuple(_earlier(plan.get("extended"))),
        )


def _text(value: object) -> str | None:
    """Return a text or number as text, and None for anything else."""
    return str(value) if isinstance(value, str | int | float) else None


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else []


def _objects(value: object) -> Iterable[Mapping[str, object]]:
    return (item for item in _list(value) if isinstance(item, dict))


def _looks(value: object) -> Iterable[tuple[int, float]]:
    for look in _objects(_object(value).get("looks")):
        blocks, alpha = look.get("blocks"), look.get("alpha")
        if isinstance(blocks, int) and isinstance(alpha, int | float):
            yield blocks, float(alpha)


def _earlier(value: object) -> Iterable[int]:
    return (blocks for entry in _objects(value) if isinstance(blocks := entry.get("from_blocks"), int))


def _delta(value: object) -> Mapping[str, float]:
    return {
        name: float(limit)
        for name, limit in _object(value).items()
        if isinstance(limit, int | float) and limit > 0
    }


def _budgets(value: object) -> Mapping[str, Sequence[float]]:
    """Return the amounts of each key that has any; what is no positive number is left out."""
    amounts = {
        key: sorted(number for each in _list(given) if (number := _positive(each)) is not None)
        for key, given in _object(value).items()
    }
    return {key: given for key, given in amounts.items() if given}


def _board_id(board: object) -> str:
    """Return a board's id; a plan lists ids, or objects that have one."""
    if isinstance(board, dict):
        return str(board.get("board_id") or board.get("id"))
    return str(board)
