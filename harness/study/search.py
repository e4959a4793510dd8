"""Search the learning rate of every method of a suite by protocol 2, in this process, on this machine.

Every method of a task is run at the same rates, on the same development bases and folds of the fine-tuning pool. What one
method needs beyond the first rates is run for all. The rules are :mod:`tunebench.harness.study.protocol`'s.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tunebench.harness.artifacts.gather import Progress
from tunebench.harness.canonical import canonical_json
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.job import workload_spec
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.study import protocol
from tunebench.harness.study.places import Place, places_of
from tunebench.harness.study.scores import Run, ScoresFile
from tunebench.harness.study.workers import Workers
from tunebench.workloads.datasets import DataUnavailable, confirms
from tunebench.workloads.engines import load_engine
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import table
from tunebench.workloads.prepare import artefacts
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task
from tunebench.workloads.tasks.training import PLAIN

#: (what was run, runs that are done, runs that are known to be needed, seconds that the rest will take)
AfterRun = Callable[[Run, int, int, float], None]
#: The steps are doubled so often at most when their plateau is looked for.
DOUBLINGS = 3


@dataclass(frozen=True)
class Settings:
    """What is searched and how; equal for every method.

    Attributes:
        track: of :data:`tunebench.harness.study.protocol.TRACKS`.
        folds, bases: how many.
        steps: whether the plateau of the steps is looked for at the chosen rates.
        jobs: runs at once, each in a process of its own; no score depends on it.
    """

    track: str = "main"
    folds: int = protocol.FOLDS
    bases: int = protocol.BASES
    steps: bool = False
    jobs: int = 1

    @property
    def development_bases(self) -> range:
        """Return the bases that are searched on."""
        return protocol.development_bases(self.bases)


@dataclass(frozen=True)
class Searched:
    """What came out for one method.

    Attributes:
        scores: rate -> score by (base, fold).
        by_epochs: epochs -> mean score at the chosen rate, where the plateau was looked for.
    """

    workload: Workload
    scores: protocol.Scores
    choice: protocol.Choice
    by_epochs: Mapping[int, protocol.Score] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskSearch:
    """What came out for one task.

    Attributes:
        rates: that every method was run at.
        epochs: where the slowest method's steps reach their plateau; None: not looked for, or not reached.
        missing: why nothing was searched; None: it was.
    """

    task: str
    methods: tuple[Searched, ...] = ()
    rates: tuple[float, ...] = ()
    epochs: int | None = None
    missing: str | None = None

    @property
    def stands(self) -> bool:
        """Return whether every method has a rate by the rule."""
        return self.missing is None and all(method.choice.stands for method in self.methods)


def candidates(
    suite: Suite, tasks: Sequence[str] = (), methods: Sequence[str] = (), track: str | None = None
) -> dict[str, list[Workload]]:
    """Return task -> the workloads to search: built-in methods that take steps, without A/A controls.

    Args:
        tasks: only these; empty: all.
        methods: only these labels or methods; empty: all.
        track: of a suite that holds several tracks only the rows of this one, and those that are on none.

    Raises:
        UsageError: a name is none of the suite's, nothing is left, or a data set is for confirmation.
    """
    # A runtime's rows fine-tune nothing; behind a trunk in a runtime a board fine-tunes, but this process does not.
    built_in = [row for row in suite.workloads if not row.own and row.runtime is None and not row.trunk]
    rows = [row for row in built_in if not row.aa_control and _steps(row)]
    if track is not None and len({_track_of(row) for row in rows} - {None}) > 1:
        rows = [row for row in rows if _track_of(row) in (track, None)]
    _refuse_unknown("--task", tasks, {row.task for row in rows}, suite)
    _refuse_unknown("--method", methods, {name for row in rows for name in (row.label, row.method)}, suite)
    chosen: dict[str, list[Workload]] = {}
    for row in rows:
        if (not tasks or row.task in tasks) and (not methods or {row.label, row.method} & {*methods}):
            chosen.setdefault(row.task, []).append(row)
    if not chosen:
        raise UsageError(f"suite {suite.name!r}: has no built-in method to search a rate for")
    for task, workloads in chosen.items():
        _refuse_confirmation(task, str(workloads[0].dataset), suite)
    return chosen


def _refuse_confirmation(task: str, dataset: str, suite: Suite) -> None:
    """Refuse to choose on a set that is kept for the end of a study."""
    if (confirmed := confirms(dataset)) is not None:
        raise UsageError(
            f"suite {suite.name!r}, task {task!r}: data set {dataset!r} is for confirmation, nothing is chosen on it "
            f"(docs/protocol.md, 15): search the rates on {confirmed!r} and write them into both suites"
        )


def _track_of(row: Workload) -> str | None:
    """Return the track that a row of a suite is on; None: it has settings of its own, or tells too little."""
    honoured = track_keys([row], next(iter(protocol.TRACKS)))
    for name, keys in protocol.TRACKS.items():
        own = {key: row.params.get(key, getattr(PLAIN, key)) for key in keys}
        if len(honoured) == len(keys) and own == keys:
            return name
    return None


def _steps(row: Workload) -> bool:
    """Return whether a built-in method takes steps: the controls that do not have no rate."""
    return table.method(str(row.method)).objective != table.NO_STEPS


def _refuse_unknown(option: str, names: Sequence[str], known: set[str], suite: Suite) -> None:
    for name in names:
        if name not in known:
            raise UsageError(
                f"{option} {name!r}: suite {suite.name!r} has: {', '.join(sorted(known)) or 'none'}"
            )


def spec_of(workload: Workload, track: str, rate: float, epochs: int, seed: int) -> dict[str, Any]:
    """Return what a run gets: the suite's workload with the track's keys, a rate, epochs and a seed."""
    planned = Planned("tune-rates", "host", 0, 0, "timed", seed, replace(workload, ship=(), sustained_s=None))
    return {**workload_spec(planned), **track_keys([workload], track), "lr": rate, "epochs": epochs}


def track_keys(workloads: Sequence[Workload], track: str) -> dict[str, Any]:
    """Return the keys of a track that mean something for one of the methods: MeZO, e.g., has no gradients to clip."""
    rows = [table.method(str(workload.method)) for workload in workloads]
    keys = protocol.TRACKS[track]
    return {key: value for key, value in keys.items() if any(table.honours(row, key) for row in rows)}


def key_of(settings: Mapping[str, Any], place: Place) -> str:
    """Return what a run's score depends on, as one hash; neither its label nor its task's name is in it."""
    parts = {key: value for key, value in settings.items() if key != "label"}
    return hashlib.sha256(f"{canonical_json(parts)} {place.sha256}".encode()).hexdigest()


@dataclass(frozen=True)
class Wanted:
    """A fine-tuning that a search needs.

    Attributes:
        settings: of the search.
        workload: what is fine-tuned.
        rate: learning rate.
        epochs: the suite's; a part of the pool gets more, for as many steps.
        at: number of its place.
    """

    settings: Settings
    workload: Workload
    rate: float
    epochs: int
    at: int

    def spec(self, places: Sequence[Place]) -> dict[str, Any]:
        """Return what the run gets; the fold is the seed."""
        place = places[self.at]
        epochs = place.cut.epochs(self.epochs)
        return spec_of(self.workload, self.settings.track, self.rate, epochs, seed=place.fold)

    def key(self, places: Sequence[Place]) -> str:
        """Return what the run's score depends on, as one hash."""
        return key_of(self.spec(places), places[self.at])


def run_of(places: Sequence[Place], wanted: Wanted) -> Run:
    """Fine-tune once and return what came out."""
    settings, place, workload = wanted.spec(places), places[wanted.at], wanted.workload
    began_s = time.perf_counter()
    parsed = spec.parse(settings)
    session = load_engine(parsed.engine, parsed.model).Session(
        make_task(parsed, place.cut.data, place.weights)
    )
    before = float(session.evaluate().accuracy)
    losses = [float(loss) for loss in session.train_epochs(0, parsed.epochs)]
    finished = len(losses) == parsed.epochs and all(map(math.isfinite, losses))
    score = float(session.evaluate().accuracy) if finished else None
    return Run(
        key=key_of(settings, place),
        task=workload.task,
        label=workload.label,
        method=workload.method,
        track=wanted.settings.track,
        lr=wanted.rate,
        base=place.base,
        fold=place.fold,
        folds=wanted.settings.folds,
        epochs=parsed.epochs,
        before=before,
        score=score if score is not None and math.isfinite(score) else None,
        loss_first=_finite(losses[0]) if losses else None,
        loss_final=_finite(losses[-1]) if losses else None,
        seconds=round(time.perf_counter() - began_s, 3),
    )


class Trainer:
    """Runs of one task, each made once and then read from the file.

    Args:
        settings: of the search.
        places: bases and folds.
        keep: where scores are kept.
        after_run: called after each run.
        workers: processes that run them; None: this one does, one after another.
    """

    def __init__(
        self,
        settings: Settings,
        places: Sequence[Place],
        keep: ScoresFile,
        after_run: AfterRun,
        workers: Workers | None = None,
    ) -> None:
        self._settings, self._places, self._keep, self._after_run = settings, places, keep, after_run
        self._workers = workers
        self._took_s: list[float] = []

    def fill(self, wanted: Sequence[tuple[Workload, float, int]]) -> None:
        """Run what is not there yet of (workload, rate, the suite's epochs), on every base and fold."""
        runs = [
            Wanted(self._settings, row, rate, epochs, at)
            for row, rate, epochs in wanted
            for at in range(len(self._places))
        ]
        open_runs = [run for run in runs if run.key(self._places) not in self._keep.runs]
        for at, done in enumerate(self._results(open_runs), 1):
            self._keep.add(done)
            self._took_s.append(done.seconds)
            mean_s = sum(self._took_s) / len(self._took_s) / self._settings.jobs
            self._after_run(done, len(runs) - len(open_runs) + at, len(runs), mean_s * (len(open_runs) - at))

    def _results(self, wanted: Sequence[Wanted]) -> Iterator[Run]:
        if self._workers is not None:
            return self._workers.results(wanted)
        return (run_of(self._places, run) for run in wanted)

    def scores(self, workload: Workload, rate: float, epochs: int) -> dict[protocol.Cell, protocol.Score]:
        """Return the scores of a rate by base and fold; it was run."""
        return {
            (place.base, place.fold): self._keep.runs[
                Wanted(self._settings, workload, rate, epochs, at).key(self._places)
            ].score
            for at, place in enumerate(self._places)
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def search_task(workloads: Sequence[Workload], trainer: Trainer, settings: Settings) -> TaskSearch:
    """Search the rates of a task's methods; all of them are run at the same ones."""
    rates = list(protocol.first_window(settings.track))
    while True:
        trainer.fill([(row, rate, _epochs(row)) for rate in rates for row in workloads])
        by_label = {
            row.label: {rate: trainer.scores(row, rate, _epochs(row)) for rate in sorted(rates)}
            for row in workloads
        }
        more = protocol.to_score_next(by_label)
        if not more:
            break
        rates += more
    searched = [Searched(row, by_label[row.label], protocol.choose(by_label[row.label])) for row in workloads]
    epochs = None
    if settings.steps:
        searched = [replace(item, by_epochs=_doubled(item, trainer)) for item in searched]
        known = {item.workload.label: item.by_epochs for item in searched}
        epochs = protocol.steps_for_all(known) if all(known.values()) else None
    return TaskSearch(workloads[0].task, tuple(searched), tuple(sorted(rates)), epochs)


def _epochs(workload: Workload) -> int:
    return int(workload.params["epochs"])


def _doubled(searched: Searched, trainer: Trainer) -> dict[int, protocol.Score]:
    """Return mean scores at the chosen rate by the suite's epochs, doubled until that adds nothing."""
    rate, row = searched.choice.rate, searched.workload
    means: dict[int, protocol.Score] = {}
    if rate is None:
        return means
    for doubling in range(DOUBLINGS + 1):
        epochs = _epochs(row) * 2**doubling
        trainer.fill([(row, rate, epochs)])
        scores = list(trainer.scores(row, rate, epochs).values())
        known = [score for score in scores if score is not None]
        means[epochs] = math.fsum(known) / len(known) if len(known) == len(scores) else None
        if protocol.plateau(means).steps is not None:
            break
    return means


def search(
    chosen: Mapping[str, Sequence[Workload]],
    settings: Settings,
    keep: ScoresFile,
    *,
    after_run: AfterRun,
    data_dir: Path | None = None,
    cache_dir: Path | None = None,
    download: bool = False,
    progress: Progress | None = None,
) -> Iterator[TaskSearch]:
    """Search task by task; one that cannot be searched here says why.

    Raises:
        UsageError: the pool of a task cannot be cut into so many folds.
    """
    for task, workloads in chosen.items():
        lacking = _lacking(workloads)
        if lacking is not None:
            yield TaskSearch(task, missing=lacking)
            continue
        try:
            where: dict[str, Any] = {"data_dir": data_dir, "cache_dir": cache_dir, "download": download}
            places = places_of(
                workloads[0], settings.development_bases, settings.folds, **where, progress=progress
            )
            if settings.jobs == 1:
                yield search_task(workloads, Trainer(settings, places, keep, after_run), settings)
                continue
            begin = partial(places_of, workloads[0], settings.development_bases, settings.folds, **where)
            with Workers(settings.jobs, begin, run_of) as workers:
                yield search_task(workloads, Trainer(settings, places, keep, after_run, workers), settings)
        except (DataUnavailable, artefacts.PrepareError, WorkloadError) as error:
            yield TaskSearch(task, missing=str(error))


def _lacking(workloads: Sequence[Workload]) -> str | None:
    """Return why this Python cannot run a task's engine."""
    if any(row.needs_torch for row in workloads) and importlib.util.find_spec("torch") is None:
        return (
            "engine 'torch' runs in this process, and torch is not installed: pip install 'tunebench[torch]'"
        )
    return None
