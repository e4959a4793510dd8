"""Tokens a second and memory of a step on transformers of true size, beside the prediction: a process a case.

``python -m benchmarks.language_memory MODEL METHOD [--batch 2] [--seq-len 96] [--steps 3] [--checkpoint] [--mapped]``

One thread, CPU, AdamW, random weights where MODEL is a shape; the engine's session alone, without agent and board.
Measured: resident memory at the peak of the steps less what was resident before the first (most code is loaded by a
step of another session before; the optimiser's state is there from the session's begin), and the same of the steps
behind the first alone, beside what the graph foretells of a step; tokens of the texts, padding left out, over the
steps. Of methods with a cache the steps fill it.

Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from tunebench.harness.artifacts.gather import data_dir_from_env
from tunebench.workloads import artefact
from tunebench.workloads.datasets import load
from tunebench.workloads.datasets.store import Store, default_cache
from tunebench.workloads.datasets.texts import TextSet
from tunebench.workloads.engines import load_engine
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.marks.peak_memory import Watch, map_large_blocks
from tunebench.workloads.methods import memory
from tunebench.workloads.prepare import language
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task

DATASET = "spam-mail"


def session_of(model: str, settings: dict[str, Any]) -> Any:
    """Return a session of a model on the mails; its artefacts are made in memory."""
    store = Store(data_dir_from_env(), default_cache())
    loaded = load(DATASET, data_dir_from_env())
    if not isinstance(loaded, TextSet):
        raise TypeError(f"{DATASET} holds no texts")
    data = artefact.Artefact("data", *language.data_artefact(loaded, model, store))
    weights = artefact.Artefact("weights", *language.weights_artefact(loaded, model, store))
    parsed = spec.parse({"dataset": DATASET, "model": model, "engine": "transformers", **settings})
    return load_engine(parsed.engine, parsed.model).Session(make_task(parsed, data, weights))


def measure(session: Any, steps: int) -> dict[str, float | None]:
    """Return seconds, tokens a second, and bytes of so many steps beside their prediction."""
    task = session.task
    predicted = memory.predict(
        session.plan, task.spec.batch, task.n_train, state_floats=task.spec.training.state_floats
    )
    batches = [rows for epoch in session.batches for rows in epoch][:steps]
    watch, later, wall_s, cpu_s = Watch(), Watch(), [], []
    for number, rows in enumerate(batches):
        watches = (watch, later) if number else (watch,)
        for each in watches:
            each.begin()
        begun_wall, begun_cpu = time.perf_counter(), time.process_time()
        session.step(rows, no_mark)
        wall_s.append(time.perf_counter() - begun_wall)
        cpu_s.append(time.process_time() - begun_cpu)
        for each in watches:
            each.end()
    resident = watch.metrics()
    rise_b, steady_b = _rise_b(watch), _rise_b(later)
    return {
        "wall_s": median(wall_s),
        "cpu_s": median(cpu_s),
        "tokens_per_s": session.tokens / sum(wall_s),
        "tokens_per_cpu_s": session.tokens / sum(cpu_s),
        "peak_rss_b": resident.get("train_rss_peak_b"),
        "rise_b": rise_b,
        "steady_rise_b": steady_b,
        "foretold_b": float(predicted.step_b),
        "optimiser_b": float(predicted.optimiser_b),
        "foretold_over_rise": predicted.step_b / rise_b if rise_b else None,
        "foretold_over_steady_rise": predicted.step_b / steady_b if steady_b else None,
    }


def _rise_b(watch: Watch) -> float | None:
    """Return what resident memory rose by in a watch's stretches, bytes; None where the kernel does not say."""
    resident = watch.metrics()
    return resident["train_rss_peak_b"] - resident["train_rss_before_b"] if resident else None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one case and print it."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("model")
    parser.add_argument("method")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seq-len", type=int, default=96)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--checkpoint", action="store_true")
    parser.add_argument(
        "--mapped", action="store_true", help="larger tensors are mapped by themselves: no holes"
    )
    given = parser.parse_args(arguments)
    if given.mapped:
        map_large_blocks()
    usual = {"method": given.method, "epochs": 1, "lr": 0.001, "optimizer": "adamw", "seq_len": given.seq_len}
    # Code and thread pools are loaded once, by a network of the same kind that is small.
    small = session_of("shape:llama-tiny", {**usual, "method": "lora-last", "batch": 1, "seq_len": 8})
    small.step(small.batches[0][0], no_mark)
    session = session_of(given.model, {**usual, "batch": given.batch, "checkpoint": given.checkpoint})
    told = {"model": given.model, "method": given.method, "batch": given.batch, "seq_len": given.seq_len}
    print(json.dumps({**told, "checkpoint": given.checkpoint, **measure(session, given.steps)}))


if __name__ == "__main__":
    main()
