"""The LoRAE study's numbers by board, task and conditions; none of these is ever pooled.

They rest on the summary's rows; added are further metrics, the shipping of updates and the comparison that the suite
fixed beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from tunebench.reports.analysis.cells import Cell
from tunebench.reports.analysis.row import MethodResult, NotCompared, Verdict
from tunebench.reports.records import Repetition, Update
from tunebench.reports.results.plan_view import SuiteView
from tunebench.reports.results.reader import RunReader
from tunebench.reports.stats.accuracy import compare_accuracies
from tunebench.reports.stats.sample import mean_sd
from tunebench.reports.studies.lorae.constants import (
    AIM_POINTS,
    FURTHER,
    METHOD,
    PUBLISHED,
    PUBLISHED_SOURCE,
    REFERENCE,
    STUDY,
)
from tunebench.reports.studies.lorae.model import (
    AnyDifference,
    Chosen,
    Difference,
    LinkTime,
    LoraeStudy,
    Memory,
    Method,
    NoPairs,
    NotJudged,
    Quality,
    Shipped,
    TimeRatio,
    Unit,
)
from tunebench.reports.studies.margin import judged_sentence
from tunebench.reports.studies.tracks import Roles, tracked_tasks

Row = MethodResult
_Pair = tuple[Cell, Row]
#: What must be equal within a unit.
_CONDITIONS = ("board_id", "task", "engine", "engine_build", "device", "threads", "dtype", "power_mode")


def lorae_block(reader: RunReader, groups: Sequence[Cell], rows: Sequence[Row]) -> LoraeStudy | None:
    """Return the study of a run, or None if its plan does not ask for one.

    Args:
        reader: an open run.
        groups: its cells, in the order of the report.
        rows: the summary's row of each of them.
    """
    suite = reader.plan_view.suite
    if suite.study != STUDY:
        return None
    units: dict[tuple[object, ...], list[_Pair]] = {}
    for cell, row in zip(groups, rows, strict=True):
        if not (row.own or row.aa_control):
            units.setdefault(tuple(getattr(row, name) for name in _CONDITIONS), []).append((cell, row))
    return LoraeStudy(
        name=STUDY,
        source=PUBLISHED_SOURCE,
        candidate=suite.candidate,
        published=PUBLISHED,
        units=[_unit(members, suite) for members in units.values()],
        tracks=tracked_tasks(groups, Roles(suite.candidate, REFERENCE, margin=suite.margin)),
    )


def _unit(members: Sequence[_Pair], suite: SuiteView) -> Unit:
    candidate = suite.candidate
    first = members[0][1]
    base = next((pair for pair in members if pair[1].is_baseline), None)
    full = next((row.params_trainable for _, row in members if row.method == REFERENCE), None)
    accuracy = next((row.accuracy for _, row in members if row.accuracy), None)
    metric = accuracy.metric if accuracy else None
    methods = [_method(cell, row, base, full, metric) for cell, row in members]
    chosen = next((method for method in methods if method.label == candidate), None)
    published = PUBLISHED.get(str(metric))
    return Unit(
        board_id=first.board_id,
        task=first.task,
        engine=first.engine,
        engine_build=first.engine_build,
        device=first.device,
        threads=first.threads,
        dtype=first.dtype,
        power_mode=first.power_mode,
        board_kind=first.board_kind,
        emulated=first.emulated,
        dataset=first.dataset,
        model=first.model,
        engine_version=first.engine_version,
        metric=metric,
        metrics=_metrics(metric),
        n_items=accuracy.n_items if accuracy else None,
        baseline=base[1].label if base else None,
        target=published.target if published else None,
        methods=methods,
        chosen=_chosen(chosen, published.target if published else None),
        chosen_missing=None if chosen else _why_not_chosen(candidate),
        shared_machine=first.board_kind == "loopback",
        judged=_judged(members, base, suite),
        bases=suite.bases,
    )


def _judged(members: Sequence[_Pair], base: _Pair | None, suite: SuiteView) -> str | None:
    candidate = next((cell for cell, row in members if row.label == suite.candidate), None)
    return (
        judged_sentence(candidate, base[0], suite.margin)
        if candidate is not None and base is not None
        else None
    )


def _metrics(main: str | None) -> list[str]:
    """Return the main metric and the metrics shown beside it."""
    return [main, *FURTHER.get(main, ())] if main else []


def _why_not_chosen(candidate: str | None) -> str:
    if candidate is None:
        return "the suite names no candidate: none was fixed before the test set was seen"
    return f"{candidate} was not measured"


def _chosen(method: Method | None, target: float | None) -> Chosen | None:
    """Return the study's result: the row that was fixed beforehand, judged alone."""
    if method is None:
        return None
    reduction = method.reduction
    return Chosen(
        label=method.label,
        rank=method.rank,
        reduction=reduction,
        reduction_met=reduction >= target if reduction is not None and target is not None else None,
        differences=method.differences,
    )


def _method(cell: Cell, row: Row, base: _Pair | None, full: int | None, metric: str | None) -> Method:
    trains, wall, steps = row.params_trainable, row.wall_s, row.steps
    names = _metrics(metric)
    shipped, shipped_missing = _shipping(cell)
    return Method(
        label=row.label,
        method=row.method,
        n=row.n,
        params_trainable=trains,
        update_b=row.update_b,
        cache_b=row.cache_b,
        is_lorae=row.method == METHOD,
        rank=row.params.get("rank") if "lora" in row.method else None,
        lr=row.params.get("lr"),
        reduction=1 - trains / full if trains is not None and full else None,
        before=row.accuracy.before_mean if row.accuracy else None,
        quality={name: _mean(_values(cell, name, metric)) for name in names},
        quality_missing=row.accuracy_missing,
        differences=[] if row.is_baseline else [_difference(cell, row, base, name, metric) for name in names],
        step_s=wall.median / steps if wall and steps else None,
        step_missing=row.wall_missing or (None if steps else "the records count no steps"),
        time_ratio=None if row.is_baseline else _ratio(row.judged("time")),
        peak_b=row.peak_rss_b.median if row.peak_rss_b else None,
        peak_missing=row.peak_rss_missing,
        memory=_memory(cell),
        shipped=shipped,
        shipped_missing=shipped_missing,
    )


def _values(cell: Cell, name: str, main: str | None) -> dict[int, float]:
    """Return a metric after training by block, as a share."""
    return {rep.block: value for rep in cell.usable if (value := _value(rep, name, main)) is not None}


def _value(rep: Repetition, name: str, main: str | None) -> float | None:
    if name == main:
        return rep.quality.after if rep.quality.metric == main else None
    return rep.metrics.get(name)


def _mean(values: Mapping[int, float]) -> Quality | None:
    if not values:
        return None
    mean, sd = mean_sd(list(values.values()))
    return Quality(mean, sd, len(values))


def _difference(cell: Cell, row: Row, base: _Pair | None, name: str, main: str | None) -> AnyDifference:
    """Return the difference to the baseline in points, paired by block; for the main metric, the summary's verdict."""
    judged = row.verdicts.get("accuracy") if name == main else None
    if isinstance(judged, NotCompared):
        return NotJudged(name, judged.missing)
    if judged is not None:
        return _of_verdict(name, judged)
    theirs = _values(base[0], name, main) if base else {}
    ours = _values(cell, name, main)
    blocks = sorted(set(theirs) & set(ours))
    if not blocks:
        return NoPairs(name)
    delta = _delta(row)
    pair = compare_accuracies([theirs[b] for b in blocks], [ours[b] for b in blocks], delta=delta)
    return Difference(
        metric=name,
        missing=None,
        value=pair.points,
        low=pair.low,
        high=pair.high,
        interval="wilcoxon" if pair.confidence else "range",
        confidence=pair.confidence,
        n=pair.n,
        delta=delta,
        kind="",
        limited_by=None,
        # Not one of the quantities that Holm's procedure runs over: judged alone only.
        verdict=None,
        verdict_alone=pair.verdict,
        methods=None,
        items=None,
    )


def _of_verdict(name: str, verdict: Verdict) -> Difference:
    return Difference(
        metric=name,
        missing=None,
        value=verdict.value,
        low=verdict.low,
        high=verdict.high,
        interval=verdict.interval,
        confidence=verdict.confidence,
        n=verdict.n,
        delta=verdict.delta,
        kind=verdict.kind,
        limited_by=verdict.limited_by,
        verdict=verdict.verdict,
        verdict_alone=verdict.verdict_alone,
        methods=verdict.methods,
        items=verdict.pairs.items if verdict.pairs else None,
    )


def _delta(row: Row) -> float:
    verdict = row.judged("accuracy")
    return float(verdict.delta) if verdict and verdict.delta else AIM_POINTS


def _ratio(times: Verdict | None) -> TimeRatio | None:
    return TimeRatio(times.value, times.low, times.high, times.interval, times.n) if times else None


def _memory(cell: Cell) -> Memory:
    added = [
        rep.metrics["train_rss_peak_b"] - rep.metrics["train_rss_before_b"]
        for rep in cell.instrumented
        if {"train_rss_peak_b", "train_rss_before_b"} <= set(rep.metrics)
    ]
    predicted = [b for rep in cell.reps if (b := rep.metrics.get("predicted_step_b")) is not None]
    return Memory(median(added) if added else None, median(predicted) if predicted else None)


def _shipping(cell: Cell) -> tuple[Shipped | None, str | None]:
    """Return the smallest exact update (float32, not packed), or None and the reason.

    Adapters where there are any, else what changed.
    """
    updates = [update for rep in cell.usable for update in rep.updates]
    exact = [update for update in updates if update.dtype == "float32" and not update.packed]
    form = next((f for f in ("adapter", "delta") if any(update.form == f for update in exact)), None)
    if form is None:
        reasons = [reason for rep in cell.usable if (reason := rep.missing.get("updates"))]
        return None, reasons[0] if reasons else "no update was shipped in this run"
    chosen = [update for update in exact if update.form == form]
    return Shipped(form, chosen[0].size_b, chosen[0].tensor_b, _links(chosen)), None


def _links(updates: Iterable[Update]) -> list[LinkTime]:
    """Return the median seconds of each link, board to host; measured, shaped and computed times are never mixed."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for update in updates:
        for transfer in update.transfers:
            if (
                transfer.direction == "board-host"
                and transfer.seconds is not None
                and transfer.reason is None
            ):
                seconds.setdefault((transfer.link, transfer.how), []).append(transfer.seconds)
    return [LinkTime(link, how, median(values), len(values)) for (link, how), values in seconds.items()]
