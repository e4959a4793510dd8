"""Memory of a training step on the small networks: measured beside its prediction, and what fits under a limit.

``python -m benchmarks.network_memory [--batch 10] [--rank 4] [--models ...] [--methods ...] [--side 64]
[--limit-mb 300]``; one thread, CPU. A method with ``+checkpoint`` runs the blocks again in the backward pass.
Every case runs in a process of its own. Measured: resident memory at the peak of two steps less what was resident
before the first (weights, torch and its code are in both), with the C library's allocator as it is (``default``) and
with every larger tensor mapped by itself (``mmap``). With ``--limit-mb`` a second table: the largest batch, and the
largest square input at batch 10, that train when a process may take so much more, found by bisection
(:mod:`tunebench.workloads.run.max_batch`), beside those that the prediction allows. Inputs and labels are noise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from tunebench.workloads.marks.peak_memory import Watch, map_large_blocks
from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.methods.plan import plan as make_plan
from tunebench.workloads.models import NETWORKS, counted
from tunebench.workloads.run import max_batch

METHODS = (
    "ft-all", "ft-last", "ft-bias", "lora-last", "lorae", "lora-fa", "mezo", "ft-all+checkpoint", "lora-fa+checkpoint"
)  # fmt: skip
CHECKPOINT = "+checkpoint"
FEW_METHODS = ("ft-all", "ft-last", "lorae")
BATCH = 10


def plan_of(model: str, method: str, rank: int, side: int | None = None) -> Plan:
    """A method on a network, at its usual size or another."""
    name, again = method.replace(CHECKPOINT, ""), method.endswith(CHECKPOINT)
    return make_plan(table.method(name), counted(model, side=side), rank, checkpoint=again)


# -- in the child -------------------------------------------------------------------------------------


def measure(plan: Plan, batch: int) -> int | None:
    """Bytes that two steps take beyond what is resident; None where the kernel does not say."""
    from tunebench.workloads.engines.pytorch.networks.probe_step import stepper

    step = stepper(plan)
    step(1)  # code and thread pools are loaded once
    watch = Watch()
    watch.begin()
    step(batch)
    step(batch)
    watch.end()
    metrics = watch.metrics()
    return int(metrics["train_rss_peak_b"] - metrics["train_rss_before_b"]) if metrics else None


def answer(case: list[str]) -> None:
    """The child's part: one measurement, printed as JSON."""
    model, method, rank, what, allocator, number, side = case
    if allocator == max_batch.MMAP:
        map_large_blocks()
    plan = plan_of(model, method, int(rank), int(side) or None)
    if what == "step":
        print(json.dumps(measure(plan, int(number))))
    elif what == "batch":
        print(json.dumps(max_batch.largest_batch(plan, int(number))))
    else:
        largest = max_batch.largest_side(
            lambda side: plan_of(model, method, int(rank), side), BATCH, int(number)
        )
        print(json.dumps(largest))


# -- in the parent ------------------------------------------------------------------------------------


def ask(model: str, method: str, rank: int, what: str, allocator: str, number: int, side: int = 0) -> Any:
    """Run one case in a process of its own; side 0 is the network's usual one."""
    case = [model, method, str(rank), what, allocator, str(number), str(side)]
    argv = [sys.executable, "-m", "benchmarks.network_memory", "--case", *case]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout)


def row(*cells: object) -> None:
    """Print a line of a table as soon as it is known."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    """Print a table's head."""
    row(*cells)
    print("|" + "---|" * len(cells))


def share(part: float | None, whole: float | None) -> str:
    """A ratio, or a dash where one side is not known."""
    return f"{part / whole:.2f}" if part and whole else "-"


def steps_table(models: list[str], methods: list[str], rank: int, batch: int, side: int | None) -> None:
    """Predicted and measured bytes of a step, with both ways of allocating."""
    print(f"a step at batch {batch}, rank {rank}, one thread; MB (10^6 bytes) besides weights")
    head(
        "network",
        "method",
        "kept",
        "predicted",
        "default",
        "ratio",
        "to ft-all",
        "mmap",
        "ratio",
        "to ft-all",
    )
    for model in models:
        first: dict[str, Any] = {}
        for method in methods:
            predicted = memory.predict(plan_of(model, method, rank, side), batch)
            cells: list[str] = []
            for allocator in (max_batch.DEFAULT, max_batch.MMAP):
                measured_b = ask(model, method, rank, "step", allocator, batch, side or 0)
                whole = first.setdefault(allocator, measured_b)
                shown = "-" if measured_b is None else f"{measured_b / 1e6:.1f}"
                cells += [shown, share(measured_b, predicted.step_b), share(measured_b, whole)]
            row(model, method, f"{predicted.saved_b / 1e6:.1f}", f"{predicted.step_b / 1e6:.1f}", *cells)


def largest_table(models: list[str], rank: int, limit_mb: int) -> None:
    """The largest batch and side under a limit, predicted and found."""
    print(f"\nlargest that trains in {limit_mb} MB besides weights (RLIMIT_DATA), rank {rank}")
    head("network", "method", "what", "predicted", "found, mmap", "found, default", "the next one")
    for model in models:
        for method in FEW_METHODS:
            plan = plan_of(model, method, rank)
            allowed_b = limit_mb * 10**6 + memory.predict(plan, 1).weights_b
            predicted = {
                "batch": memory.largest_batch(plan, allowed_b),
                "side": memory.largest_side(
                    lambda side, at=(model, method): plan_of(*at, rank, side), BATCH, allowed_b
                ),
            }
            for what, number in predicted.items():
                mapped, usual = (
                    max_batch.Largest(*ask(model, method, rank, what, allocator, limit_mb * 10**6))
                    for allocator in (max_batch.MMAP, max_batch.DEFAULT)
                )
                name = "batch" if what == "batch" else f"px at batch {BATCH}"
                why = (usual.reason or "not tried").split(". Error")[0].split("Allocator: ")[-1]
                row(model, method, name, number, mapped.number, usual.number, why)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--models", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--side", type=int, help="of a square input, for the first table")
    parser.add_argument("--limit-mb", type=int)
    parser.add_argument("--case", nargs=7, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        answer(chosen.case)
        return
    steps_table(chosen.models, chosen.methods, chosen.rank, chosen.batch, chosen.side)
    if chosen.limit_mb:
        largest_table(chosen.models, chosen.rank, chosen.limit_mb)


if __name__ == "__main__":
    main()
