"""Peak memory of a training step on the small networks: measured beside its prediction.

``python -m benchmarks.network_memory [--batch 10] [--rank 4] [--models ...] [--limit-mb 300]``; one thread, CPU.
Every case runs in a process of its own. Measured: resident memory at the peak of two steps less what was resident
before the first (weights, torch and its code are in both). With ``--limit-mb`` a second table: the largest batch that
trains when the process may take so much more, found by bisection, beside the one that the prediction allows.
Inputs and labels are noise.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workloads import methods, network_memory, network_plan
from workloads.models import NETWORKS
from workloads.models.networks import counted
from workloads.network_plan import NetworkPlan

METHODS = ("ft-all", "ft-last", "ft-bias", "lora-last", "lorae")


def plan_of(model: str, method: str, rank: int) -> NetworkPlan:
    """A method on a network at its usual size."""
    return network_plan.plan(methods.method(method), counted(model), rank)


# -- in the child -------------------------------------------------------------------------------------


def stepper(plan: NetworkPlan) -> Callable[[int], None]:
    """A function that runs one step with a batch of so many."""
    import torch

    from workloads.engines.networks.network import Network, start
    from workloads.engines.networks.session import apply_plan

    torch.set_num_threads(1)
    network = Network(plan.graph)
    start(network, 0)
    trained = apply_plan(network, plan, 1.0, 0)

    def step(batch: int) -> None:
        loss = loss_of(plan, network(torch.rand((batch, *plan.graph.shape))))
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            for item, gradient in zip(trained, gradients, strict=True):
                item.add_(gradient, alpha=-1e-6)

    return step


def loss_of(plan: NetworkPlan, outputs: tuple[Any, ...]) -> Any:
    """The task's own loss, on labels that are noise."""
    import torch
    import torch.nn.functional as F

    from workloads.engines.networks import detection

    first = outputs[0]
    if plan.graph.task == "detect":
        boxes = torch.rand_like(outputs[1]).cumsum(1) * 20
        inside = torch.ones(first.shape[0], *first.shape[2:])
        return detection.loss(outputs, detection.Targets(torch.zeros_like(first), boxes, inside))
    return F.cross_entropy(first, torch.zeros((first.shape[0], *first.shape[2:]), dtype=torch.int64))


def measure(plan: NetworkPlan, batch: int) -> int | None:
    """Bytes that two steps take beyond what is resident; None where the kernel does not say."""
    from workloads.peak import Watch

    step = stepper(plan)
    step(1)  # code and thread pools are loaded once
    watch = Watch()
    watch.begin()
    step(batch)
    step(batch)
    watch.end()
    told = watch.metrics()
    return int(told["train_rss_peak_b"] - told["train_rss_before_b"]) if told else None


def largest(plan: NetworkPlan, more_b: int) -> int:
    """The largest batch whose step works when the process may map so many bytes more than now."""
    step = stepper(plan)
    step(1)
    lines = Path("/proc/self/status").read_text().splitlines()
    now_b = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData"))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (now_b + more_b, hard))

    def fits(batch: int) -> bool:
        try:
            step(batch)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            return False
        return True

    return network_memory.largest(fits, 1024)


# -- in the parent ------------------------------------------------------------------------------------


def ask(model: str, method: str, rank: int, what: str, number: int) -> Any:
    """Run one case in a process of its own."""
    argv = [
        sys.executable,
        "-m",
        "benchmarks.network_memory",
        "--case",
        model,
        method,
        str(rank),
        what,
        str(number),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return json.loads(done.stdout)


def answer(case: list[str]) -> None:
    """The child's part."""
    model, method, rank, what, number = case
    plan = plan_of(model, method, int(rank))
    print(json.dumps((measure if what == "step" else largest)(plan, int(number))))


def steps_table(models: list[str], rank: int, batch: int) -> None:
    """Predicted and measured bytes of a step."""
    print(f"batch {batch}, rank {rank}, one thread; MB (10^6 bytes) besides weights")
    print(
        "| network | method | kept activations | step predicted | step measured | measured / predicted | to ft-all |"
    )
    print("|---|---|---|---|---|---|---|")
    for model in models:
        first: int | None = None
        for method in METHODS:
            told = network_memory.predict(plan_of(model, method, rank), batch)
            found = ask(model, method, rank, "step", batch)
            first = first or found
            measured = "-" if found is None else f"{found / 1e6:.1f}"
            ratios = (
                ("-", "-")
                if not found or not first
                else (f"{found / told.step_b:.2f}", f"{found / first:.2f}")
            )
            row = (model, method, f"{told.saved_b / 1e6:.1f}", f"{told.step_b / 1e6:.1f}", measured, *ratios)
            print("| " + " | ".join(row) + " |", flush=True)


def batches_table(models: list[str], rank: int, limit_mb: int) -> None:
    """The largest batch under a limit, predicted and found."""
    print(f"\nlargest batch in {limit_mb} MB besides weights, rank {rank}")
    print("| network | method | predicted | found by bisection |")
    print("|---|---|---|---|")
    for model in models:
        for method in ("ft-all", "ft-last", "lorae"):
            plan = plan_of(model, method, rank)
            weights_b = network_memory.predict(plan, 1).weights_b
            told = network_memory.largest_batch(plan, limit_mb * 10**6 + weights_b)
            found = ask(model, method, rank, "largest", limit_mb * 10**6)
            print(f"| {model} | {method} | {told} | {found} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--models", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--limit-mb", type=int)
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        answer(chosen.case)
        return
    steps_table(chosen.models, chosen.rank, chosen.batch)
    if chosen.limit_mb:
        batches_table(chosen.models, chosen.rank, chosen.limit_mb)


if __name__ == "__main__":
    main()
