"""Check that a run was measured in interleaved blocks, with one seed a block and an A/A control."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tunebench.harness.verify.discrepancy import Discrepancy, RecordLine
from tunebench.reports.results.layout import REPS

#: The same order in every block is believed to be chance above this.
_MIN_CHANCE = 0.001


def block_order(lines: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    """Check, board by board, the order of blocks and slots, the seeds, the random orders, the A/A control."""
    boards: dict[str, list[RecordLine]] = defaultdict(list)
    for line in lines:
        if line.record.role == "timed":
            boards[line.record.board_id].append(line)
    for board_id, timed in boards.items():
        yield from _in_order(timed)
        yield from _block_seeds(timed)
        yield from _same_order(board_id, timed)
        yield from _control(board_id, timed)


def _in_order(timed: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    for before, line in pairwise(timed):
        if (line.record.block, line.record.slot) < (before.record.block, before.record.slot):
            place = f"block {line.record.block}, slot {line.record.slot}"
            yield line.discrepancy(
                "order", f"{place} was measured after block {before.record.block}, slot {before.record.slot}"
            )


def _block_seeds(timed: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    seeds: dict[int, int] = {}
    for line in timed:
        first = seeds.setdefault(line.record.block, line.record.seed)
        if line.record.seed != first:
            yield line.discrepancy(
                "seed", f"seed {line.record.seed} in a block of seed {first}: a block is paired by its seed"
            )


def _same_order(board_id: str, timed: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    orders: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for line in timed:
        if line.record.attempt == 1:
            orders[line.record.block].append((line.record.task, line.record.label))
    first = next(iter(orders.values()))
    chance = math.factorial(len(first)) ** -(len(orders) - 1)
    if len(orders) > 1 and chance < _MIN_CHANCE and all(order == first for order in orders.values()):
        yield Discrepancy(
            "not-random", REPS, timed[0].number,
            f"{board_id}: all {len(orders)} blocks ran in one order; by chance once in {1 / chance:.0f}",
        )  # fmt: skip


def _control(board_id: str, timed: Sequence[RecordLine]) -> Iterator[Discrepancy]:
    tasks: dict[str, list[RecordLine]] = defaultdict(list)
    for line in timed:
        tasks[line.record.task].append(line)
    for task, of_task in tasks.items():
        compared = (
            len({line.record.label for line in of_task}) > 1
            and len({line.record.block for line in of_task}) > 1
        )
        if compared and not any(line.record.aa_control for line in of_task):
            yield Discrepancy(
                "no-control", REPS, of_task[0].number,
                f"{board_id}, {task}: methods are compared without an A/A control",
            )  # fmt: skip
