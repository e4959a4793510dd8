"""Two runs of the same series, side by side: what lies how far apart, and what else was different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, TypeVar

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
from tunebench.reports.formatting.privacy import names_one
from tunebench.reports.results.drift import changes
from tunebench.reports.results.layout import ResultsError
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import AccuracyComparison, compare_accuracies, compare_accuracy
from tunebench.reports.stats.unpaired import Shift, shift

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


def compare_runs(first: RunReader, second: RunReader) -> dict[str, Any]:
    """Every series that both runs hold, each quantity for itself; JSON-ready.

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
    return {
        "schema": COMPARE_SCHEMA,
        "a": _head(first),
        "b": _head(second),
        "delta": delta,
        "cautions": list(CAUTIONS),
        "rows": [
            row for key in shared for row in _rows((ours[key], theirs[key]), (first, second), delta)
        ],
        "only_a": [_name(ours[key]) for key in ours if key not in theirs],
        "only_b": [_name(theirs[key]) for key in theirs if key not in ours],
        "environment": _environment(first, second),
        "warnings": [*first.warnings, *second.warnings],
    }  # fmt: skip


def _by_series(reader: RunReader) -> dict[_Key, Cell]:
    found: dict[_Key, Cell] = {}
    for cell in cells(reader.repetitions):
        if cell.usable:
            found.setdefault((cell.usable[0].series_key, cell.first.engine_build), cell)
    return found


def _delta(reader: RunReader) -> dict[str, float]:
    given = reader.manifest.delta if reader.manifest else None
    if not given:
        suite = reader.plan.get("suite")
        given = suite.get("delta") if isinstance(suite, dict) else None
    known = given if isinstance(given, Mapping) else {}
    own = {name: float(one) for name, one in known.items() if isinstance(one, int | float) and one > 0}
    return {**DEFAULT_DELTA, **own}


def _head(reader: RunReader) -> dict[str, Any]:
    manifest = reader.manifest
    return {
        "run_id": str(reader.plan.get("run_id", reader.path.name)),
        "suite": manifest.suite if manifest else None,
        "started_utc": manifest.started_utc if manifest else None,
        "tunebench": manifest.tunebench if manifest else None,
        "complete": reader.complete,
    }


def _name(cell: Cell) -> dict[str, str]:
    rep = cell.first
    return {"board_id": rep.board_id, "task": rep.task, "label": rep.label, "series_key": rep.series_key}


def _rows(
    pair: tuple[Cell, Cell], readers: tuple[RunReader, RunReader], delta: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    for quantity in _RATIOS:
        found = [values(cell, quantity).by_source for cell in pair]
        source = next((one for one in found[0] if one in found[1]), None)
        if source is not None:
            a, b = (list(one[source].values()) for one in found)
            judged = shift(a, b, delta=delta[quantity])
            told = {"quantity": quantity, "a": median(a), "b": median(b), "delta": delta[quantity]}
            yield {**_name(pair[0]), **told, **_source(source), **_told(judged, quantity)}
    row = _accuracy(pair, readers, delta["accuracy"])
    if row is not None:
        yield {**_name(pair[0]), **row}


def _source(source: Source) -> dict[str, Any]:
    return {"scope": source.scope or None, "source": source.source or None, "repeated": source.repeated}


def _told(found: Shift, quantity: str) -> dict[str, Any]:
    return {
        "ratio": found.ratio, "low": found.low, "high": found.high, "interval": found.interval,
        "confidence": found.confidence, "verdict": _WORDS[quantity].get(found.verdict, found.verdict),
        "n_a": found.n[0], "n_b": found.n[1],
    }  # fmt: skip


def _accuracy(
    pair: tuple[Cell, Cell], readers: tuple[RunReader, RunReader], delta: float
) -> dict[str, Any] | None:
    """Points between the two runs' accuracies; judged only on seeds that both runs trained with."""
    known = [list(accuracies(cell).values()) for cell in pair]
    if not known[0] or not known[1]:
        return None
    means = [sum(one) / len(one) for one in known]
    found = _same_seeds(pair, readers, delta)
    row = {
        "quantity": "accuracy", "a": means[0], "b": means[1], "delta": delta, "n_a": len(known[0]),
        "n_b": len(known[1]), "points": 100 * (means[1] - means[0]), "low": None, "high": None,
        "interval": None, "confidence": None, "verdict": "NO VERDICT", "paired": 0,
    }  # fmt: skip
    if found is not None:
        row |= {
            "points": found.points, "low": found.low, "high": found.high, "confidence": found.confidence,
            "interval": "paired" if found.confidence else "range", "verdict": found.verdict, "paired": found.n,
        }  # fmt: skip
    return row


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
        a, b = (np.array([one[seed].right for seed in predicted]) for one in right)
        return compare_accuracy(a, b, delta=delta)
    return compare_accuracies(*([one[seed] for seed in seeds] for one in by_seed), delta=delta)


def _same_items(right: list[dict[int, Right]], seed: int) -> bool:
    return right[0][seed].items == right[1][seed].items


def _seeded(cell: Cell, by_block: Mapping[int, _T]) -> dict[int, _T]:
    return {rep.seed: by_block[rep.block] for rep in cell.usable if rep.block in by_block}


def _environment(first: RunReader, second: RunReader) -> list[dict[str, Any]]:
    """What differs around the numbers: the boards' fingerprints, engines, builds, environments."""
    found: list[dict[str, Any]] = []
    for board_id in dict.fromkeys(rep.board_id for rep in first.repetitions):
        try:
            a, b = first.env(board_id, "before"), second.env(board_id, "before")
        except ResultsError:
            continue
        if a and b:
            found += [
                {"where": board_id, "what": f"{c['tier']}.{c['key']}", "a": c["before"], "b": c["after"]}
                for c in changes(a, b)
                if not names_one(c["key"])
            ]
    for name in _BUILDS:
        told = [
            sorted({str(value) for rep in reader.repetitions if (value := getattr(rep.prov, name))})
            for reader in (first, second)
        ]
        if told[0] != told[1]:
            a_s, b_s = (", ".join(one) for one in told)
            found.append({"where": "every board", "what": name, "a": a_s, "b": b_s})
    return found
