"""The numbers of a study's tracks, typed; scores are shares of one, differences are in points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["candidate", "baseline", "control", "method"]


@dataclass(frozen=True, slots=True)
class Apart:
    """Score less the baseline's, points, paired by block; a run that diverged scores 0."""

    points: float
    low: float
    high: float
    interval: str
    n: int


@dataclass(frozen=True, slots=True)
class TrackRow:
    """One method on one track.

    Attributes:
        engine: where it is not the track's.
        role: in the study; a control learns from no labels.
        lr: its learning rate; None: it takes no steps.
        n: blocks with a score.
        diverged: how many of them diverged; they count as 0.
        before, score: means over the blocks.
        sd: standard deviation of the scores; None for one block.
        loss: training's mean loss in the last epoch, mean over the blocks; None: not known, or it takes no steps.
        apart: from the track's baseline; None: ``apart_missing`` says why.
    """

    label: str
    method: str
    engine: str | None
    role: Role
    lr: float | None
    epochs: int | None
    n: int
    diverged: int
    before: float | None
    score: float | None
    sd: float | None
    loss: float | None
    apart: Apart | None
    apart_missing: str | None


@dataclass(frozen=True, slots=True)
class Track:
    """One way to train, and all methods that were trained so.

    Attributes:
        name: ``main``, ``paper``, or how weights were updated, in words.
        training: how weights were updated, in words.
        baseline: its label; None: it was not measured on this track.
        claim: what may be claimed of the candidate by the margin; None without a margin, or without the two.
        beside: how the candidate stands to further methods, which no claim was fixed for.
    """

    name: str
    training: str
    baseline: str | None
    rows: list[TrackRow]
    claim: str | None
    beside: list[str]


@dataclass(frozen=True, slots=True)
class TrackedTask:
    """The tracks of one data set and model on one board; boards and engines are never pooled."""

    dataset: str
    model: str
    board_id: str
    engine: str
    engine_build: str | None
    metric: str | None
    tracks: list[Track]
