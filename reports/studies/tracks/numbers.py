"""The numbers of a study's tracks, from its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.stats.non_inferiority import as_score, points_apart
from tunebench.reports.stats.sample import mean_sd
from tunebench.reports.studies.margin import beside_sentence, judged_sentence, scored, scores
from tunebench.reports.studies.tracks.model import Apart, Role, Track, TrackedTask, TrackRow
from tunebench.reports.studies.tracks.sorting import Sorted, is_control, sort_into_tracks, takes_steps


@dataclass(frozen=True)
class Roles:
    """Which methods a study compares; each by its label, or by its method's name.

    Attributes:
        candidate: None: the suite names none.
        baseline: that the candidate is judged against.
        beside: further methods that it is compared with, without a claim.
        margin: points, fixed beforehand; None: no claim is made.
    """

    candidate: str | None
    baseline: str
    beside: tuple[str, ...] = ()
    margin: float | None = None


def tracked_tasks(cells: Sequence[Cell], roles: Roles) -> list[TrackedTask]:
    """Return the tracks of every data set and model on every board, in the order of the run.

    Empty where there is nothing to lay beside each other: one track, no control, and no margin to judge by.

    Args:
        cells: of the run; own methods and A/A controls are left out.
        roles: of the study.
    """
    groups: dict[tuple[str, str | None, str | None], list[Cell]] = {}
    for cell in cells:
        first = cell.first
        if not (first.own or first.aa_control):
            groups.setdefault((first.board_id, first.dataset, first.model), []).append(cell)
    tasks = [task for members in groups.values() for task in _tasks(members, roles)]
    is_plain = all(len(task.tracks) == 1 for task in tasks) and not any(map(is_control, cells))
    return [] if is_plain and roles.margin is None else tasks


def _tasks(members: Sequence[Cell], roles: Roles) -> list[TrackedTask]:
    """Return one task an engine and build: controls may come from another engine, tracks may not."""
    by_engine: dict[tuple[object, ...], list[Sorted]] = {}
    for track in sort_into_tracks(members):
        lead = track.cells[0].first
        by_engine.setdefault((lead.engine, lead.engine_build, lead.device, lead.threads), []).append(track)
    return [_task(tracks, roles) for tracks in by_engine.values()]


def _task(tracks: Sequence[Sorted], roles: Roles) -> TrackedTask:
    first = tracks[0].cells[0].first
    candidate = _named(roles.candidate, [cell for track in tracks for cell in track.cells])
    metrics = [rep.quality.metric for cell in tracks[0].cells for rep in scored(cell)]
    return TrackedTask(
        dataset=str(first.dataset),
        model=str(first.model),
        board_id=first.board_id,
        engine=first.engine,
        engine_build=first.engine_build,
        metric=metrics[0] if metrics else None,
        tracks=[_track(track, roles, candidate) for track in tracks],
    )


def _track(track: Sorted, roles: Roles, known_candidate: Cell | None) -> Track:
    candidate = _named(roles.candidate, track.cells) or _alike(known_candidate, track.cells)
    baseline = _named(roles.baseline, track.cells)
    others = [cell for name in roles.beside if (cell := _named(name, track.cells)) not in (None, baseline)]
    return Track(
        name=track.name,
        training=track.training,
        baseline=baseline.first.label if baseline else None,
        rows=[
            _row(cell, _role(cell, candidate, baseline), baseline, track.cells[0].first.engine)
            for cell in track.cells
        ],
        claim=judged_sentence(candidate, baseline, roles.margin) if candidate and baseline else None,
        beside=[
            sentence
            for other in others
            if candidate and other and roles.margin and (sentence := beside_sentence(candidate, other))
        ],
    )


def _named(name: str | None, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell with this label; else the one with this method, where there is one only."""
    by_label = [cell for cell in cells if cell.first.label == name]
    by_method = [cell for cell in cells if cell.first.method == name]
    if by_label:
        return by_label[0]
    return by_method[0] if len(by_method) == 1 else None


def _alike(candidate: Cell | None, cells: Sequence[Cell]) -> Cell | None:
    """Return the cell that is the candidate under another track's label: same method and rank, and no other is."""
    if candidate is None:
        return None
    wanted = (candidate.first.method, candidate.first.params.get("rank"))
    same = [cell for cell in cells if (cell.first.method, cell.first.params.get("rank")) == wanted]
    return same[0] if len(same) == 1 else None


def _role(cell: Cell, candidate: Cell | None, baseline: Cell | None) -> Role:
    if cell is candidate:
        return "candidate"
    if cell is baseline:
        return "baseline"
    return "control" if is_control(cell) else "method"


def _row(cell: Cell, role: Role, baseline: Cell | None, engine: str) -> TrackRow:
    first, known = cell.first, scores(cell)
    values = [as_score(score) for score in known.values()]
    mean, sd = mean_sd(values) if values else (None, None)
    steps = takes_steps(cell)
    apart, missing = _apart(cell, known, baseline)
    before = [rep.quality.before for rep in scored(cell) if rep.quality.before is not None]
    losses = [rep.quality.loss_final for rep in scored(cell) if rep.quality.loss_final is not None]
    return TrackRow(
        label=first.label,
        method=first.method,
        engine=first.engine if first.engine != engine else None,
        role=role,
        lr=_number(first.params.get("lr")) if steps else None,
        epochs=_whole(first.params.get("epochs")) if steps else None,
        n=len(known),
        diverged=sum(score is None for score in known.values()),
        before=fmean(before) if before else None,
        score=mean,
        sd=sd,
        loss=fmean(losses) if losses and steps else None,
        apart=apart,
        apart_missing=missing,
    )


def _apart(
    cell: Cell, known: Mapping[int, float | None], baseline: Cell | None
) -> tuple[Apart | None, str | None]:
    if baseline is None:
        return None, "the baseline was not measured on this track"
    if cell is baseline:
        return None, "this is the baseline"
    shift = points_apart(scores(baseline), known)
    if shift is None:
        return None, "no block in which both have a score"
    return Apart(shift.shift, shift.low, shift.high, shift.interval, shift.n), None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
