"""Whether it was measured as the protocol wants it: interleaved blocks, one seed a block, a control."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tunebench.harness.verify.discrepancy import Discrepancy, Lined
from tunebench.reports.results.layout import REPS

#: The same order in every block is believed to be chance above this.
_MIN_CHANCE = 0.001


def protocol(lines: Sequence[Lined]) -> Iterator[Discrepancy]:
    """Board by board: order of blocks and slots, seeds, orders, A/A control."""
    boards: dict[str, list[Lined]] = defaultdict(list)
    for one in lines:
        if one.rep.role == "timed":
            boards[one.rep.board_id].append(one)
    for board_id, timed in boards.items():
        yield from _in_order(timed)
        yield from _one_seed(timed)
        yield from _same_order(board_id, timed)
        yield from _control(board_id, timed)


def _in_order(timed: Sequence[Lined]) -> Iterator[Discrepancy]:
    for before, one in pairwise(timed):
        if (one.rep.block, one.rep.slot) < (before.rep.block, before.rep.slot):
            place = f"block {one.rep.block}, slot {one.rep.slot}"
            yield one.finding(
                "order", f"{place} was measured after block {before.rep.block}, slot {before.rep.slot}"
            )


def _one_seed(timed: Sequence[Lined]) -> Iterator[Discrepancy]:
    seeds: dict[int, int] = {}
    for one in timed:
        first = seeds.setdefault(one.rep.block, one.rep.seed)
        if one.rep.seed != first:
            yield one.finding(
                "seed", f"seed {one.rep.seed} in a block of seed {first}: a block is paired by its seed"
            )


def _same_order(board_id: str, timed: Sequence[Lined]) -> Iterator[Discrepancy]:
    orders: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for one in timed:
        if one.rep.attempt == 1:
            orders[one.rep.block].append((one.rep.task, one.rep.label))
    first = next(iter(orders.values()))
    chance = math.factorial(len(first)) ** -(len(orders) - 1)
    if len(orders) > 1 and chance < _MIN_CHANCE and all(order == first for order in orders.values()):
        yield Discrepancy(
            "not-random", REPS, timed[0].line,
            f"{board_id}: all {len(orders)} blocks ran in one order; by chance once in {1 / chance:.0f}",
        )  # fmt: skip


def _control(board_id: str, timed: Sequence[Lined]) -> Iterator[Discrepancy]:
    tasks: dict[str, list[Lined]] = defaultdict(list)
    for one in timed:
        tasks[one.rep.task].append(one)
    for task, some in tasks.items():
        compared = len({one.rep.label for one in some}) > 1 and len({one.rep.block for one in some}) > 1
        if compared and not any(one.rep.aa_control for one in some):
            yield Discrepancy(
                "no-control", REPS, some[0].line,
                f"{board_id}, {task}: methods are compared without an A/A control",
            )  # fmt: skip
