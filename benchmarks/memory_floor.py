"""The memory floor against steps: MeZO beside fine-tuning with gradients, to the same quality.

``python -m benchmarks.memory_floor [--seeds 3] [--epochs 300]``: the shipped digits MLP on torch, one thread, plain SGD.
Prints for each method the steps and the CPU seconds until the test accuracy first reaches each target
(evaluated behind each epoch, outside the time), over seeds: the median, and how many got there. Rates are
:data:`RATES`, which were chosen on development bases and folds, never on the test rows
(``--search`` does it again). Memory of a step is the prediction's. Energy needs a board with a meter: a suite of these
rows and ``quality_target`` prints joules to the target in its report.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

from tunebench.harness.artifacts.gather import prepare_bases
from tunebench.harness.study.folds import folds_of
from tunebench.workloads import artefact
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.methods import memory
from tunebench.workloads.tasks import spec, task

#: method -> learning rate
RATES = {"ft-all": 0.004, "lora-fa": 0.064, "mezo": 0.00025}
#: methods are run for so many of the epochs asked for: gradients need fewer steps
SHARES = {"ft-all": 0.1, "lora-fa": 0.2, "mezo": 1.0}
#: rates that are scored on the development bases, by method
LADDERS = {
    "ft-all": (0.004, 0.016, 0.064),
    "lora-fa": (0.016, 0.064, 0.256),
    "mezo": (0.00025, 0.0005, 0.001),
}
TARGETS = (0.75, 0.80, 0.85)
BASES = (100, 101)


def session_of(method: str, rate: float, epochs: int, seed: int, data: Artefact, weights: Artefact) -> Any:
    """A fine-tuning of the digits MLP on torch."""
    from tunebench.workloads.engines.pytorch.chain import Session

    settings = {
        "method": method,
        "model": "mlp",
        "dataset": "digits",
        "lr": rate,
        "epochs": epochs,
        "seed": seed,
    }
    return Session(task.make_task(spec.parse(settings), data, weights))


def curve(session: Any, epochs: int) -> list[tuple[int, float, float]]:
    """Steps, CPU seconds of training and accuracy behind each epoch."""
    points, spent = [], 0.0
    for epoch in range(epochs):
        began = time.process_time()
        session.train_epoch(epoch, lambda name: None)
        spent += time.process_time() - began
        points.append((session.steps, spent, float(session.evaluate().accuracy)))
    return points


def search(epochs: int) -> None:
    """Print the mean accuracy of each rate over development bases and folds."""
    made = prepare_bases("digits", "mlp", BASES)
    cuts = folds_of(artefact.read(str(made[0].data)), 2)
    for method, ladder in LADDERS.items():
        for rate in ladder:
            scores = []
            for item in made:
                for fold, cut in enumerate(cuts):
                    count = cut.epochs(max(1, round(SHARES[method] * epochs)))
                    session = session_of(
                        method, rate, count, fold, cut.data, artefact.read(str(item.weights))
                    )
                    session.train_epochs(0, count)
                    scores.append(float(session.evaluate().accuracy))
            print(f"| {method} | {rate:g} | {100 * statistics.mean(scores):.1f} |", flush=True)


def row(method: str, rate: float, runs: list[list[tuple[int, float, float]]], step_b: int) -> str:
    """One line of the table."""
    cells = [method, f"{rate:g}", f"{step_b / 1e3:.0f}", f"{runs[0][-1][0]:,}"]
    for target in TARGETS:
        reached = [next((point for point in run if point[2] >= target), None) for run in runs]
        known = [point for point in reached if point is not None]
        if 2 * len(known) <= len(runs):
            cells.append(f"{len(known)} of {len(runs)}")
        else:
            steps, seconds = (statistics.median(point[at] for point in known) for at in (0, 1))
            cells.append(f"{steps:,.0f} / {seconds:.2f} s ({len(known)} of {len(runs)})")
    ends = [100 * run[-1][2] for run in runs]
    cells.append(f"{statistics.mean(ends):.1f} ({min(ends):.1f} to {max(ends):.1f})")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=300, help="of MeZO; the others run a share of them")
    parser.add_argument(
        "--search", action="store_true", help="score the rates on development bases and folds"
    )
    chosen = parser.parse_args()
    if chosen.search:
        search(chosen.epochs)
        return
    shipped = Path(artefact.__file__).parent / "prepare" / "shipped"
    data, weights = (artefact.read(str(shipped / name)) for name in ("digits.tbx", "digits-mlp.tbx"))
    print(
        "| method | rate | step, kB | steps run | "
        + " | ".join(f"to {100 * at:.0f}%" for at in TARGETS)
        + " | end |"
    )
    print("|" + "---|" * (5 + len(TARGETS)))
    for method, rate in RATES.items():
        epochs, runs, step_b = max(1, round(SHARES[method] * chosen.epochs)), [], 0
        for seed in range(chosen.seeds):
            session = session_of(method, rate, epochs, seed, data, weights)
            step_b = memory.predict(session.plan, session.task.spec.batch).step_b
            runs.append(curve(session, epochs))
        print(row(method, rate, runs, step_b), flush=True)


if __name__ == "__main__":
    main()
