"""LoRAE's two equal forms against full fine-tuning: seconds of a training step on the small networks.

``python -m benchmarks.lorae_forms [--rank 4] [--batch 8] [--steps 12]``; one thread. Methods run
interleaved, the table has medians, and ratios to ft-all as medians over rounds. Inputs are noise: only time is measured.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from tunebench.workloads.engines.pytorch.networks import wrapping
from tunebench.workloads.engines.pytorch.networks.adapter import BRANCH, COMPOSED, AdaptedConv2d
from tunebench.workloads.engines.pytorch.networks.network import Network, start
from tunebench.workloads.engines.pytorch.networks.session import apply_plan
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models import NETWORKS, counted


def stepper(name: str, method: str, form: str, rank: int, batch: int) -> Callable[[], None]:
    """A function that runs one step (forward, backward, update) of a method on a network."""
    graph = counted(name)
    network = Network(graph)
    start(network, 0)
    trained = apply_plan(network, plan(table.method(method), graph, rank), 1.0, 0)
    for layer in wrapping.adapters(network):
        if isinstance(layer, AdaptedConv2d):
            layer.form = form
    x = torch.rand((batch, *graph.shape), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        loss: Any = sum((output**2).mean() for output in network(x))
        gradients = torch.autograd.grad(loss, trained)
        with torch.no_grad():
            for item, gradient in zip(trained, gradients, strict=True):
                item.add_(gradient, alpha=-1e-6)

    return step


def measure(name: str, rank: int, batch: int, steps: int) -> dict[str, list[float]]:
    """Milliseconds of steps, interleaved: ft-all and the two forms of lorae."""
    runs = {
        "ft-all": stepper(name, "ft-all", COMPOSED, rank, batch),
        BRANCH: stepper(name, "lorae", BRANCH, rank, batch),
        COMPOSED: stepper(name, "lorae", COMPOSED, rank, batch),
    }
    for step in runs.values():
        step()
    times_ms: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(steps):
        for label, step in runs.items():
            began_s = time.perf_counter()
            step()
            times_ms[label].append(1e3 * (time.perf_counter() - began_s))
    return times_ms


def ratio(times_ms: dict[str, list[float]], label: str) -> float:
    """Median over rounds of a form's step to the step of ft-all of the same round."""
    return statistics.median(a / b for a, b in zip(times_ms[label], times_ms["ft-all"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=12)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"rank {chosen.rank}, batch {chosen.batch}, {chosen.steps} rounds, one thread, torch {torch.__version__}"
    )
    print("| network | ft-all ms | branch ms | composed ms | branch / ft-all | composed / ft-all |")
    print("|---|---|---|---|---|---|")
    for name in NETWORKS:
        times_ms = measure(name, chosen.rank, chosen.batch, chosen.steps)
        medians = " | ".join(f"{statistics.median(values):.1f}" for values in times_ms.values())
        print(
            f"| {name} | {medians} | {ratio(times_ms, BRANCH):.2f} | {ratio(times_ms, COMPOSED):.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
