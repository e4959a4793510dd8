"""Why a series of one run is no series of the other: which of the things that make a series differ, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.formatting.training_words import DEFAULTS
from tunebench.reports.records import Repetition

#: What makes a series, in words; a difference in an earlier one says more.
_PARTS = (
    ("board", "board_id"),
    ("task", "task"),
    ("method", "label"),
    ("lab", "lab"),
    ("engine", "engine"),
    ("engine build", "engine_build"),
    ("device", "device"),
    ("threads", "threads"),
    ("number format", "dtype"),
    ("power mode", "power_mode"),
    ("policy", "policy"),
    ("bench version", "bench_version"),
)
#: What only tells apart what everything else leaves equal.
_REST = "tuning or own settings"


@dataclass(frozen=True, slots=True)
class SeriesDifference:
    """What differs between a series of A and the series of B that is nearest to it.

    Attributes:
        board_id, task, label: of the series of A.
        what: the part that differs: ``board``, ``task``, ``engine``, ``setting epochs``, ``data`` ...
        a, b: its value in each run.
    """

    board_id: str
    task: str
    label: str
    what: str
    a: object
    b: object


def series_differences(ours: Sequence[Cell], theirs: Sequence[Cell]) -> list[SeriesDifference]:
    """Hold each series of A against the one of B that differs from it in the least; none if B has no series."""
    differences: list[SeriesDifference] = []
    for cell in ours:
        candidates = [list(_differences(cell.usable[0], other.usable[0])) for other in theirs]
        if candidates:
            nearest = min(candidates, key=_weight)
            differences.extend(nearest)
    return differences


def shared_reasons(differences: Sequence[SeriesDifference]) -> list[tuple[str, object, object, list[str]]]:
    """Return (what, value in A, value in B, methods of A) of differences, equal ones once, the most frequent first."""
    methods: dict[str, tuple[SeriesDifference, list[str]]] = {}
    for item in differences:
        key = json.dumps([item.what, item.a, item.b], sort_keys=True, default=str)
        methods.setdefault(key, (item, []))[1].append(item.label)
    ordered = sorted(methods.values(), key=lambda pair: -len(pair[1]))
    return [(item.what, item.a, item.b, labels) for item, labels in ordered]


def _weight(differences: list[SeriesDifference]) -> tuple[int, int]:
    """Return how far two series lie apart: other boards, tasks and methods weigh more than settings."""
    grave = sum(item.what in ("board", "task", "method") for item in differences)
    return grave, len(differences)


def _differences(a: Repetition, b: Repetition) -> Iterator[SeriesDifference]:
    def differing(what: str, ours: object, theirs: object) -> SeriesDifference:
        return SeriesDifference(a.board_id, a.task, a.label, what, ours, theirs)

    known = False
    for what, name in _PARTS:
        ours, theirs = getattr(a, name), getattr(b, name)
        if ours != theirs:
            known = True
            yield differing(what, ours, theirs)
    for name in sorted(set(a.params) | set(b.params)):
        # A record without a key of training was made by its default.
        ours, theirs = (rep.params.get(name, DEFAULTS.get(name)) for rep in (a, b))
        if ours != theirs:
            known = True
            yield differing(f"setting {name}", ours, theirs)
    data = a.prov.data_sha256, b.prov.data_sha256
    if data[0] != data[1]:
        known = True
        yield differing("data", *(_digest(value) for value in data))
    tuning = a.prov.tuning, b.prov.tuning
    if tuning[0] != tuning[1]:
        known = True
        yield differing("tuning", *(_settings(value) for value in tuning))
    if not known:
        # Equal in all that a record tells: what else a series key is made of stands in no record.
        yield differing(_REST, "not told by the record", "not told by the record")


def _digest(sha256: str | None) -> str | None:
    return None if sha256 is None else f"SHA-256 {sha256[:12]}…"


def _settings(values: dict[str, str]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items())) or None
