"""What trains behind a frozen trunk on each engine: ``python -m benchmarks.network_steps [--json]``; one thread, CPU.

Every case - a network, a method, an engine, a native build or a trunk's numbers - runs in a process of its own, in random
order within each round, so that engines are compared in the same run. Artefacts are prepared as a campaign does
(``--download`` may fetch published weights); without them weights are drawn, and accuracy means nothing.

Columns and keys of ``rows``: ``finetune_s`` wall time of the whole fine-tuning, cache fill included; ``first_epoch_s``
its first epoch, in which a cache is filled; ``step_us`` a step of the later ones; ``finetune_cpu_s``, ``step_cpu_us`` the
same in CPU time, which others on the machine hardly change; ``peak_rss_b`` of the process from its start, interpreter and
data included (``VmHWM``), ``idle_rss_b`` when engine and data are loaded and nothing is made; ``predicted_b`` (native,
onnxruntime-head) what the engine is predicted to take; ``accuracy`` after the last epoch; medians of the rounds.
``loss_gap`` is the largest difference to torch's losses over the first 100 steps, as a share of the tolerance
1e-6 + 1e-4 |loss|.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from tunebench.workloads import artefact, marks
from tunebench.workloads.engines import load_engine
from tunebench.workloads.engines.onnxruntime_head import NAME as HEAD
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.marks.peak_memory import resident_b
from tunebench.workloads.models import graph_of
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task

SCHEMA = "tunebench.network_steps/1"
CASES = ("pneumonia-64/mobilenetv2",)
METHODS = ("ft-last-cached", "lora-last-cached", "skip2-lora")
BUILDS = ("x86-64", "v3")
#: fine-tuning images that fix int8's scales, as in suites
CALIBRATION = 128
#: the equivalence that is promised of the engines
STEPS, ABSOLUTE, RELATIVE = 100, 1e-6, 1e-4
TRAINING = {"batch": 20, "rank": 4, "optimizer": "adamw", "lr": 0.001}


# -- in the child -------------------------------------------------------------------------------------


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Run one fine-tuning in this process."""
    parsed = spec.parse({"engine": case["engine"], **case["workload"]})
    task = make_task(parsed, artefact.read(case["data"]), artefact.read(case["weights"]))
    engine = load_engine(parsed.engine, parsed.model)
    idle_b = resident_b()
    session = engine.Session(task)
    losses: list[float] = []
    ends, cpu = [time.perf_counter()], [time.process_time()]
    for epoch in range(parsed.epochs):
        session.train_epoch(epoch, no_mark)
        ends.append(time.perf_counter())
        cpu.append(time.process_time())
        losses += [float(loss) for loss in session.step_losses]
    accuracy = session.evaluate().accuracy
    steps = task.steps_per_epoch * (parsed.epochs - 1)
    return {
        "finetune_s": ends[-1] - ends[0],
        "first_epoch_s": ends[1] - ends[0],
        "step_us": 1e6 * (ends[-1] - ends[1]) / steps,
        "finetune_cpu_s": cpu[-1] - cpu[0],
        "step_cpu_us": 1e6 * (cpu[-1] - cpu[1]) / steps,
        "peak_rss_b": marks.peak_rss_b(),
        "idle_rss_b": idle_b,
        "predicted_b": _predicted_b(task),
        "cache_b": session.facts()["cache_b"],
        "accuracy": accuracy,
        "losses": losses[:STEPS],
    }


def _predicted_b(task: Any) -> int | None:
    """Return what an engine is predicted to take that says so itself."""
    from tunebench.workloads.engines.native import memory as native_memory
    from tunebench.workloads.engines.onnxruntime_head import NAME
    from tunebench.workloads.engines.onnxruntime_head import memory as head_memory

    spec = task.spec
    memory: Any = {"native": native_memory, NAME: head_memory}.get(spec.engine)
    if memory is None:
        return None
    return memory.predict(task.plan, spec.batch, task.n_train, spec.training.state_floats).total_b


# -- in the parent ------------------------------------------------------------------------------------


def artefacts(name: str, folder: Path, download: bool) -> tuple[str, str]:
    """Prepare a case's files: data set and start weights, drawn where the published ones are not to be had."""
    from tunebench.workloads.datasets.base import DataUnavailable
    from tunebench.workloads.prepare.artefacts import prepare

    dataset, _, model = name.partition("/")
    try:
        made = prepare(dataset, model, cache_dir=folder, download=download)
        return str(made.data), str(made.weights)
    except DataUnavailable as error:
        print(f"{name}: {error}; weights are drawn", file=sys.stderr)
    made = prepare(dataset, "mobilenetv2-small", cache_dir=folder, download=download)
    meta = artefact.read(str(made.data)).meta
    weights = folder / f"drawn-{model}.tbx"
    artefact.write(str(weights), "weights", {}, drawn(model, tuple(meta["shape"]), meta["n_classes"]))
    return str(made.data), str(weights)


def drawn(model: str, shape: tuple[int, ...], n_classes: int) -> dict[str, artefact.Tensor]:
    """He-uniform weights, BatchNorm that does nothing."""
    from tunebench.workloads import seeds
    from tunebench.workloads.models.graph import product, weight_shapes

    graph = graph_of(model, shape, n_classes)
    fan_in = {node.name: node.fan_in for node in graph.layers}
    constants = {"bias": 0.0, "gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}
    tensors = {}
    for name, size in weight_shapes(graph):
        layer, _, part = name.rpartition(".")
        values: Any = [constants.get(part, 0.0)] * product(size)
        if part == "weight":
            values = [6**0.5 * v for v in seeds.kaiming_uniform(product(size), fan_in[layer], 0, name)]
        tensors[name] = artefact.tensor("float32", size, values)
    return tensors


def libraries(names: list[str]) -> dict[str, str]:
    """Compile the builds that this machine runs; return build -> path."""
    from tunebench.workloads.engines.native import build

    best = build.variant_of(*build.this_machine())
    order = [name for name in ("x86-64", "v3", "v4") if name in build.VARIANTS]
    able = order[: order.index(best) + 1] if best in order else [best]
    return {name: build.build(name).path for name in names if name in able} or {best: build.build(best).path}


def trunks(data: str, weights: str, workload: dict[str, Any], folder: Path) -> dict[str, str]:
    """Write a method's trunk in float32 and in 8 bits, as a campaign does; nothing without the runtime."""
    if importlib.util.find_spec("onnxruntime") is None:
        return {}
    from tunebench.workloads.compress.state import Numbers, state_of
    from tunebench.workloads.compress.train import part_of, ranges_of
    from tunebench.workloads.compress.trunk import trunk_artefact
    from tunebench.workloads.engines.head import head_of

    given = artefact.read(data)
    task = make_task(spec.parse(workload), given, artefact.read(weights))
    state = state_of(graph_of(workload["model"], tuple(given.meta["shape"]), task.n_classes), task.weights)
    samples = part_of(given, "finetune", state.graph).inputs[:CALIBRATION]
    made = {}
    for numbers in (Numbers(), Numbers("int8-static", ranges=ranges_of(state, samples))):
        path = folder / f"{workload['model']}-{workload['method']}-{numbers.kind}.tbx"
        head = head_of(task.plan, HEAD)
        path.write_bytes(trunk_artefact(replace(state, numbers=numbers), head, [], {}))
        made[numbers.kind] = str(path)
    return made


def ask(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case in a process of its own."""
    env = {**os.environ, "TUNEBENCH_NATIVE": case["library"] or ""}
    argv = [sys.executable, "-m", "benchmarks.network_steps", "--case", json.dumps(case)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return dict(json.loads(done.stdout))


def summary(case: dict[str, Any], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a case's row."""
    kept = (
        "finetune_s",
        "first_epoch_s",
        "step_us",
        "finetune_cpu_s",
        "step_cpu_us",
        "peak_rss_b",
        "idle_rss_b",
        "predicted_b",
        "cache_b",
        "accuracy",
    )
    row = {key: case[key] for key in ("case", "engine", "build", "method")}
    for key in kept:
        values = [answer[key] for answer in answers if answer[key] is not None]
        row[key] = statistics.median(values) if values else None
    return row


def gap(losses: list[float], expected: list[float]) -> float:
    """Return the largest difference of losses as a share of the tolerance."""
    pairs = zip(losses, expected, strict=True)
    return max(abs(a - b) / (ABSOLUTE + RELATIVE * abs(b)) for a, b in pairs)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all cases; return the document."""
    cases: list[dict[str, Any]] = []
    built = libraries(options.builds)
    with tempfile.TemporaryDirectory() as own:
        for name in options.cases:
            data, weights = artefacts(name, options.artefacts or Path(own), options.download)
            dataset, _, model = name.partition("/")
            for method in options.methods:
                workload = {
                    **TRAINING, "dataset": dataset, "model": model, "method": method, "epochs": options.epochs,
                }  # fmt: skip
                base = {
                    "case": name,
                    "method": method,
                    "data": data,
                    "weights": weights,
                    "workload": workload,
                }
                engines = [("torch", None, None)] + [("native", build, path) for build, path in built.items()]
                cases += [
                    {**base, "engine": engine, "build": build, "library": path}
                    for engine, build, path in engines
                ]
                cases += [
                    {**base, "engine": HEAD, "build": numbers, "library": None, "weights": path}
                    for numbers, path in trunks(data, weights, workload, Path(own)).items()
                ]
        answers: dict[int, list[dict[str, Any]]] = {at: [] for at in range(len(cases))}
        draw = random.Random(0)
        for _ in range(options.rounds):
            for at in draw.sample(range(len(cases)), len(cases)):
                answers[at].append(ask(cases[at]))
    rows = []
    for at, case in enumerate(cases):
        row = summary(case, answers[at])
        reference = next(
            other
            for other, item in enumerate(cases)
            if item["engine"] == "torch" and (item["case"], item["method"]) == (case["case"], case["method"])
        )
        row["loss_gap"] = gap(answers[at][0]["losses"], answers[reference][0]["losses"])
        row["torch_over_this"] = rows_ratio(answers[reference], answers[at])
        rows.append(row)
    return {
        "schema": SCHEMA, "machine": platform.machine(), "rounds": options.rounds, "epochs": options.epochs,
        "training": TRAINING, "rows": rows,
    }  # fmt: skip


def rows_ratio(reference: list[dict[str, Any]], answers: list[dict[str, Any]]) -> float:
    """Return how many times as long torch's whole fine-tuning takes, paired by round, median."""
    pairs = zip(reference, answers, strict=True)
    return statistics.median(theirs["finetune_s"] / ours["finetune_s"] for theirs, ours in pairs)


def table(document: dict[str, Any]) -> str:
    """Return the rows for people."""
    lines = [
        "| case | method | engine | fine-tuning s | CPU s | first epoch s | step us | CPU us | torch / this | peak MB | "
        "idle MB | predicted MB | cache MB | loss gap | accuracy |",
        "|" + "---|" * 15,
    ]

    def mb(value: float | None) -> str:
        return "-" if value is None else f"{value / 1e6:.1f}"

    for row in document["rows"]:
        engine = " ".join(filter(None, (row["engine"], row["build"])))
        lines.append(
            f"| {row['case']} | {row['method']} | {engine} | {row['finetune_s']:.2f} | "
            f"{row['finetune_cpu_s']:.2f} | {row['first_epoch_s']:.2f} | {row['step_us']:.0f} | "
            f"{row['step_cpu_us']:.0f} | {row['torch_over_this']:.2f} | {mb(row['peak_rss_b'])} | "
            f"{mb(row['idle_rss_b'])} | {mb(row['predicted_b'])} | {mb(row['cache_b'])} | {row['loss_gap']:.3f} | "
            f"{100 * row['accuracy']:.1f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, or answer as the child."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="DATASET/MODEL")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--builds", nargs="+", default=list(BUILDS))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--artefacts", type=Path, help="folder in which built artefacts are kept")
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--roofline", action="store_true", help="steps beside what a core can do at best")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(json.loads(options.case))))
        return 0
    if options.roofline:
        from benchmarks import network_roofline

        limits = network_roofline.measure(list(libraries(options.builds)), 4 * options.rounds)
        print(json.dumps(limits, indent=2) if options.json else network_roofline.table(limits))
        return 0
    document = run(options)
    print(json.dumps(document, indent=2) if options.json else table(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
