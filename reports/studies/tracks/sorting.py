"""Put the cells of a study into tracks, by how their methods were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.figures.methods.known import KNOWN
from tunebench.reports.formatting.training_words import DEFAULTS, PLAIN, training_words

#: Keys that say which track a method is on; rank, scale and what trains besides are the method's own.
KEYS = ("optimizer", "schedule", "clip", "weight_decay", "batchnorm")
#: Name -> keys of protocol 2's tracks (``tunebench.harness.study.protocol.TRACKS``; a test holds the two together).
TRACKS: Mapping[str, Mapping[str, object]] = {
    "main": {"optimizer": "adamw", "schedule": "cosine", "clip": 1.0},
    "paper": {"optimizer": "sgd", "schedule": "constant", "clip": None},
}
Keys = tuple[tuple[str, object], ...]


@dataclass
class Sorted:
    """The cells of one track: those that define it, and controls that belong to it."""

    keys: Keys
    cells: list[Cell] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return the track's short name."""
        return track_name(dict(self.keys))

    @property
    def training(self) -> str:
        """Return how weights were updated, in words."""
        return training_words(dict(self.keys)) or PLAIN


def track_name(keys: Mapping[str, object]) -> str:
    """Return ``main`` or ``paper``, with what else differs from the protocol's; else the training in words.

    >>> track_name({"optimizer": "adamw", "schedule": "cosine", "clip": 1.0, "batchnorm": "reestimated"})
    'main, BatchNorm reestimated'
    >>> track_name({}), track_name({"optimizer": "momentum"})
    ('paper', 'SGD with momentum 0.9')
    """
    full = {key: keys.get(key, DEFAULTS[key]) for key in KEYS}
    for name, wanted in TRACKS.items():
        if all(full[key] == value for key, value in wanted.items()):
            further = {key: value for key, value in full.items() if key not in wanted}
            words = training_words({**TRACKS["main"], **further}).removeprefix(training_words(TRACKS["main"]))
            return f"{name}{words}"
    return training_words(full)


def sort_into_tracks(cells: Sequence[Cell]) -> list[Sorted]:
    """Return the tracks of cells of one data set and model on one board, main and paper track first.

    A method that does not learn from labels by gradients (a control, MeZO) tells less than a track's keys: it is on every
    track of its task that it agrees with, or, if its task has none, on those of the others.
    """
    tracks: dict[tuple[object, ...], Sorted] = {}
    for cell in cells:
        if _decides(cell):
            keys = keys_of(cell)
            tracks.setdefault((*_place(cell), keys), Sorted(keys)).cells.append(cell)
    for cell in cells:
        if _decides(cell):
            continue
        known = [track for track in tracks.values() if _agrees(cell, track)]
        own = [track for track in known if any(mate.first.task == cell.first.task for mate in track.cells)]
        for track in own or known:
            track.cells.append(cell)
    order = list(TRACKS)
    return sorted(tracks.values(), key=lambda track: [not track.name.startswith(name) for name in order])


def keys_of(cell: Cell) -> Keys:
    """Return the keys of a cell's training that say which track it is on."""
    return tuple((key, cell.first.params.get(key, DEFAULTS[key])) for key in KEYS)


def is_control(cell: Cell) -> bool:
    """Return whether a method learns from no labels."""
    known = KNOWN.get(cell.first.method)
    return known is not None and known.objective != "labels"


def takes_steps(cell: Cell) -> bool:
    """Return whether a method takes steps of training."""
    known = KNOWN.get(cell.first.method)
    return known is None or known.objective != "none"


def _decides(cell: Cell) -> bool:
    known = KNOWN.get(cell.first.method)
    return known is None or (known.objective == "labels" and known.gradient == "backward")


def _place(cell: Cell) -> tuple[object, ...]:
    first = cell.first
    return (first.engine, first.engine_build, first.device, first.threads, first.dtype, first.power_mode)


def _agrees(cell: Cell, track: Sorted) -> bool:
    """Return whether a record's keys of training are the track's, those that mean something for its method."""
    known = KNOWN[cell.first.method]
    if known.objective == "none":
        return True
    asked = ("schedule",) if known.gradient == "forward-only" else ("optimizer", "schedule", "clip")
    own, theirs = dict(keys_of(cell)), dict(track.keys)
    return all(own[key] == theirs[key] for key in asked)
