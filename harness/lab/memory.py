"""Whether a training step fits on the boards that are known, by prediction: nothing is measured here.

A step's memory is predicted as a lower bound (:mod:`tunebench.workloads.methods.memory`). What a process
takes is more: the C library's heap has holes, convolutions have workspaces. In ``python -m
benchmarks.network_memory`` and in campaigns it was up to 2.2 times as much and 40 MB that every process pays. So
there are three answers: it fits even then (``yes``), it does not even by the bound (``no``), or nobody knows before
it is tried (``perhaps``; suite ``lorae-fit``). The native engine takes all of its memory before the first step, and
what it predicts is what it takes (``python -m benchmarks.network_steps``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tunebench.harness.errors import UsageError
from tunebench.targets.boards import BOARDS, BoardModel
from tunebench.workloads.engines.native import memory as native_memory
from tunebench.workloads.engines.onnxruntime_head import NAME as HEAD
from tunebench.workloads.engines.onnxruntime_head import memory as head_memory
from tunebench.workloads.methods import memory as step_memory
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.models import UnsupportedModel

Fits = Literal["yes", "perhaps", "no"]
#: See above: of a step, and once a process.
STEP_FACTOR, PROCESS_MORE_B = 2.2, 40_000_000
#: What is not ours, 10^6 bytes: firmware, kernel and a system without desktop (assumed), interpreter with torch for
#: CPUs (229 measured on x86-64, torch 2.13). CUDA's context comes on top.
TAKEN_MB = 430.0
#: The same with an interpreter that has loaded the native engine (22 measured).
NATIVE_TAKEN_MB = 223.0
#: The same with torch and transformers loaded (250 measured).
TRANSFORMERS_TAKEN_MB = 451.0
#: The same with onnxruntime and numpy loaded (55 measured).
HEAD_TAKEN_MB = 256.0
#: Of the native engine: allocator and start of the process, beside what is predicted.
NATIVE_MORE_B = 4_000_000
#: Of ONNX Runtime, beside what is predicted: its session, kernels, weights in another order, its allocator's slack.
HEAD_MORE_B = 32_000_000
ALL = "all"
_GIB = 1 << 30


@dataclass(frozen=True)
class Room:
    """What of a method on a network fits into a number of bytes.

    Attributes:
        fits: the batch that was asked for.
        batch_safe: the largest batch that fits even if a process takes the most that was measured.
        batch_at_most: the largest that the bound allows.
        side_safe_px: at the batch that was asked for, the largest square input, a multiple of 32 px.
        side_at_most_px: likewise.
    """

    free_b: int
    fits: Fits
    batch_safe: int
    batch_at_most: int
    side_safe_px: int
    side_at_most_px: int


@dataclass(frozen=True)
class Taking:
    """What a process of an engine takes.

    Attributes:
        predict: a step's memory: (plan, batch, optimizer's values for each trained parameter).
        step_factor: the most that a step was seen to take of what is predicted.
        more_b: the most that was seen beside it, once a process.
        taken_mb: of a board's memory, what is not ours (10^6 bytes): system and interpreter, with the engine loaded.
        besides: what a prediction has not in it, besides the interpreter.
    """

    predict: Callable[[Plan, int, int], step_memory.Memory]
    step_factor: float
    more_b: int
    taken_mb: float
    besides: str = "torch"

    def safe_b(self, memory: step_memory.Memory) -> int:
        """Return the bytes that a process takes at most beyond the interpreter, by all measurements so far."""
        rest_b = memory.weights_b + memory.optimiser_b + memory.cache_b
        return rest_b + int(self.step_factor * memory.step_b) + self.more_b


def _torch(plan: Plan, batch: int, state_floats: int) -> step_memory.Memory:
    return step_memory.predict(plan, batch, state_floats=state_floats)


def _native(plan: Plan, batch: int, state_floats: int) -> step_memory.Memory:
    return native_memory.predict(plan, batch, state_floats=state_floats)


def _head(plan: Plan, batch: int, state_floats: int) -> step_memory.Memory:
    return head_memory.predict(plan, batch, state_floats=state_floats)


#: engine -> what it takes
TAKINGS: Mapping[str, Taking] = {
    "torch": Taking(_torch, STEP_FACTOR, PROCESS_MORE_B, TAKEN_MB),
    "native": Taking(_native, 1.0, NATIVE_MORE_B, NATIVE_TAKEN_MB, "data"),
    HEAD: Taking(_head, 1.0, HEAD_MORE_B, HEAD_TAKEN_MB, "data"),
    "transformers": Taking(_torch, STEP_FACTOR, PROCESS_MORE_B, TRANSFORMERS_TAKEN_MB),
}


def safe_b(memory: step_memory.Memory) -> int:
    """Return the bytes that a process takes at most beyond interpreter and torch, by all measurements so far."""
    return TAKINGS["torch"].safe_b(memory)


def room(
    plan_at: Callable[[int | None], Plan],
    batch: int,
    free_b: int,
    state_floats: int = 0,
    taking: Taking = TAKINGS["torch"],
) -> Room:
    """Return what of a method on a network fits into ``free_b`` bytes.

    Args:
        plan_at: the method at a side of the input; ``None``: the network's own.
        free_b: beyond interpreter and torch.
        state_floats: values that the optimizer keeps for each trained parameter: 0 plain SGD, 1 momentum, 2 AdamW.
        taking: of the engine.
    """

    def at_most(plan: Plan, number: int) -> bool:
        return taking.predict(plan, number, state_floats).total_b <= free_b

    def safe(plan: Plan, number: int) -> bool:
        return taking.safe_b(taking.predict(plan, number, state_floats)) <= free_b

    plan = plan_at(None)
    fits: Fits = "yes" if safe(plan, batch) else "perhaps" if at_most(plan, batch) else "no"
    least, most = (_largest(plan_at, batch, test) for test in (safe, at_most))
    return Room(free_b, fits, least[0], most[0], least[1], most[1])


def _largest(
    plan_at: Callable[[int | None], Plan], batch: int, test: Callable[[Plan, int], bool]
) -> tuple[int, int]:
    """Return the largest batch that passes the test, and the largest side that passes it with ``batch``."""
    plan, step = plan_at(None), step_memory.SIDE_STEP

    def fits(number: int) -> bool:
        try:
            return test(plan_at(step * number), batch)
        except UnsupportedModel:  # a transformer has so many places and no more
            return False

    count = step_memory.largest(fits, step_memory.MOST_SIDE // step)
    return step_memory.largest(lambda number: test(plan, number), step_memory.MOST_BATCH), step * count


def boards_of(name: str) -> Sequence[BoardModel]:
    """Return the known boards of a name, as their page is called; all of them for ``all``.

    Raises:
        UsageError: names those that there are.
    """
    known = [board for board in BOARDS if board.ram_gb]
    chosen = [board for board in known if name in (ALL, board.page)]
    if not chosen:
        names = ", ".join(board.page for board in known)
        raise UsageError(f"unknown board {name!r}, use one of: {ALL}, {names}")
    return chosen


def rows(
    plan_at: Callable[[int | None], Plan],
    batch: int,
    name: str,
    taken_mb: float,
    state_floats: int = 0,
    *,
    taking: Taking = TAKINGS["torch"],
) -> list[dict[str, Any]]:
    """Return one row for each board and memory size, as JSON has them; ``basis`` says that they are predicted."""
    predictions = []
    for board in boards_of(name):
        for ram_gb in board.ram_gb:
            free_b = max(0, int(ram_gb * _GIB - taken_mb * 1e6))
            fit = room(plan_at, batch, free_b, state_floats, taking)
            predictions.append(
                {"board": board.page, "name": board.name, "ram_gb": ram_gb, "basis": "predicted", **vars(fit)}
            )
    return predictions


def lines(predictions: Sequence[dict[str, Any]], batch: int, taken_mb: float, unit: str = "px") -> list[str]:
    """Return the rows as a table; ``unit``: of an input's side, or of a text."""
    table = [
        f"  boards        predicted: {taken_mb:g} MB are not ours (--taken-mb); safe .. at most",
        f"    {'board':<24} {'RAM GB':>6} {'free MB':>9}  batch {batch:<4} {'largest batch':>14}  "
        f"{'largest ' + unit + ' at batch ' + str(batch):>22}",
    ]
    for row in predictions:
        batches = f"{row['batch_safe']} .. {row['batch_at_most']}"
        sides = f"{row['side_safe_px']} .. {row['side_at_most_px']}"
        table.append(
            f"    {row['name']:<24} {row['ram_gb']:>6g} {row['free_b'] / 1e6:>9.0f}  {row['fits']:<10} {batches:>14}  "
            f"{sides:>22}"
        )
    return table
