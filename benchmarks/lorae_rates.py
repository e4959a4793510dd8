"""Learning rates and the rank of the LoRAE study, chosen without its test sets.

    TUNEBENCH_DATA=... python -m benchmarks.lorae_rates run --task segment --keep benchmarks/lorae_rates.json
    python -m benchmarks.lorae_rates show --keep benchmarks/lorae_rates.json

The rule, fixed before the search:

- Only the fine-tuning pool is used. It is cut into two halves in order (images of one writer stay together); each is
  held out once, the other trains. The test set is not read. Epochs are twice the suite's, so that the number of steps
  is about the suite's.
- A candidate is a method at a rank; its score at a rate is the mean over both halves of accuracy, mAP50 or mIoU. A run
  that diverges scores 0.
- Rates are the steps of :data:`LADDER`. The search begins at 0.03 (a further rank of LoRAE: at its neighbour's choice)
  and steps towards better scores until both neighbours of the best are known. Of equal scores the smaller rate is taken.
- Each rank of LoRAE has a rate of its own: a step of the weight grows with the rank, so one rate would favour one rank.
  Ranks above 4 miss the targets and cannot be chosen; they are not searched, but take rank 4's rate times 4 / rank.
- A cached method takes the rate of the method it caches.
- The best rank is that of the highest score among those that meet the task's target of fewer updated parameters;
  of equal ones the smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tunebench.workloads import artefact
from tunebench.workloads.methods import table as methods_table
from tunebench.workloads.methods.plan import counts, plan
from tunebench.workloads.models import graph_of
from tunebench.workloads.prepare.artefacts import prepare
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import make_task

LADDER = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
FIRST = LADDER.index(0.03)
PARTS = 2
#: Scores of every run that the suites rest on.
KEEP = Path(__file__).with_suffix(".json")
RANKS = (4, 2, 1)
LARGER = (8, 16, 32)
#: rank of LoRAE -> the one whose choice its search begins at
NEIGHBOUR = {2: 4, 1: 2}
OTHERS = ("ft-all", "ft-last", "ft-bias", "lora-last")
CACHED = {"lora-last-cached": "lora-last"}
RANK = 4

#: one run: (task, method, rank, rate, part) -> score
Key = tuple[str, str, int, float, int]


@dataclass(frozen=True)
class StudyTask:
    """One task of the study; ``target`` is the least share of parameters that LoRAE does not update."""

    dataset: str
    model: str
    epochs: int
    batch: int
    target: float


TASKS = {
    "classify": StudyTask("mnist", "resnet-small", 4, 20, 0.85),
    "detect": StudyTask("bccd", "detector-small", 6, 10, 0.90),
    "segment": StudyTask("shapes", "unet-small", 6, 10, 0.90),
}


def candidates(task: str) -> list[tuple[str, int]]:
    """Methods and ranks to search, in order: a rank of LoRAE after the one that it begins at."""
    pairs = [(name, RANK) for name in OTHERS]
    if task == "classify":  # elsewhere it is LoRAE to the bit: no Linear layer
        pairs.append(("lora-all", RANK))
    return pairs + [("lorae", rank) for rank in RANKS]


def part_of(data: artefact.Artefact, part: int, parts: int = PARTS) -> artefact.Artefact:
    """Another data artefact: a part of the fine-tuning pool as its test set, the rest to train on.

    The pool's images are cut in order. Nothing of the original test set is in the result.
    """
    images = data.need("finetune_x")
    count = images.shape[0]
    held = np.zeros(count, dtype=bool)
    held[count * part // parts : count * (part + 1) // parts] = True
    tensors: dict[str, artefact.Tensor] = {}
    for into, rows in (("finetune", ~held), ("test", held)):
        tensors[f"{into}_x"] = _rows(images, rows)
        labels = data.need("finetune_y")
        if data.meta["task"] != "detect":
            tensors[f"{into}_y"] = _rows(labels, rows)
            continue
        table = _values(labels)
        kept = rows[table[:, 0]]
        renumbered = np.cumsum(rows) - 1
        renumbered_table = np.stack([renumbered[table[kept, 0]], table[kept, 1]], 1).astype("<i4")
        tensors[f"{into}_y"] = artefact.Tensor("int32", renumbered_table.shape, renumbered_table.tobytes())
        tensors[f"{into}_boxes"] = _rows(data.need("finetune_boxes"), kept)
    return artefact.Artefact(data.kind, data.meta, tensors)


def _values(item: artefact.Tensor) -> Any:
    kind = {"uint8": "|u1", "int32": "<i4", "float32": "<f4"}[item.dtype]
    return np.frombuffer(bytes(item.data), dtype=kind).reshape(item.shape)


def _rows(item: artefact.Tensor, rows: Any) -> artefact.Tensor:
    chosen = _values(item)[rows]
    return artefact.Tensor(item.dtype, chosen.shape, bytearray(chosen.tobytes()))


def climb(score: Callable[[float], float], begin: int) -> int:
    """The ladder's step with the best score, found from ``begin`` up or down; both its neighbours were scored.

    >>> climb(lambda rate: -abs(math.log(rate / 0.2)), FIRST) == LADDER.index(0.3)
    True
    """
    best = begin
    while True:
        around = [at for at in (best - 1, best, best + 1) if 0 <= at < len(LADDER)]
        # max() takes the first of equals: the smaller rate
        best_around = max(around, key=lambda at: score(LADDER[at]))
        if best_around == best:
            return best
        best = best_around


class Runs:
    """Scores of single runs, kept in a file after each, so that a stopped search goes on."""

    def __init__(self, keep: Path) -> None:
        self.keep = keep
        rows = json.loads(keep.read_text(encoding="utf-8")) if keep.is_file() else []
        self.scores: dict[Key, float] = {
            (row["task"], row["method"], row["rank"], row["lr"], row["part"]): row["score"] for row in rows
        }

    def add(self, key: Key, score: float) -> None:
        self.scores[key] = score
        names = ("task", "method", "rank", "lr", "part", "score")
        rows = [dict(zip(names, (*run, mean), strict=True)) for run, mean in sorted(self.scores.items())]
        text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n"
        self.keep.write_text(text, encoding="utf-8")

    def mean(self, task: str, method: str, rank: int, rate: float) -> float | None:
        """Mean over the parts; None unless all were run."""
        scores = [self.scores.get((task, method, rank, rate, part)) for part in range(PARTS)]
        known = [score for score in scores if score is not None]
        return sum(known) / PARTS if len(known) == PARTS else None

    def choice(self, task: str, method: str, rank: int) -> tuple[float, float] | None:
        """(rate, score) of the best rate tried; of equals the smaller rate."""
        tried = [(rate, mean) for rate in LADDER if (mean := self.mean(task, method, rank, rate)) is not None]
        return max(tried, key=lambda pair: pair[1]) if tried else None


class Trainer:
    """Fine-tunings of one task on parts of its pool."""

    def __init__(self, task: str, cache_dir: Path) -> None:
        chosen = TASKS[task]
        made = prepare(chosen.dataset, chosen.model, cache_dir=cache_dir)
        data = artefact.read(str(made.data))
        self.chosen, self.weights = chosen, artefact.read(str(made.weights))
        self.parts = [part_of(data, part) for part in range(PARTS)]

    def score(self, method: str, rank: int, rate: float, part: int) -> float:
        """Quality on the held-out part after training on the others."""
        from tunebench.workloads.engines.pytorch.networks import Session

        chosen = self.chosen
        settings = {
            "method": method, "model": chosen.model, "dataset": chosen.dataset, "epochs": PARTS * chosen.epochs,
            "batch": chosen.batch, "lr": rate, "rank": rank, "seed": part,
        }  # fmt: skip
        session = Session(make_task(spec.parse(settings), self.parts[part], self.weights))
        losses = session.train_epochs(0, session.task.spec.epochs)
        return session.evaluate().accuracy if math.isfinite(losses[-1]) else 0.0


def search(task: str, runs: Runs, trainer: Trainer) -> None:
    """Choose the rate of every candidate of a task."""
    for method, rank in candidates(task):
        neighbour = runs.choice(task, method, NEIGHBOUR[rank]) if (method, rank) != (method, RANK) else None
        begin = LADDER.index(neighbour[0]) if neighbour else FIRST

        def score(rate: float, method: str = method, rank: int = rank) -> float:
            for part in range(PARTS):
                key = (task, method, rank, rate, part)
                if key not in runs.scores:
                    began_s = time.perf_counter()
                    held_out = trainer.score(method, rank, rate, part)
                    runs.add(key, held_out)
                    took_s = time.perf_counter() - began_s
                    print(
                        f"{method} r={rank} lr={rate:g} part {part}: {held_out:.4f} ({took_s:.1f} s)",
                        flush=True,
                    )
            return runs.mean(task, method, rank, rate) or 0.0

        climb(score, begin)


def reduction(task: str, method: str, rank: int) -> float:
    """Share of full fine-tuning's parameters that a method does not update."""
    shape, classes = {
        "classify": ((1, 28, 28), 10), "detect": ((3, 128, 160), 3), "segment": ((1, 64, 64), 4),
    }[task]  # fmt: skip
    graph = graph_of(TASKS[task].model, shape, classes)

    def trains(name: str) -> int:
        return counts(plan(methods_table.method(name), graph, rank)).trainable

    return 1 - trains(method) / trains("ft-all")


def rate_of(task: str, method: str, rank: int, runs: Runs) -> float | None:
    """The learning rate by the rule; None while it was not searched."""
    searched = RANK if rank in LARGER else rank
    chosen = runs.choice(task, CACHED.get(method, method), searched)
    return chosen[0] * searched / rank if chosen else None


def best_rank(task: str, runs: Runs) -> int | None:
    """LoRAE's rank by the rule; None while nothing that meets the target was scored."""
    ranked = [
        (chosen[1], -rank)
        for rank in RANKS
        if reduction(task, "lorae", rank) >= TASKS[task].target
        and (chosen := runs.choice(task, "lorae", rank))
    ]
    return -max(ranked)[1] if ranked else None


def table(task: str, runs: Runs) -> Iterator[str]:
    """Markdown: a row a candidate, a column a rate, the choice in bold."""
    yield f"| {task}: candidate | fewer updated | " + " | ".join(f"{rate:g}" for rate in LADDER) + " |"
    yield "|" + "---|" * (len(LADDER) + 2)
    for method, rank in candidates(task):
        chosen = runs.choice(task, method, rank)
        cells = []
        for rate in LADDER:
            mean = runs.mean(task, method, rank, rate)
            text = "" if mean is None else f"{100 * mean:.2f}"
            cells.append(f"**{text}**" if chosen and rate == chosen[0] else text)
        name = (
            f"{method}, r = {rank}" if methods_table.method(method).adapters != methods_table.NONE else method
        )
        yield f"| {name} | {100 * reduction(task, method, rank):.1f}% | " + " | ".join(cells) + " |"
    yield ""
    yield f"best rank with at least {100 * TASKS[task].target:g}% fewer updated parameters: {best_rank(task, runs)}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "show"))
    parser.add_argument("--task", choices=tuple(TASKS), action="append", help="default: all")
    parser.add_argument("--keep", type=Path, default=KEEP, help="file of scores")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "tunebench" / "artefacts")
    chosen = parser.parse_args()
    runs = Runs(chosen.keep)
    for task in chosen.task or TASKS:
        if chosen.what == "run":
            search(task, runs, Trainer(task, chosen.cache))
        print("\n".join(table(task, runs)), end="\n\n")


if __name__ == "__main__":
    main()
