"""What a run says, as one plain dict: the source of the text table, of the HTML report and of ``--json``.

Aggregates are computed here from the records, never stored as truth. Boards are never pooled; methods are
compared only on one board with equal engine build, device, threads, dtype and power mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunebench.reports.analysis.cautions import cautions
from tunebench.reports.analysis.cells import Cell, cells, numbers, unequal_work
from tunebench.reports.analysis.energy import one_scope_a_column
from tunebench.reports.analysis.overall import across, quality_target, reach
from tunebench.reports.analysis.quantities import DEFAULT_DELTA
from tunebench.reports.analysis.verdicts import Told, Verdicts, aa_result, alone, twin, verdicts
from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import changes
from tunebench.reports.results.layout import ResultsError, count, rep_class
from tunebench.reports.results.reader import RunReader
from tunebench.reports.studies.lorae import lorae_block
from tunebench.reports.studies.skip2_lora import study_block

SUMMARY_SCHEMA = "tunebench.summary/1"


class UnknownBaseline(ResultsError):
    """The chosen baseline is no label of this run."""


def summarise(reader: RunReader, baseline: str | None = None) -> dict[str, Any]:
    """Everything the report shows, as JSON-ready values.

    Args:
        reader: an open run, complete or not.
        baseline: the label to compare with, in every task that has it; default: the plan's, else ``ft-all``.

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
    told = verdicts(reader, groups, names, lambda task: _delta(reader, task))
    delta = _delta(reader)
    rows = [
        _row(cell, groups, names[cell.first.task], told, _delta(reader, cell.first.task)) for cell in groups
    ]
    _reach(rows, groups, reader)
    summary: dict[str, Any] = {
        "schema": SUMMARY_SCHEMA,
        "run": _run(reader),
        "delta": delta,
        "counts": _counts(reader),
        "baselines": dict(sorted(names.items())),
        "aa": _aa(groups, told),
        "rows": rows,
        "across": across(rows),
        "checks": _checks(reader),
        "environment": _environment(reader),
        "skipped": _skipped(reader),
        "warnings": list(reader.warnings),
        "repetitions": _repetitions(reader),
    }
    one_scope_a_column(summary["rows"])
    summary["study"] = study_block(reader, groups, delta["time"])
    summary["lorae"] = lorae_block(reader, groups, rows)
    summary["cautions"] = cautions(summary)
    return summary


def _row(
    cell: Cell, groups: Sequence[Cell], name: str | None, told: Verdicts, delta: Mapping[str, float]
) -> dict[str, Any]:
    row = numbers(cell)
    row["baseline"] = name
    row["is_baseline"] = cell.first.label == name
    row["verdicts"] = told.get(id(cell), {})
    row["speed_up"], row["speed_up_missing"] = None, None
    row["energy_ratio"] = _energy_ratio(row["verdicts"].get("energy"))
    base = _find(groups, cell, name) if name is not None else None
    if row["is_baseline"]:
        row["speed_up_missing"] = "this is the baseline"
    elif name is None:
        row["speed_up_missing"] = "the task has no baseline"
    elif base is None:
        row["speed_up_missing"] = (
            f"{name} was not measured on this board with the same engine build, device, threads and dtype"
        )
    else:
        against = row["verdicts"].get("time")
        if cell.first.aa_control and twin(groups, cell) is not base:
            # The control was judged against its twin; here stands how it compares with the baseline chosen.
            against = alone("time", base, cell, delta["time"])
        row["speed_up"] = _speed_up(against) if against and against["verdict"] else None
        row["speed_up_missing"] = against["missing"] if against else None
        row["unequal_params"] = unequal_work(base, cell)
    return row


def _speed_up(told: Told) -> dict[str, Any]:
    """The comparison of times told as a speed-up: baseline / candidate, > 1 is faster."""
    return {
        "factor": 1 / told["value"],
        "low": 1 / told["high"],
        "high": 1 / told["low"],
        "ratio": told["value"],
        "interval": told["interval"],
        "confidence": told["confidence"],
        "verdict": told["verdict"],
        "verdict_alone": told["verdict_alone"],
        "reason": told["reason"],
        "withheld": told["withheld"],
        "n": told["n"],
        "blocks_needed": told["blocks_needed"],
        "delta": told["delta"],
    }


def _energy_ratio(told: Told | None) -> dict[str, Any] | None:
    """Joules of a fine-tuning against the baseline's, where energy repetitions measured both."""
    if told is None or not told["verdict"] or not told["repeated"]:
        return None
    kept = (
        "scope",
        "source",
        "low",
        "high",
        "interval",
        "confidence",
        "verdict",
        "n",
        "blocks_needed",
        "delta",
    )
    return {"ratio": told["value"], **{name: told[name] for name in kept}}


def _reach(rows: Sequence[dict[str, Any]], groups: Sequence[Cell], reader: RunReader) -> None:
    """Add to each row what it took to reach the baseline's quality."""
    suite = reader.plan.get("suite")
    wanted = suite.get("quality_target") if isinstance(suite, dict) else None
    given = float(wanted) if isinstance(wanted, int | float) else None
    for row, cell in zip(rows, groups, strict=True):
        base = _find(groups, cell, row["baseline"]) if row["baseline"] else None
        delta = _delta(reader, cell.first.task)
        row["to_quality"] = reach(cell, base, quality_target(base, given, delta["accuracy"]), delta["time"])


def _find(groups: Sequence[Cell], cell: Cell, label: str) -> Cell | None:
    same = (one for one in groups if one.conditions() == cell.conditions())
    return next((one for one in same if one.first.label == label), None)


def _aa(groups: Sequence[Cell], told: Verdicts) -> list[dict[str, Any]]:
    """The A/A control of each board and task: one method twice under two names must not differ in anything."""
    results = []
    for cell in groups:
        if not cell.first.aa_control:
            continue
        repeated, judged = twin(groups, cell), told[id(cell)]
        time = judged["time"]
        results.append(
            {
                "board_id": cell.first.board_id,
                "task": cell.first.task,
                "label": cell.first.label,
                "twin": repeated.first.label if repeated else None,
                "result": aa_result(time),
                "missing": time["missing"],
                "quantities": {name: {**one, "result": aa_result(one)} for name, one in judged.items()},
                **(_speed_up(time) if time["verdict"] else {}),
            }
        )
    return results


def _in_plan_order(groups: list[Cell], reader: RunReader) -> list[Cell]:
    boards = _names(reader.plan.get("boards"))
    tasks = reader.plan.get("tasks")
    tasks = tasks if isinstance(tasks, dict) else {}

    def place(cell: Cell) -> int:
        task = tasks.get(cell.first.task)
        labels = task.get("labels") if isinstance(task, dict) else None
        return _place(labels if isinstance(labels, list) else [], cell.first.label)

    # Cells of equal conditions stand together, those of the plan's first label first.
    first_place: dict[tuple[Any, ...], int] = {}
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


def _place(names: list[Any], name: str) -> int:
    return names.index(name) if name in names else len(names)


def _names(boards: object) -> list[str]:
    """Board ids of a plan, which lists ids or objects with one."""
    if not isinstance(boards, list):
        return []
    return [
        str(one.get("board_id") or one.get("id")) if isinstance(one, dict) else str(one) for one in boards
    ]


def _baseline(reader: RunReader, task: str, groups: Sequence[Cell], chosen: str | None) -> str | None:
    labels = {cell.first.label for cell in groups if cell.first.task == task}
    tasks = reader.plan.get("tasks")
    planned = tasks.get(task) if isinstance(tasks, dict) else None
    wanted = [
        chosen,
        reader.manifest.baselines.get(task) if reader.manifest else None,
        planned.get("baseline") if isinstance(planned, dict) else None,
        "ft-all",
    ]
    return next((name for name in wanted if name in labels), None)


def _delta(reader: RunReader, task: str | None = None) -> dict[str, float]:
    """What does not matter, by quantity: the suite's, and where a task has its own, that one."""
    suite, tasks = reader.plan.get("suite"), reader.plan.get("tasks")
    planned = suite.get("delta") if isinstance(suite, dict) else None
    own = tasks.get(task) if isinstance(tasks, dict) and task is not None else None
    chosen = reader.manifest.delta if reader.manifest and reader.manifest.delta else planned
    found: dict[str, float] = {**DEFAULT_DELTA}
    for one in (chosen, own.get("delta") if isinstance(own, dict) else None):
        known = one if isinstance(one, dict) else {}
        found |= {n: float(v) for n, v in known.items() if isinstance(v, int | float) and v > 0}
    return found


def _run(reader: RunReader) -> dict[str, Any]:
    manifest, suite = reader.manifest, reader.plan.get("suite")
    suite = suite if isinstance(suite, dict) else {}
    first = reader.repetitions[0] if reader.repetitions else None
    return {
        "run_id": str(reader.plan.get("run_id", reader.path.name)),
        "lab": str(reader.plan.get("lab", "")),
        "complete": reader.complete,
        "suite": manifest.suite if manifest else str(suite.get("name", "")),
        "level": manifest.level if manifest else suite.get("level"),
        "blocks": manifest.blocks if manifest else suite.get("blocks"),
        "command": list(manifest.command)
        if manifest
        else [str(arg) for arg in reader.plan.get("command") or []],
        "tunebench": manifest.tunebench if manifest else first.prov.tunebench if first else None,
        "started_utc": manifest.started_utc if manifest else first.t_start_utc if first else None,
        "ended_utc": manifest.ended_utc if manifest else None,
        "plan_sha256": manifest.plan_sha256 if manifest else reader.plan.get("sha256"),
    }


def _counts(reader: RunReader) -> dict[str, Any]:
    planned = reader.plan.get("repetitions")
    return {
        "planned": len(planned) if isinstance(planned, list) else None,
        "recorded": len(reader.repetitions),
        **count(reader.repetitions),
        "timed": count(rep for rep in reader.repetitions if rep.role == "timed"),
    }


def _checks(reader: RunReader) -> list[dict[str, Any]]:
    """The correctness checks: cached and recomputed training must agree before a speed is believed."""
    return [
        {
            "board_id": rep.board_id,
            "task": rep.task,
            "label": rep.label,
            "outcome": rep.outcome,
            "passed": None if rep.check is None else rep.check.get("passed") is True,
            "figures": rep.check or {},
            "reason": rep.outcome_reason,
        }
        for rep in reader.repetitions
        if rep.role == "check"
    ]


def _skipped(reader: RunReader) -> list[dict[str, Any]]:
    if reader.manifest:
        return [skip.model_dump() for skip in reader.manifest.skipped]
    planned = reader.plan.get("skipped")
    return [dict(skip) for skip in planned if isinstance(skip, dict)] if isinstance(planned, list) else []


def _environment(reader: RunReader) -> list[dict[str, Any]]:
    boards = list(
        dict.fromkeys([*_names(reader.plan.get("boards")), *(r.board_id for r in reader.repetitions)])
    )
    return [_board(reader, board_id) for board_id in boards]


def _board(reader: RunReader, board_id: str) -> dict[str, Any]:
    rep = next((one for one in reader.repetitions if one.board_id == board_id), None)
    problem = None
    before: BoardEnv | None = None
    after: BoardEnv | None = None
    try:
        before, after = reader.env(board_id, "before"), reader.env(board_id, "after")
    except ResultsError as error:
        problem = str(error)
    return {
        "board_id": board_id,
        "kind": rep.board_kind if rep else None,
        "model": rep.board_model if rep else None,
        "emulated": rep.emulated if rep else None,
        "power_mode": rep.power_mode if rep else None,
        "fingerprint": before.fingerprint if before else {},
        "channels": before.channels if before else [],
        "missing": before.missing if before else {},
        "changed": changes(before, after) if before and after else [],
        "problem": problem or (None if before else "no probe of this board was stored"),
    }


def _repetitions(reader: RunReader) -> list[dict[str, Any]]:
    """One short line a repetition, in the order stored."""
    return [
        {
            "rep_id": rep.rep_id,
            "board_id": rep.board_id,
            "task": rep.task,
            "label": rep.label,
            "aa_control": rep.aa_control,
            "role": rep.role,
            "block": rep.block,
            "slot": rep.slot,
            "attempt": rep.attempt,
            "t_start_utc": rep.t_start_utc,
            "wall_s": rep.wall_s,
            "class": rep_class(rep),
            "outcome": rep.outcome,
            "reason": rep.outcome_reason or (rep.reasons[0].message if rep.reasons else None),
            "host_s": rep.host_s,
            "process_s": rep.process_s,
            "ssh_channels": rep.ssh_channels,
        }
        for rep in reader.repetitions
    ]
