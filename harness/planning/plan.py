"""Plan a suite on boards: repetitions in order, and skips with their reasons. Pure: no input, no output.

A block holds every workload once on one board, in random order, all with the same seed and from the same start weights:
it is the unit of pairing.
Correctness checks come first, timed blocks next, then energy repetitions, instrumented ones last, so that an
interrupted campaign has spent its time on what counts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tunebench.harness.canonical import canonical_json
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.planning import energy_windows
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import PLAN_SCHEMA, Skip
from tunebench.targets.boards.runtime_wheels import why_unfit
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.methods import table

#: How a turn at a board is had says nothing of what is measured.
_OF_THE_FARM = ("farm", "place", "power")


@dataclass(frozen=True)
class Plan:
    """What will run, in order, and what will not, with the reason."""

    run_id: str
    lab: str
    suite: Suite
    boards: tuple[BoardEntry, ...]
    repetitions: tuple[Planned, ...]
    skipped: tuple[Skip, ...] = ()
    command: tuple[str, ...] = field(default=(), compare=False)
    #: How many blocks the run had before each time that some were added to it.
    earlier_blocks: tuple[int, ...] = ()

    def of_board(self, board_id: str) -> list[Planned]:
        """Return a board's queue, in order."""
        return [planned for planned in self.repetitions if planned.board_id == board_id]

    @property
    def substance(self) -> dict[str, Any]:
        """Return what must be equal for a run to be continued: suite and boards, not the run's name."""
        return {
            "lab": self.lab,
            "suite": self.suite.as_dict(),
            "boards": [
                board.model_dump(exclude={"timeouts", "patience_s", *_OF_THE_FARM}) for board in self.boards
            ],
        }

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the substance."""
        return hashlib.sha256(canonical_json(self.substance).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Return ``plan.json``. Connection details stay out: results are shared, inventories are not."""
        tasks: dict[str, dict[str, Any]] = {}
        for workload in self.suite.workloads:
            task = tasks.setdefault(
                workload.task, {"baseline": self.suite.baselines.get(workload.task), "labels": []}
            )
            task["labels"].append(workload.label)
        for name, delta in self.suite.task_deltas.items():
            if name in tasks:
                tasks[name]["delta"] = dict(delta)
        return {
            "schema": PLAN_SCHEMA,
            "run_id": self.run_id,
            "lab": self.lab,
            "suite": self.suite.as_dict(),
            "boards": [{"id": board.id, "kind": board.kind, "tags": board.tags} for board in self.boards],
            "boards_sha256": _sha256([_identity(board) for board in self.boards]),
            "tasks": tasks,
            "repetitions": [planned.as_dict() for planned in self.repetitions],
            "skipped": [skip.model_dump() for skip in self.skipped],
            "command": list(self.command),
            "sha256": self.sha256,
        }


def _identity(board: BoardEntry) -> dict[str, Any]:
    return board.model_dump(exclude={"timeouts", "patience_s", "tags", *_OF_THE_FARM})


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def make_plan(
    suite: Suite,
    boards: Sequence[BoardEntry],
    *,
    run_id: str,
    lab: str,
    command: Iterable[str] = (),
    unavailable: Mapping[str, str] | None = None,
    impossible: Mapping[tuple[str, str], str] | None = None,
    earlier_blocks: Sequence[int] = (),
    left_out: Iterable[Skip] = (),
) -> Plan:
    """Expand a suite over boards.

    Args:
        suite: what to measure.
        boards: where to measure it.
        run_id: the run's name; the ids of its repetitions begin with it.
        lab: name of the lab.
        command: the command line, as it is stored with the plan.
        unavailable: task -> why its data or weights cannot be had; its workloads are skipped with that reason.
        impossible: task and label -> why its network cannot be compressed as asked.
        earlier_blocks: how many blocks the run had before each time that some were added to it. What was added stands
            behind all that was there: blocks, seeds and ids go on where they ended.
        left_out: boards that were to be had but for a reason.
    """
    repetitions: list[Planned] = []
    skipped: list[Skip] = list(left_out)
    for board in boards:
        workloads = []
        for workload in suite.workloads:
            reason = (
                (unavailable or {}).get(workload.task)
                or (impossible or {}).get(workload.key)
                or runs_nowhere(workload)
                or unmet_need(workload, board)
                or unrepeatable(workload)
            )
            if reason:
                skipped.append(
                    Skip(board_id=board.id, label=workload.label, task=workload.task, reason=reason)
                )
            else:
                workloads.append(workload)
        if suite.header.energy:
            skipped.extend(_not_repeated(workloads, board))
        repetitions.extend(_of_board(suite, board, workloads, run_id, earlier_blocks))
    return Plan(
        run_id,
        lab,
        suite,
        tuple(boards),
        tuple(repetitions),
        tuple(skipped),
        tuple(command),
        tuple(earlier_blocks),
    )


def _not_repeated(workloads: Iterable[Workload], board: BoardEntry) -> list[Skip]:
    checked = [(workload, energy_windows.not_repeated(workload)) for workload in workloads]
    return [
        Skip(board_id=board.id, label=workload.label, task=workload.task, role="energy", reason=reason)
        for workload, reason in checked
        if reason
    ]


def runs_nowhere(workload: Workload) -> str | None:
    """Return why no board runs a workload's runtime; ``None`` if one may."""
    return (RUNTIMES[workload.runtime].nowhere or None) if workload.runtime is not None else None


def unmet_need(workload: Workload, board: BoardEntry) -> str | None:
    """Return why, by the inventory, this workload cannot run on this board; ``None`` if it can."""
    has = board.capabilities
    if workload.needs_gpu and not has.gpu:
        return "needs a GPU; the inventory gives this board none (capabilities = { gpu = true })"
    if workload.needs_ram_gb is not None:
        if has.ram_gb is None:
            return (
                f"needs {workload.needs_ram_gb:g} GiB of memory; the inventory does not say how much it has"
            )
        if has.ram_gb < workload.needs_ram_gb:
            return f"needs {workload.needs_ram_gb:g} GiB of memory; it has {has.ram_gb:g}"
    if workload.runtime is not None:
        reason = why_unfit(workload.runtime, has.machine, has.python, has.glibc)
        return f"runtime {workload.runtime!r}: {reason}, by the inventory's capabilities" if reason else None
    return None


def unrepeatable(workload: Workload) -> str | None:
    """Return why a workload cannot run under the suite's policy; ``None`` if it can."""
    if workload.sustained_s is not None and workload.command is not None:
        return "policy 'sustained' repeats the fine-tuning; a command of your own runs once (a 'module' is repeated)"
    if workload.sustained_s is not None and workload.runtime is not None:
        return "policy 'sustained' repeats a fine-tuning; a runtime's row has none: use policy 'cold'"
    return None


def _of_board(
    suite: Suite, board: BoardEntry, workloads: Sequence[Workload], run_id: str, earlier_blocks: Sequence[int]
) -> list[Planned]:
    planned: list[Planned] = []

    def add(workload: Workload, block: int, slot: int, role: str, window_s: float = 0.0) -> None:
        rep_id = f"{run_id}.{board.id}.{len(planned):04d}"
        several = suite.header.bases > 1 and workload.dataset is not None
        base = block % suite.header.bases if several else None
        planned.append(
            Planned(
                rep_id,
                board.id,
                block,
                slot,
                role,
                seed=suite.first_seed + block,
                workload=workload,
                window_s=window_s,
                base=base,
            )
        )

    checked = [workload for workload in workloads if _is_checked(workload)]
    for slot, workload in enumerate(checked):
        add(workload, 0, slot, "check")

    def in_block(of: Sequence[Workload], block: int, kind: str | None = None) -> list[Workload]:
        there = [workload for workload in of if workload.blocks is None or block < workload.blocks]
        return _shuffled(there, suite, board.id, block, kind)

    for first, end in pairwise((0, *earlier_blocks, suite.header.blocks)):
        for block in range(first, end):
            for slot, workload in enumerate(in_block(workloads, block)):
                add(workload, block, slot, "timed")
        for row in energy_windows.rows(
            suite,
            board,
            workloads,
            lambda repeated, block: in_block(repeated, block, energy_windows.ENERGY),
            range(first, end),
        ):
            add(*row)
        if suite.header.instrumented and first == 0:
            for slot, workload in enumerate(
                workload
                for workload in workloads
                # A runtime's calls have no phases inside; its profile is taken in every repetition.
                if not workload.aa_control and workload.command is None and workload.runtime is None
            ):
                add(workload, 0, slot, "instrumented")
    return planned


def _is_checked(workload: Workload) -> bool:
    """Tell whether a workload has a correctness check: its method has a cache, which must be exact to be believed.

    A cache in float16 gives exactness up by choice.
    """
    if workload.own or workload.runtime or workload.aa_control or not table.method(workload.method).cache:
        return False
    return workload.own_params.get("cache_dtype") != "float16"


def _shuffled(
    workloads: Sequence[Workload], suite: Suite, board_id: str, block: int, kind: str | None = None
) -> list[Workload]:
    """Return workloads in random order, the same for the same suite, board and block: a resumed run keeps its order."""
    order = list(workloads)
    seed = f"{suite.name}/{board_id}/{block}" + (f"/{kind}" if kind else "")
    random.Random(seed).shuffle(order)  # noqa: S311 - order, not a secret
    return order


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """Return where two plans differ, as ``suite.blocks: 3 -> 5``; at most ten lines."""
    lines: list[str] = []
    for key in sorted(set(old) | set(new)):
        before, after = old.get(key), new.get(key)
        name = f"{path}.{key}" if path else key
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines.extend(differences(before, after, name))
        elif key.endswith("_sha256"):
            lines.append(f"{name.removesuffix('_sha256')}: changed in the inventory")
        else:
            lines.append(f"{name}: {_short(before)} -> {_short(after)}")
    return lines[:10]


def _short(value: Any) -> str:
    text = canonical_json(value)
    return text if len(text) <= 80 else text[:77] + "..."
