"""Write the lines of a suite that hold the rates a search has chosen: to commit before the test set is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunebench.harness.config.suite import Workload
from tunebench.harness.config.tables.workload import WorkloadEntry
from tunebench.harness.study.search import Searched, TaskSearch, track_keys
from tunebench.workloads import defaults

#: Keys of a workload's params that a suite leaves out where they have these values.
_DEFAULTS: Mapping[str, Any] = {
    "batch": defaults.BATCH,
    "rank": defaults.RANK,
    "scale": defaults.SCALE,
    "warmup_steps": defaults.WARMUP_STEPS,
}
_PLACE_DEFAULTS: Mapping[str, Any] = {"engine": "torch", "device": "cpu", "threads": 1, "dtype": "float32"}


def suite_lines(searched: TaskSearch, track: str) -> str:
    """Return one ``[[workload]]`` for the methods of a task that have equal rates and all else equal.

    Epochs are those of the plateau, where it was looked for and reached.
    """
    groups: dict[str, tuple[Workload, float, list[Searched]]] = {}
    for item in searched.methods:
        if item.choice.stands and item.choice.rate is not None:
            row = item.workload
            renamed = row.label if row.label != row.method else ""
            key = json.dumps(
                [renamed, item.choice.rate, row.build, _settings(row), row.own_params], sort_keys=True
            )
            groups.setdefault(key, (row, item.choice.rate, []))[2].append(item)
    epochs = {} if searched.epochs is None else {"epochs": searched.epochs}
    return "\n\n".join(
        "\n".join(_entry(row, rate, items, track, epochs)) for row, rate, items in groups.values()
    )


def _entry(
    row: Workload, rate: float, items: Sequence[Searched], track: str, epochs: Mapping[str, int]
) -> Iterator[str]:
    methods = [item.workload.method for item in items]
    place = {key: getattr(row, key) for key, usual in _PLACE_DEFAULTS.items() if getattr(row, key) != usual}
    keys: dict[str, Any] = {"dataset": row.dataset, "model": row.model, "methods": methods, **place}
    if row.build:
        keys["build"] = row.build
    if WorkloadEntry(**keys).task_name != row.task:
        keys["task"] = row.task
    if row.label != row.method:
        keys["label"] = row.label
    settings = {
        **_settings(row),
        **epochs,
        **row.own_params,
        **track_keys([item.workload for item in items], track),
        "lr": rate,
    }
    if row.blocks is not None:
        settings["blocks"] = row.blocks
    yield "[[workload]]"
    for key, value in {**keys, **settings}.items():
        if value is not None:
            yield f"{key} = {json.dumps(value)}"


def _settings(row: Workload) -> dict[str, Any]:
    """Return a workload's hyper-parameters without what a suite leaves out, and without what the search decides."""
    return {
        key: value
        for key, value in row.params.items()
        if key != "lr" and _DEFAULTS.get(key) != value and not (key == "scale" and row.params.get("alpha"))
    }
