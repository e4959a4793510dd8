"""How near a training step comes to what one core can multiply: both engines, adapters beside a network's layers.

``python -m benchmarks.network_steps --roofline [--json]``; one thread, CPU. Images and weights are drawn: only time is
measured. All cases run in one process in turn, round by round, and count this thread's CPU time; the quickest round of
each is told, so that neighbours on the machine drop out.

Columns and keys of ``rows``: ``step_ms`` the quickest step of a batch of 20; ``madds`` multiply-adds of a step with
composed weights, as torch does it and ``metrics.madds`` counts it; ``own_madds`` those of this engine: the native kernels
take the factors' gradients apart; ``peak_s`` multiply-adds a second of one core from registers alone, by a loop of the
same native build (``tb_peak``; for torch that of the widest build); ``share`` of that peak that a step reaches with its
own multiply-adds; ``torch_over_this`` torch's step by this one, ``at_most`` what that could be if the native kernels'
multiply-adds ran at the peak.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from tunebench.workloads import artefact
from tunebench.workloads.engines.native import build
from tunebench.workloads.engines.native.loader import Library, address
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.methods import macs
from tunebench.workloads.methods.plan import Plan
from tunebench.workloads.models import counted
from tunebench.workloads.models.graph import product, shapes_of
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import Task, make_task

SCHEMA = "tunebench.network_roofline/1"
MODELS, METHODS = ("resnet-small", "squeezenet-small"), ("lorae", "lora-all")
BATCH, RANK, STEPS = 20, 4, 2
_PEAK_ROUNDS = 200_000


def drawn_task(model: str, method: str, weights: dict[str, artefact.Tensor]) -> Task:
    """A fine-tuning of a few batches on noise."""
    draw, graph = random.Random(0), counted(model)
    rows = BATCH * STEPS
    tensors = {}
    for part in ("finetune", "test"):
        pixels = draw.randbytes(rows * product(graph.shape))
        tensors[part + "_x"] = artefact.Tensor("uint8", (rows, *graph.shape), pixels)
        tensors[part + "_y"] = artefact.tensor("int32", (rows,), [draw.randrange(10) for _ in range(rows)])
    data = artefact.Artefact(
        "data", {"task": graph.task, "shape": list(graph.shape), "n_classes": 10}, tensors
    )
    keys = {"model": model, "method": method, "batch": BATCH, "rank": RANK, "lr": 1e-4, "epochs": 1}
    return make_task(spec.parse(keys), data, artefact.Artefact("weights", {}, weights))


def own_madds(plan: Plan) -> int:
    """Multiply-adds of one image in the native kernels: as counted, but for each adapted layer's own gradient.

    In its place stand the middle values, their gradient and both factors' gradients: each output place twice with all of
    the adapter's values.
    """
    shapes = shapes_of(plan.graph)
    sample = macs.of_sample(plan)
    thin = sum(2 * product(shapes[item.end][1:]) * item.n_params for item in plan.adapters)
    return sample.forward + sample.backward + thin


def peak(library: Library, sink: Any) -> float:
    """Multiply-adds a second from registers, of this thread's CPU time."""
    at = (address(sink) + 63) // 64 * 64
    began_s = time.thread_time()
    amount = library.c.tb_peak(_PEAK_ROUNDS, at)
    return float(amount / (time.thread_time() - began_s))


def sessions(
    model: str, method: str, libraries: dict[str, Library], torch: bool
) -> dict[str, tuple[Task, Any]]:
    """The engines' sessions on one task, by what is printed: a build, or torch."""
    from benchmarks.network_steps import drawn

    graph = counted(model)
    task = drawn_task(model, method, drawn(model, graph.shape, 10))
    made: dict[str, tuple[Task, Any]] = {}
    if torch:
        import torch as framework

        from tunebench.workloads.engines.pytorch import networks

        framework.set_num_threads(1)
        made["torch"] = (task, networks.Session(task))
    from tunebench.workloads.engines.native import network

    for name, library in libraries.items():
        made[name] = (task, network.Session(task, library=library))
    return made


def quickest(cases: dict[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """What each case says in every round, in turn."""
    said: dict[Any, list[float]] = {key: [] for key in cases}
    for _ in range(rounds):
        for key, case in cases.items():
            said[key].append(case())
    return said


def step_s(session: Any) -> Callable[[], float]:
    """A function that trains an epoch and returns the CPU time of one of its steps."""

    def run() -> float:
        began_s = time.thread_time()
        session.train_epoch(0, no_mark)
        return (time.thread_time() - began_s) / STEPS

    return run


def measure(
    builds: list[str], rounds: int, models: tuple[str, ...] = MODELS, torch: bool = True
) -> dict[str, Any]:
    """The document; without torch its rows are left out."""
    from array import array

    libraries = {name: Library(build.build(name).path) for name in builds}
    sink = array("f", bytes(1024))
    cases: dict[Any, Callable[[], float]] = {
        (name, "peak"): lambda library=library: peak(library, sink) for name, library in libraries.items()
    }
    tasks = {}
    for model in models:
        for method in METHODS:
            for engine, (task, session) in sessions(model, method, libraries, torch).items():
                tasks[model, method, engine] = task
                cases[model, method, engine] = step_s(session)
    said = quickest(cases, rounds)
    peaks = {name: max(said[name, "peak"]) for name in libraries}
    rows = []
    for (model, method, engine), task in tasks.items():
        counted_madds = macs.of_training(task.plan, BATCH, 1, BATCH)
        madds = sum(counted_madds.values())
        composing = 2 * (counted_madds["forward"] - BATCH * macs.of_sample(task.plan).forward)
        own = BATCH * own_madds(task.plan) + composing
        top = peaks.get(engine, max(peaks.values()))
        took_s, done = min(said[model, method, engine]), madds if engine == "torch" else own
        theirs_s = min(said[model, method, "torch"]) if torch else None
        rows.append({
            "model": model, "method": method, "engine": engine, "step_ms": 1e3 * took_s, "madds": madds,
            "own_madds": done, "peak_s": top, "share": done / took_s / top,
            "torch_over_this": theirs_s and theirs_s / took_s, "at_most": theirs_s and theirs_s * top / own,
        })  # fmt: skip
    return {"schema": SCHEMA, "batch": BATCH, "rank": RANK, "rounds": rounds, "peaks": peaks, "rows": rows}


def table(document: dict[str, Any]) -> str:
    """The rows for people."""
    lines = [
        "| model | method | engine | step ms | M multiply-adds | G a second | peak G | share | torch / this | at most |",
        "|" + "---|" * 10,
    ]
    for row in document["rows"]:
        ratio, most = (
            "-" if row[key] is None else f"{row[key]:.2f}" for key in ("torch_over_this", "at_most")
        )
        rate = row["own_madds"] / row["step_ms"] / 1e6
        lines.append(
            f"| {row['model']} | {row['method']} | {row['engine']} | {row['step_ms']:.2f} | "
            f"{row['own_madds'] / 1e6:.0f} | {rate:.1f} | {row['peak_s'] / 1e9:.1f} | {100 * row['share']:.0f}% | "
            f"{ratio} | {most} |"
        )
    return "\n".join(lines)
