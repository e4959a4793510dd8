"""The summary of a run, typed: the source of the text table, of the HTML report and of ``--json``.

Aggregates are computed here from the records, never stored as truth. Boards are never pooled; methods are
compared only on one board with equal engine build, device, threads, dtype and power mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tunebench.reports.analysis.answers import Answer, Regressed, answers
from tunebench.reports.analysis.cautions import cautions
from tunebench.reports.analysis.cells import Cell, cells, numbers, unequal_work
from tunebench.reports.analysis.energy import one_scope_a_column
from tunebench.reports.analysis.measured import (
    BoardProbe,
    Caution,
    Check,
    Control,
    ControlQuantity,
    Counts,
    LookFacts,
    Measured,
    RepetitionFacts,
    RunFacts,
    UntilDecided,
)
from tunebench.reports.analysis.overall.at_budget import at_budgets
from tunebench.reports.analysis.overall.boards import across
from tunebench.reports.analysis.overall.robustness import under_stress
from tunebench.reports.analysis.overall.to_quality import quality_target, reach
from tunebench.reports.analysis.quantities import DEFAULT_DELTA
from tunebench.reports.analysis.row import EnergyRatio, MethodResult, SpeedUp, Verdict
from tunebench.reports.analysis.verdicts import Judged, Verdicts, aa_result, alone, twin, verdicts
from tunebench.reports.formatting.json_value import OMIT_NONE, json_value
from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import changes
from tunebench.reports.results.layout import ResultsError, count, rep_class
from tunebench.reports.results.reader import RunReader
from tunebench.reports.studies.lorae import LoraeStudy, lorae_block
from tunebench.reports.studies.search.facts import search_facts
from tunebench.reports.studies.search.model import SearchFacts
from tunebench.reports.studies.skip2_lora import Study, study_block

SUMMARY_SCHEMA = "tunebench.summary/1"


class UnknownBaseline(ResultsError):
    """The chosen baseline is no label of this run."""


@dataclass(frozen=True, slots=True)
class Summary(Measured):
    """All that a report shows.

    Attributes:
        study: the numbers of the Skip2-LoRA study; None for runs that are none.
        lorae: the numbers of the LoRAE study; None for runs that are none.
        search: the search that chose what was measured; None for runs that no search has made.
        cautions: conclusions that the run does not support, the gravest first.
        answers: what to use on each board for each task; every report and command takes its sentence from here.
    """

    study: Study | None
    lorae: LoraeStudy | None
    search: SearchFacts | None = field(metadata=OMIT_NONE)
    cautions: list[Caution]
    answers: list[Answer]


def as_json(summary: Summary) -> dict[str, Any]:
    """Return the public JSON of a summary: what ``report --json`` and ``run --json`` hold."""
    value: dict[str, Any] = json_value(summary)
    return value


def summarise(
    reader: RunReader, baseline: str | None = None, *, regressed: Regressed | None = None
) -> Summary:
    """Compute everything the report shows.

    Args:
        reader: an open run, complete or not.
        baseline: the label to compare with, in every task that has it; default: the plan's, else ``ft-all``.
        regressed: what the gate found to have become worse in this run.

    Raises:
        UnknownBaseline: no repetition carries this label.
    """
    groups = _in_plan_order(cells(reader.repetitions), reader)
    labels = sorted({cell.first.label for cell in groups})
    if baseline is not None and baseline not in labels:
        raise UnknownBaseline(
            f"baseline {baseline!r}: not in this run; it holds {', '.join(labels) or 'nothing'}"
        )
    names = {task: _baseline(reader, task, groups, baseline) for task in {cell.first.task for cell in groups}}
    judged = verdicts(reader, groups, names, lambda task: _delta(reader, task))
    delta = _delta(reader)
    rows = [_row(cell, groups, names[cell.first.task], judged, reader) for cell in groups]
    across_boards = across(rows)
    rows = one_scope_a_column(rows)
    measured = Measured(
        schema=SUMMARY_SCHEMA,
        run=_run(reader),
        delta=delta,
        counts=_counts(reader),
        baselines=dict(sorted(names.items())),
        aa=_aa(groups, judged),
        rows=rows,
        across=across_boards,
        checks=_checks(reader),
        environment=_environment(reader),
        skipped=_skipped(reader),
        warnings=list(reader.warnings),
        repetitions=_repetitions(reader),
    )
    return Summary(
        **{item.name: getattr(measured, item.name) for item in fields(measured)},
        study=study_block(reader, groups, delta["time"]),
        lorae=lorae_block(reader, groups, rows),
        search=search_facts(reader.plan_view.suite.search, rows),
        cautions=cautions(measured),
        answers=answers(measured, regressed),
    )


def _row(
    cell: Cell, groups: Sequence[Cell], name: str | None, judged: Verdicts, reader: RunReader
) -> MethodResult:
    figures, own = numbers(cell), judged.get(id(cell), {})
    base = _find(groups, cell, name) if name is not None else None
    delta = _delta(reader, cell.first.task)
    speed_up, missing = _against(cell, base, name, groups=groups, times=own.get("time"), delta=delta["time"])
    is_baseline = cell.first.label == name
    return MethodResult(
        **{item.name: getattr(figures, item.name) for item in fields(figures)},
        baseline=name,
        is_baseline=is_baseline,
        verdicts=own,
        speed_up=speed_up,
        speed_up_missing=missing,
        energy_ratio=_energy_ratio(own.get("energy")),
        unequal_params=unequal_work(base, cell) if base is not None and not is_baseline else None,
        to_quality=reach(
            cell,
            base,
            quality_target(base, reader.plan_view.suite.quality_target, delta["accuracy"]),
            delta["time"],
        ),
        at_budget=at_budgets(
            cell, [other for other in groups if _same_task(other, cell)], reader.plan_view.suite.budgets
        )
        if figures.texts is not None
        else None,
        under_stress=under_stress(cell, groups, delta["time"]),
    )


def _same_task(cell: Cell, other: Cell) -> bool:
    return (cell.first.board_id, cell.first.task) == (other.first.board_id, other.first.task)


def _against(
    cell: Cell,
    base: Cell | None,
    name: str | None,
    *,
    groups: Sequence[Cell],
    times: Judged | None,
    delta: float,
) -> tuple[SpeedUp | None, str | None]:
    """Return the speed-up over the baseline, or None and the reason why there is none."""
    if cell.first.label == name:
        return None, "this is the baseline"
    if name is None:
        return None, "the task has no baseline"
    if base is None:
        return (
            None,
            f"{name} was not measured on this board with the same engine build, device, threads and dtype",
        )
    if cell.first.aa_control and twin(groups, cell) is not base:
        # The control was judged against its twin; here stands how it compares with the baseline chosen.
        times = alone("time", base, cell, delta)
    if times is None:
        return None, None
    return (_speed_up(times) if isinstance(times, Verdict) else None), times.missing


def _speed_up(times: Verdict) -> SpeedUp:
    """Return the comparison of times as a speed-up: baseline / candidate, > 1 is faster."""
    return SpeedUp(
        factor=1 / times.value,
        low=1 / times.high,
        high=1 / times.low,
        ratio=times.value,
        interval=times.interval,
        confidence=times.confidence,
        verdict=times.verdict,
        verdict_alone=times.verdict_alone,
        reason=times.reason,
        withheld=times.withheld,
        n=times.n,
        blocks_needed=times.blocks_needed,
        delta=times.delta,
    )


def _energy_ratio(joules: Judged | None) -> EnergyRatio | None:
    """Compare the joules of a fine-tuning with the baseline's, where energy repetitions measured both."""
    if not isinstance(joules, Verdict) or joules.origin is None or not joules.origin.repeated:
        return None
    return EnergyRatio(
        ratio=joules.value,
        scope=str(joules.origin.scope),
        source=joules.origin.source,
        low=joules.low,
        high=joules.high,
        interval=joules.interval,
        confidence=joules.confidence,
        verdict=joules.verdict,
        n=joules.n,
        blocks_needed=joules.blocks_needed,
        delta=joules.delta,
    )


def _find(groups: Sequence[Cell], cell: Cell, label: str) -> Cell | None:
    same = (other for other in groups if other.conditions() == cell.conditions())
    return next((other for other in same if other.first.label == label), None)


def _aa(groups: Sequence[Cell], judged: Verdicts) -> list[Control]:
    """Return the A/A control of each board and task: one method twice must not differ in anything."""
    controls = []
    for cell in groups:
        if not cell.first.aa_control:
            continue
        repeated, own = twin(groups, cell), judged[id(cell)]
        times = own["time"]
        controls.append(
            Control(
                board_id=cell.first.board_id,
                task=cell.first.task,
                label=cell.first.label,
                twin=repeated.first.label if repeated else None,
                result=aa_result(times),
                missing=times.missing,
                quantities={
                    name: ControlQuantity(verdict, aa_result(verdict)) for name, verdict in own.items()
                },
                speed_up=_speed_up(times) if isinstance(times, Verdict) else None,
            )
        )
    return controls


def _in_plan_order(groups: list[Cell], reader: RunReader) -> list[Cell]:
    boards, tasks = reader.plan_view.boards, reader.plan_view.tasks

    def place(cell: Cell) -> int:
        task = tasks.get(cell.first.task)
        return _place(task.labels if task else (), cell.first.label)

    # Cells of equal conditions stand together, those of the plan's first label first.
    first_place: dict[tuple[object, ...], int] = {}
    for cell in groups:
        first_place[cell.conditions()] = min(place(cell), first_place.get(cell.conditions(), len(groups)))

    def key(cell: Cell) -> tuple[int, int, int, str, int]:
        first = cell.first
        return (
            _place(boards, first.board_id),
            _place(list(tasks), first.task),
            first_place[cell.conditions()],
            str(cell.conditions()),
            place(cell),
        )

    return sorted(groups, key=key)


def _place(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _baseline(reader: RunReader, task: str, groups: Sequence[Cell], chosen: str | None) -> str | None:
    labels = {cell.first.label for cell in groups if cell.first.task == task}
    planned = reader.plan_view.tasks.get(task)
    wanted = [
        chosen,
        reader.manifest.baselines.get(task) if reader.manifest else None,
        planned.baseline if planned else None,
        "ft-all",
    ]
    return next((name for name in wanted if name in labels), None)


def _delta(reader: RunReader, task: str | None = None) -> dict[str, float]:
    """Return the tolerance of each quantity: the task's own if it has one, else the suite's, else the default."""
    plan = reader.plan_view
    own = plan.tasks.get(task) if task is not None else None
    of_suite = reader.manifest.delta if reader.manifest else None
    chosen = {name: limit for name, limit in (of_suite or plan.suite.delta).items() if limit > 0}
    return {**DEFAULT_DELTA, **chosen, **(own.delta if own else {})}


def _run(reader: RunReader) -> RunFacts:
    manifest, plan = reader.manifest, reader.plan_view
    first = reader.repetitions[0] if reader.repetitions else None
    return RunFacts(
        run_id=plan.run_id or reader.path.name,
        lab=plan.lab or "",
        complete=reader.complete,
        suite=manifest.suite if manifest else plan.suite.name or "",
        level=manifest.level if manifest else plan.suite.level,
        blocks=manifest.blocks if manifest else plan.suite.blocks,
        command=list(manifest.command) if manifest else list(plan.command),
        tunebench=manifest.tunebench if manifest else first.prov.tunebench if first else None,
        started_utc=manifest.started_utc if manifest else first.t_start_utc if first else None,
        ended_utc=manifest.ended_utc if manifest else None,
        plan_sha256=manifest.plan_sha256 if manifest else plan.sha256,
        earlier_blocks=plan.earlier_blocks or None,
        until_decided=_until_decided(reader),
    )


def _until_decided(reader: RunReader) -> UntilDecided | None:
    planned = reader.plan_view.suite.looks
    if not planned:
        return None
    names = [item.name for item in fields(LookFacts)]
    taken = [LookFacts(**{name: getattr(look, name) for name in names}) for look in reader.looks]
    return UntilDecided(sum(alpha for _, alpha in planned), planned, taken)


def _counts(reader: RunReader) -> Counts:
    return Counts(
        planned=_planned(reader),
        recorded=len(reader.repetitions),
        by_class=count(reader.repetitions),
        timed=count(rep for rep in reader.repetitions if rep.role == "timed"),
    )


def _planned(reader: RunReader) -> int | None:
    """Return how many repetitions were planned, less those that a decision made needless; None where no plan says it."""
    plan, manifest = reader.plan_view, reader.manifest
    ends: dict[tuple[object, ...], int] = {
        (skip.board_id, skip.task, skip.label): skip.from_block
        for skip in (manifest.skipped if manifest else [])
        if skip.from_block is not None
    }
    if plan.planned is None or not ends:
        return plan.planned
    return sum(not _is_needless(planned, ends) for planned in plan.repetitions)


def _is_needless(planned: Mapping[str, object], ends: Mapping[tuple[object, ...], int]) -> bool:
    block = planned.get("block")
    end = ends.get((planned.get("board_id"), planned.get("task"), planned.get("label")))
    return isinstance(block, int) and end is not None and block >= end


def _checks(reader: RunReader) -> list[Check]:
    """Return the correctness checks: cached and recomputed training must agree before a speed is believed."""
    return [
        Check(
            board_id=rep.board_id,
            task=rep.task,
            label=rep.label,
            outcome=rep.outcome,
            passed=None if rep.check is None else rep.check.get("passed") is True,
            figures=rep.check or {},
            reason=rep.outcome_reason,
        )
        for rep in reader.repetitions
        if rep.role == "check"
    ]


def _skipped(reader: RunReader) -> list[Mapping[str, object]]:
    """Return what was left out; not what nobody misses, since blocks before it had decided the task."""
    if reader.manifest:
        missed = (skip for skip in reader.manifest.skipped if skip.from_block is None)
        return [skip.model_dump(exclude={"from_block"}) for skip in missed]
    return [*reader.plan_view.skipped, *(skip.model_dump(exclude={"from_block"}) for skip in reader.missing)]


def _environment(reader: RunReader) -> list[BoardProbe]:
    boards = list(dict.fromkeys([*reader.plan_view.boards, *(r.board_id for r in reader.repetitions)]))
    return [_board(reader, board_id) for board_id in boards]


def _board(reader: RunReader, board_id: str) -> BoardProbe:
    rep = next((rep for rep in reader.repetitions if rep.board_id == board_id), None)
    problem = None
    before: BoardEnv | None = None
    after: BoardEnv | None = None
    try:
        before, after = reader.env(board_id, "before"), reader.env(board_id, "after")
    except ResultsError as error:
        problem = str(error)
    return BoardProbe(
        board_id=board_id,
        kind=rep.board_kind if rep else None,
        model=rep.board_model if rep else None,
        emulated=rep.emulated if rep else None,
        power_mode=rep.power_mode if rep else None,
        fingerprint=before.fingerprint if before else {},
        channels=before.channels if before else [],
        missing=before.missing if before else {},
        changed=changes(before, after) if before and after else [],
        problem=problem or (None if before else "no probe of this board was stored"),
    )


def _repetitions(reader: RunReader) -> list[RepetitionFacts]:
    """Return the facts of each repetition, in the order stored."""
    return [
        RepetitionFacts(
            rep_id=rep.rep_id,
            board_id=rep.board_id,
            task=rep.task,
            label=rep.label,
            aa_control=rep.aa_control,
            role=rep.role,
            block=rep.block,
            slot=rep.slot,
            attempt=rep.attempt,
            t_start_utc=rep.t_start_utc,
            wall_s=rep.wall_s,
            rep_class=rep_class(rep),
            outcome=rep.outcome,
            reason=rep.outcome_reason or (rep.reasons[0].message if rep.reasons else None),
            host_s=rep.host_s,
            process_s=rep.process_s,
            ssh_channels=rep.ssh_channels,
        )
        for rep in reader.repetitions
    ]
