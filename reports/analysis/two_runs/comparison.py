"""Two runs of the same series, side by side: what lies how far apart, and what else was different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

import numpy as np

from tunebench.reports.analysis.cells import Cell, cells
from tunebench.reports.analysis.quantities import (
    DEFAULT_DELTA,
    Quantity,
    Right,
    Source,
    accuracies,
    right_items,
    values,
)
from tunebench.reports.analysis.two_runs.answer import Moved, comparison_answer
from tunebench.reports.analysis.two_runs.differences import SeriesDifference, series_differences
from tunebench.reports.analysis.verdict_words import size_words
from tunebench.reports.formatting.json_value import INLINE
from tunebench.reports.formatting.privacy import names_one
from tunebench.reports.formatting.units import clean
from tunebench.reports.results.drift import changes
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import AccuracyComparison, compare_accuracies, compare_accuracy
from tunebench.reports.stats.unpaired import shift

COMPARE_SCHEMA = "tunebench.compare/1"
#: What holds for every comparison of two runs, whatever stands in them.
CAUTIONS = (
    "Blocks of different runs are not paired: each run met its own temperature, load and night. The intervals tell "
    "what the repetitions of these two runs allow; how far two runs of one build lie apart is not in them.",
    "That a change of the code made the difference: the gate tells, which runs both builds on one board in one night, "
    "in random order.",
    "That a word in one row is right because no other is: every row is judged alone, without correction for the "
    "number of rows.",
)
_WORDS = {
    "time": {},
    "energy": {"FASTER": "LESS", "SLOWER": "MORE"},
    "memory": {"FASTER": "LESS", "SLOWER": "MORE"},
}  # fmt: skip
_RATIOS: tuple[Quantity, ...] = ("time", "energy", "memory")
_BUILDS = ("tunebench", "engine_version", "payload_sha256", "env_sha256", "workload_sha256", "data_sha256")

_Key = tuple[str, str | None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Head:
    """The identity of a run; ``complete``: its manifest was written."""

    run_id: str
    suite: str | None
    started_utc: str | None
    tunebench: str | None
    complete: bool


@dataclass(frozen=True, slots=True)
class SeriesName:
    """A series as people name it, and its key."""

    board_id: str
    task: str
    label: str
    series_key: str


@dataclass(frozen=True, slots=True)
class RatioRow:
    """Seconds, joules or bytes of one series in both runs; ``ratio`` is B over A, not paired."""

    series: SeriesName = field(metadata=INLINE)
    quantity: str
    a: float
    b: float
    delta: float
    scope: str | None
    source: str | None
    repeated: bool
    ratio: float
    low: float
    high: float
    interval: str
    confidence: float | None
    verdict: str
    n_a: int
    n_b: int


@dataclass(frozen=True, slots=True)
class PointsRow:
    """Accuracy of one series in both runs; ``points`` is B less A, judged on ``paired`` equal seeds."""

    series: SeriesName = field(metadata=INLINE)
    quantity: str
    a: float
    b: float
    delta: float
    n_a: int
    n_b: int
    points: float
    low: float | None
    high: float | None
    interval: str | None
    confidence: float | None
    verdict: str
    paired: int


@dataclass(frozen=True, slots=True)
class OtherDifference:
    """A difference of the environment between both runs: ``where`` is a board or ``every board``."""

    where: str
    what: str
    a: object
    b: object


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs side by side: series in both, series in one only, and what else differs.

    Attributes:
        not_shared: what keeps each series of A that is in no series of B from being one of them.
        answer: what the comparison comes to, in one sentence.
    """

    schema: str
    a: Head
    b: Head
    delta: Mapping[str, float]
    cautions: Sequence[str]
    rows: Sequence[RatioRow | PointsRow]
    only_a: Sequence[SeriesName]
    only_b: Sequence[SeriesName]
    environment: Sequence[OtherDifference]
    warnings: Sequence[str]
    not_shared: Sequence[SeriesDifference] = ()
    answer: str = ""


def compare_runs(first: RunReader, second: RunReader) -> RunComparison:
    """Compare every series that both runs hold, each quantity separately.

    Series are equal by their key (lab, board, power mode, task, label, engine, hyperparameters, data; no software
    versions) and their engine's build. Joules are compared within one scope and source. Accuracies are paired by
    seed and test item, which are equal in both runs; nothing else is paired.

    Args:
        first: run A, the reference.
        second: run B.
    """
    ours, theirs = _by_series(first), _by_series(second)
    shared = [key for key in ours if key in theirs]
    delta = _delta(first)
    rows = [row for key in shared for row in _rows((ours[key], theirs[key]), (first, second), delta)]
    return RunComparison(
        schema=COMPARE_SCHEMA,
        a=_head(first),
        b=_head(second),
        delta=delta,
        cautions=CAUTIONS,
        rows=rows,
        only_a=[_name(ours[key]) for key in ours if key not in theirs],
        only_b=[_name(theirs[key]) for key in theirs if key not in ours],
        environment=_environment(first, second),
        warnings=[*first.warnings, *second.warnings],
        not_shared=series_differences(
            [cell for key, cell in ours.items() if key not in theirs],
            [cell for key, cell in theirs.items() if key not in ours],
        ),
        answer=comparison_answer([_moved(row) for row in rows]),
    )


def _moved(row: RatioRow | PointsRow) -> Moved:
    series = row.series
    name = " · ".join(clean(part, 40) for part in (series.board_id, series.task, series.label))
    unit, value = ("points", row.points) if isinstance(row, PointsRow) else ("ratio", row.ratio)
    far = abs(value) / 100 if unit == "points" else abs(np.log(value))
    return Moved(name, row.quantity, row.verdict, size_words(unit, value), float(far))


def _by_series(reader: RunReader) -> dict[_Key, Cell]:
    series: dict[_Key, Cell] = {}
    for cell in cells(reader.repetitions):
        if cell.usable:
            series.setdefault((cell.usable[0].series_key, cell.first.engine_build), cell)
    return series


def _delta(reader: RunReader) -> dict[str, float]:
    given = (reader.manifest.delta if reader.manifest else None) or reader.plan_view.suite.delta
    return {**DEFAULT_DELTA, **{name: limit for name, limit in given.items() if limit > 0}}


def _head(reader: RunReader) -> Head:
    manifest = reader.manifest
    return Head(
        run_id=reader.plan_view.run_id or reader.path.name,
        suite=manifest.suite if manifest else None,
        started_utc=manifest.started_utc if manifest else None,
        tunebench=manifest.tunebench if manifest else None,
        complete=reader.complete,
    )


def _name(cell: Cell) -> SeriesName:
    rep = cell.first
    return SeriesName(rep.board_id, rep.task, rep.label, rep.series_key)


def _rows(
    pair: tuple[Cell, Cell], readers: tuple[RunReader, RunReader], delta: Mapping[str, float]
) -> Iterator[RatioRow | PointsRow]:
    for quantity in _RATIOS:
        known = [values(cell, quantity).by_source for cell in pair]
        source = next((source for source in known[0] if source in known[1]), None)
        if source is not None:
            a, b = (list(by_source[source].values()) for by_source in known)
            yield _ratio(_name(pair[0]), quantity, (a, b), source, delta[quantity])
    row = _accuracy(pair, readers, delta["accuracy"])
    if row is not None:
        yield row


def _ratio(
    name: SeriesName,
    quantity: Quantity,
    both: tuple[list[float], list[float]],
    source: Source,
    delta: float,
) -> RatioRow:
    moved = shift(*both, delta=delta)
    return RatioRow(
        series=name,
        quantity=quantity,
        a=median(both[0]),
        b=median(both[1]),
        delta=delta,
        scope=source.scope or None,
        source=source.source or None,
        repeated=source.repeated,
        ratio=moved.ratio,
        low=moved.low,
        high=moved.high,
        interval=moved.interval,
        confidence=moved.confidence,
        verdict=_WORDS[quantity].get(moved.verdict, moved.verdict),
        n_a=moved.n[0],
        n_b=moved.n[1],
    )


def _accuracy(
    pair: tuple[Cell, Cell], readers: tuple[RunReader, RunReader], delta: float
) -> PointsRow | None:
    """Compare the two runs' accuracies in points; judged only on seeds that both runs trained with."""
    a, b = (list(accuracies(cell).values()) for cell in pair)
    if not a or not b:
        return None
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    seeds = _same_seeds(pair, readers, delta)
    interval = None if seeds is None else "paired" if seeds.confidence else "range"
    return PointsRow(
        series=_name(pair[0]),
        quantity="accuracy",
        a=mean_a,
        b=mean_b,
        delta=delta,
        n_a=len(a),
        n_b=len(b),
        points=seeds.points if seeds else 100 * (mean_b - mean_a),
        low=seeds.low if seeds else None,
        high=seeds.high if seeds else None,
        interval=interval,
        confidence=seeds.confidence if seeds else None,
        verdict=seeds.verdict if seeds else "NO VERDICT",
        paired=seeds.n if seeds else 0,
    )


def _same_seeds(
    pair: tuple[Cell, Cell], readers: tuple[RunReader, RunReader], delta: float
) -> AccuracyComparison | None:
    by_seed = [_seeded(cell, accuracies(cell)) for cell in pair]
    seeds = sorted(set(by_seed[0]) & set(by_seed[1]))
    if not seeds:
        return None
    right = [_seeded(cell, right_items(cell, reader)) for cell, reader in zip(pair, readers, strict=True)]
    predicted = [seed for seed in sorted(set(right[0]) & set(right[1])) if _same_items(right, seed)]
    if predicted:
        items = right[0][predicted[0]].items
        predicted = [seed for seed in predicted if right[0][seed].items == items]
        a, b = (np.array([of_run[seed].right for seed in predicted]) for of_run in right)
        return compare_accuracy(a, b, delta=delta)
    return compare_accuracies(*([of_run[seed] for seed in seeds] for of_run in by_seed), delta=delta)


def _same_items(right: list[dict[int, Right]], seed: int) -> bool:
    return right[0][seed].items == right[1][seed].items


def _seeded(cell: Cell, by_block: Mapping[int, _T]) -> dict[int, _T]:
    return {rep.seed: by_block[rep.block] for rep in cell.usable if rep.block in by_block}


def _environment(first: RunReader, second: RunReader) -> list[OtherDifference]:
    """Return the differences of the boards' fingerprints, engines, builds and environments."""
    others: list[OtherDifference] = []
    for board_id in dict.fromkeys(rep.board_id for rep in first.repetitions):
        try:
            a, b = first.env(board_id, "before"), second.env(board_id, "before")
        except ResultsError:
            continue
        if a and b:
            others += [
                OtherDifference(board_id, f"{change.tier}.{change.key}", change.before, change.after)
                for change in changes(a, b)
                if not names_one(change.key)
            ]
    for name in _BUILDS:
        builds = [
            sorted({str(value) for rep in reader.repetitions if (value := getattr(rep.prov, name))})
            for reader in (first, second)
        ]
        if builds[0] != builds[1]:
            others.append(OtherDifference("every board", name, ", ".join(builds[0]), ", ".join(builds[1])))
    return others
