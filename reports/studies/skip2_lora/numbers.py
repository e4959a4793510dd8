"""The study's numbers by board, engine and build; none of these is ever pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tunebench.reports.analysis.cells import Cell, numbers, paired, unequal_work
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.paired import difference
from tunebench.reports.stats.sample import mean_sd
from tunebench.reports.studies.margin import judged_sentence
from tunebench.reports.studies.skip2_lora.constants import (
    AGAINST,
    AIM_POINTS,
    CANDIDATE,
    METHODS,
    PUBLISHED,
    PUBLISHED_HIGH,
    PUBLISHED_LOW,
    PUBLISHED_MEAN,
    PUBLISHED_SOURCE,
    REFERENCE,
    STUDY,
)
from tunebench.reports.studies.skip2_lora.model import (
    Difference,
    Headline,
    Method,
    NoDifference,
    Published,
    Reduction,
    Study,
    Task,
    Unit,
)
from tunebench.reports.studies.skip2_lora.sentences import dependence, explanation
from tunebench.reports.studies.tracks import Roles, tracked_tasks
from tunebench.reports.studies.tracks.sorting import keys_of, takes_steps, track_name

#: What must be equal within a unit.
_UNIT = ("board_id", "engine", "engine_build", "device", "threads", "dtype", "power_mode")


def study_block(reader: RunReader, groups: Sequence[Cell], delta: float) -> Study | None:
    """Return the study of a run, or None if its plan does not ask for one.

    Args:
        reader: an open run.
        groups: its cells, in the order of the report.
        delta: relative difference of time that does not matter.
    """
    if reader.plan_view.suite.study != STUDY:
        return None
    margin = reader.plan_view.suite.margin
    members_of = _by_unit(groups)
    tasks_of = _named([_tasks(members, delta, margin) for _, members in members_of])
    units = [
        _unit(members, tasks, track if len({name for name, _ in members_of}) > 1 else None)
        for (track, members), tasks in zip(members_of, tasks_of, strict=True)
    ]
    return Study(
        name=STUDY,
        candidate=CANDIDATE,
        reference=REFERENCE,
        aim_points=AIM_POINTS,
        published=Published(PUBLISHED, PUBLISHED_MEAN, PUBLISHED_LOW, PUBLISHED_HIGH, PUBLISHED_SOURCE),
        dependence=dependence(units),
        units=[replace(unit, explanation=explanation(unit, units)) for unit in units],
        tracks=tracked_tasks(groups, Roles(CANDIDATE, REFERENCE, AGAINST, margin)),
    )


def _by_unit(groups: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    """Return the cells of each unit with its track.

    A task of controls alone, which has neither of the two methods that the study compares, stands in the tracks only.
    """
    by_task: dict[tuple[tuple[object, ...], str], list[Cell]] = {}
    for cell in groups:
        if not (cell.first.own or cell.first.aa_control):
            place = tuple(getattr(cell.first, name) for name in _UNIT)
            by_task.setdefault((place, cell.first.task), []).append(cell)
    compared = {task: cells for task, cells in by_task.items() if any(map(_is_compared, cells))}
    units: dict[tuple[object, ...], list[Cell]] = {}
    for (place, _), cells in (compared or by_task).items():
        units.setdefault((place, _track(cells)), []).extend(cells)
    return [(str(track), cells) for (_, track), cells in units.items()]


def _is_compared(cell: Cell) -> bool:
    return cell.first.method in (CANDIDATE, REFERENCE)


def _track(cells: Sequence[Cell]) -> str:
    """Return the track of a task: that of the method which the others are held against."""
    trained = [cell for cell in cells if takes_steps(cell)] or list(cells)
    lead = next((cell for cell in trained if cell.first.method == REFERENCE), trained[0])
    return track_name(dict(keys_of(lead)))


def _tasks(members: Sequence[Cell], delta: float, margin: float | None) -> list[Task]:
    by_task: dict[str, list[Cell]] = {}
    for cell in members:
        by_task.setdefault(cell.first.task, []).append(cell)
    return [_task(cells, delta, margin) for cells in by_task.values()]


def _unit(members: Sequence[Cell], tasks: list[Task], track: str | None) -> Unit:
    first = members[0].first
    return Unit(
        board_id=first.board_id,
        engine=first.engine,
        engine_build=first.engine_build,
        device=first.device,
        threads=first.threads,
        dtype=first.dtype,
        power_mode=first.power_mode,
        board_kind=first.board_kind,
        board_model=first.board_model,
        emulated=first.emulated,
        engine_version=next((v for c in members if (v := c.first.prov.engine_version)), None),
        tasks=tasks,
        headline=_headline(tasks),
        track=track,
    )


def _headline(tasks: Sequence[Task]) -> Headline:
    known = [(task.name, task.reduction.value) for task in tasks if task.reduction]
    return Headline(
        reduction_mean=mean_sd([value for _, value in known])[0] if known else None,
        datasets=[name for name, _ in known],
        missing={task.name: task.reduction_missing for task in tasks if not task.reduction},
    )


def _named(units: Sequence[Sequence[Task]]) -> list[list[Task]]:
    """Give each task the shortest name that is unique in its unit: data set, data set with model, or task.

    A task has the same name in all units.
    """

    def is_clear(name: Callable[[Task], str], task: Task) -> bool:
        return all(sum(name(other) == name(task) for other in tasks) <= 1 for tasks in units)

    def data_set(task: Task) -> str:
        return task.dataset

    def with_model(task: Task) -> str:
        return f"{task.dataset}/{task.model}"

    def name(task: Task) -> str:
        if is_clear(data_set, task):
            return task.dataset
        return with_model(task) if is_clear(with_model, task) else task.task

    return [[replace(task, name=name(task)) for task in tasks] for tasks in units]


def _task(cells: Sequence[Cell], delta: float, margin: float | None) -> Task:
    by_method: dict[str, Cell] = {}
    for cell in cells:
        # Where a method stands under two labels, the one that is called like it counts.
        if cell.first.method not in by_method or cell.first.label == cell.first.method:
            by_method[cell.first.method] = cell
    order = [name for name in METHODS if name in by_method] + [n for n in by_method if n not in METHODS]
    reference = by_method.get(REFERENCE)
    methods = [_method(by_method[name], reference, delta) for name in order]
    candidate = next((method for method in methods if method.method == CANDIDATE), None)
    first = cells[0].first
    return Task(
        task=first.task,
        dataset=first.dataset,
        model=first.model,
        methods=methods,
        missing_methods=[name for name in METHODS if name not in by_method],
        reduction=candidate.reduction if candidate else None,
        reduction_missing=candidate.reduction_missing if candidate else f"{CANDIDATE} was not measured",
        differences=[_difference(by_method, name) for name in AGAINST],
        bound=_bound(methods),
        judged=judged_sentence(by_method[CANDIDATE], reference, margin)
        if candidate is not None and reference is not None
        else None,
    )


def _method(cell: Cell, reference: Cell | None, delta: float) -> Method:
    figures = numbers(cell)
    reduction, missing = _reduction(cell, reference, delta)
    losses, n_losses = _mean_lines([rep.quality.losses for rep in cell.usable])
    marked = [[value for _, _, value in rep.quality.curve] for rep in cell.instrumented]
    accuracies, n_accuracies = _mean_lines(marked)
    epochs = next(
        ([e for e, _, _ in rep.quality.curve] for rep in cell.instrumented if rep.quality.curve), []
    )
    madds = _madds(cell)
    total = sum(madds.values()) if madds else None
    wall = figures.wall_s
    return Method(
        method=figures.method,
        label=figures.label,
        n=figures.n,
        wall_s=wall,
        wall_missing=figures.wall_missing,
        accuracy=figures.accuracy,
        phases=figures.phases,
        title=cell.first.method,
        reduction=reduction,
        reduction_missing=missing,
        losses=losses,
        losses_n=n_losses,
        accuracies=list(zip(epochs, accuracies, strict=False)),
        accuracies_n=n_accuracies,
        madds=madds,
        madds_total=total,
        madds_per_s=total / wall.median if total and wall else None,
    )


def _reduction(cell: Cell, reference: Cell | None, delta: float) -> tuple[Reduction | None, str | None]:
    """Return the share of the reference's time that is saved: 1 - ratio, with the interval of the paired comparison."""
    if reference is None:
        return None, f"{REFERENCE} was not measured"
    if cell is reference:
        return None, "this is the reference"
    times, missing = paired(reference, cell, delta=delta)
    if times is None:
        return None, missing
    return Reduction(
        value=1 - times.ratio,
        low=1 - times.high,
        high=1 - times.low,
        interval=times.interval,
        confidence=times.confidence,
        n=times.n,
        unequal_work=unequal_work(reference, cell),
    ), None


def _difference(by_method: dict[str, Cell], against: str) -> Difference | NoDifference:
    """Return the accuracy of the candidate less that of another method, in points, paired by block."""
    absent = [name for name in (CANDIDATE, against) if name not in by_method]
    if absent:
        return NoDifference(against, f"{' and '.join(absent)} not measured")
    ours, theirs = (_after(by_method[name]) for name in (CANDIDATE, against))
    blocks = sorted(set(ours) & set(theirs))
    if not blocks:
        return NoDifference(against, "no block in which the accuracy of both is known")
    shift = difference([100 * theirs[b] for b in blocks], [100 * ours[b] for b in blocks])
    return Difference(
        against=against,
        points=shift.shift,
        aim=_aim(shift.low, shift.high) if shift.interval != "range" else "open",
        low=shift.low,
        high=shift.high,
        interval=shift.interval,
        confidence=shift.confidence,
        n=shift.n,
    )


def _aim(low: float, high: float) -> str:
    """Return ``met`` if the interval lies within the aim, ``missed`` if wholly outside, ``open`` if across its edge."""
    # Accuracies are counts over items: the tolerance keeps a difference of exactly the aim inside it.
    edge = AIM_POINTS + 1e-9
    if -edge <= low and high <= edge:
        return "met"
    return "missed" if low > edge or high < -edge else "open"


def _after(cell: Cell) -> dict[int, float]:
    return {rep.block: rep.quality.after for rep in cell.usable if rep.quality.after is not None}


def _mean_lines(lines: Sequence[Sequence[float]]) -> tuple[list[float], int]:
    """Return the mean of all lines at each epoch, as far as the shortest line goes, and the number of lines."""
    known = [line for line in lines if line]
    return [sum(values) / len(known) for values in zip(*known, strict=False)], len(known)


def _madds(cell: Cell) -> dict[str, int] | None:
    """Return the multiply-adds of one fine-tuning; None where the records do not agree on one count."""
    counts = [rep.madds for rep in cell.usable if rep.madds]
    return dict(counts[0]) if counts and all(other == counts[0] for other in counts) else None


def _bound(methods: Sequence[Method]) -> float | None:
    """Return the reduction by multiply-adds alone, as if both methods ran at equal rates."""
    totals = {method.method: method.madds_total for method in methods}
    ours, theirs = totals.get(CANDIDATE), totals.get(REFERENCE)
    return 1 - ours / theirs if ours and theirs else None
