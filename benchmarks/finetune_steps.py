"""Fine-tuning on both engines: ``python -m benchmarks.finetune_steps [--json]``; one thread, one process.

Data sets and methods of the Skip2-LoRA study, engines ``torch``, ``native`` (x86 builds ``x86-64``: 128 bits
wide, ``v3``, ``v4``) and ``peft`` (LoRA-All only), and ``mlp-1024``, which is bound by arithmetic. Every round
runs whole fine-tunings of all cells in random order; torch and peft, which are slow, run in the first round only.

Columns and keys of ``rows``: ``finetune_s`` is the wall time of the whole fine-tuning, cache fill included
(median of the rounds); ``step_us`` a step after the first epoch; ``forward_us`` (with gathering and loss),
``backward_us``, ``update_us`` from instrumented epochs right behind the timed ones of each round: medians of a
round's steps, then of the rounds (native's updates include the weights' gradients, which are made and applied at
once); ``phases`` of the document holds each round by itself; ``gflops`` from the plan's multiply-adds;
``peak_share`` against the same build's multiply-adds from registers alone, measured in each round;
``reduction_vs_lora_all`` is 1 - finetune_s / finetune_s of LoRA-All on the same engine and build, paired by round,
median. What was not measured is null.

``--optimizer`` runs several rules of update after one another, each with a document and a summary of its own; all but
``sgd`` on the native engine alone.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

from benchmarks.finetune_cases import STUDY, WIDE, Cases, Source
from benchmarks.finetune_memory import session
from benchmarks.finetune_table import BASELINE, COLUMNS, WIDE_METHODS, summary, table
from tunebench.workloads.engines.native import Library, NativeError, build
from tunebench.workloads.engines.session import no_mark
from tunebench.workloads.methods import table as methods_table
from tunebench.workloads.methods.macs import of_sample
from tunebench.workloads.tasks.training import OPTIMIZERS

SCHEMA = "tunebench.finetune_steps/1"
ENGINES = ("torch", "native", "peft")
BUILDS = ("x86-64", "v3", "v4")
#: measurements without and with marks behind each fine-tuning, by turns, and how long each of those without is at least
PHASE_PAIRS, PLAIN_US = 5, 400.0
PHASES = ("forward", "backward", "update")


@dataclass(frozen=True)
class Round:
    """What one round says of a cell's steps, us.

    Attributes:
        step_us: mean of the timed fine-tuning's steps after the first epoch; a neighbour's load is in it.
        step_cpu_us: the same by the clock of this thread, which stands while others run.
        plain_us: a step of epochs without marks, the quickest of the turns.
        forward_us, backward_us, update_us: medians over the steps of the epochs with marks.
    """

    step_us: float
    step_cpu_us: float
    plain_us: float
    forward_us: float
    backward_us: float
    update_us: float


@dataclass
class Cell:
    """One row in the making."""

    dataset: str
    engine: str
    build: str | None
    method: str
    library: Library | None = None
    finetune_s: dict[int, float] = field(default_factory=dict)  # by round
    rounds: list[Round] = field(default_factory=list)
    cache_b: int | None = None
    peak_rss_b: int | None = None

    @property
    def slow(self) -> bool:
        """Runs in the first round only."""
        return self.engine != "native" or self.dataset == WIDE

    def median(self, key: str) -> float:
        """Over the rounds, of an attribute of :class:`Round`."""
        values: list[float] = [getattr(item, key) for item in self.rounds]
        return statistics.median(values)

    def session(self, task: Any) -> Any:
        """A fresh fine-tuning."""
        return session(self.engine, task, self.library.path if self.library else None)


def _stepping_methods() -> list[str]:
    """Return the MLP's methods that both engines train by gradients: neither the controls nor MeZO."""
    return [
        row.name
        for row in methods_table.METHODS
        if "mlp" in row.models and row.labels and row.gradient == methods_table.BACKWARD
    ]


class Bench:
    """The cells, the rounds and what they gave."""

    def __init__(
        self, sources: list[Source], engines: Iterable[str], builds: Iterable[str], optimizer: str = "sgd"
    ) -> None:
        self.optimizer = optimizer
        self.cases = {source.name: Cases(source) for source in sources}
        self.skipped: list[str] = []
        self.libraries: dict[str, Library] = {}
        self.peaks: dict[str, list[float]] = {}
        self.reads: dict[tuple[str, str], float] = {}
        self.cells = [
            cell for name in self.cases for engine in engines for cell in self._cells(name, engine, builds)
        ]
        self.rounds = 0

    def _cells(self, dataset: str, engine: str, builds: Iterable[str]) -> list[Cell]:
        names = list(WIDE_METHODS) if dataset == WIDE else _stepping_methods()
        if engine == "native":
            libraries = [(name, self._library(name)) for name in builds]
            return [Cell(dataset, engine, name, m, lib) for name, lib in libraries if lib for m in names]
        module = {"torch": "torch", "peft": "peft"}[engine]
        if importlib.util.find_spec(module) is None:
            self._skip(f"engine {engine}: {module} is not installed")
            return []
        if engine == "peft":
            return [] if dataset == WIDE else [Cell(dataset, engine, None, BASELINE)]
        return [Cell(dataset, engine, None, m) for m in names]

    def _skip(self, reason: str) -> None:
        if reason not in self.skipped:
            self.skipped.append(reason)

    def _library(self, name: str) -> Library | None:
        if name not in self.libraries:
            machine, cpuinfo = build.this_machine()
            try:
                best = build.variant_of(machine, cpuinfo)
                if BUILDS.index(name) > BUILDS.index(best):
                    self._skip(f"build {name}: this CPU runs {best} at most")
                    return None
                self.libraries[name] = Library(build.build(name).path)
            except (NativeError, ValueError) as error:
                self._skip(f"build {name}: {error}")
                return None
        return self.libraries[name]

    def run(self, rounds: int, progress: Any) -> None:
        """All rounds, then memory."""
        shuffle = random.Random(0).shuffle
        self.rounds = rounds
        for number in range(rounds):
            for name, cases in self.cases.items():
                self._measure_peaks()
                cells = [c for c in self.cells if c.dataset == name and (number == 0 or not c.slow)]
                shuffle(cells)
                for cell in cells:
                    progress(
                        f"round {number + 1}/{rounds} {name} {cell.engine} {cell.build or ''} {cell.method}"
                    )
                    finetune(cell, cases.task(cell.method, optimizer=self.optimizer), number)
        progress("memory")
        for engine in ENGINES:
            cells = [cell for cell in self.cells if cell.engine == engine]
            measure_memory(engine, cells, self.cases, self.optimizer)
        self._measure_reads()

    def _measure_peaks(self) -> None:
        for name, library in self.libraries.items():
            self.peaks.setdefault(name, []).append(library.peak(0.02).macs_per_s)

    def _measure_reads(self) -> None:
        """Read bandwidth at the size of each cached fine-tuning's samples and cache."""
        for cell in self.cells:
            key = (cell.build or "", cell.dataset)
            if cell.library and cell.cache_b and key not in self.reads:
                task = self.cases[cell.dataset].task(cell.method)
                size_b = 4 * task.data.need("finetune_x").size + cell.cache_b
                self.reads[key] = cell.library.peak(0.05, size_b).read_b_per_s

    # results -----------------------------------------------------------------------------------------------

    def row(self, cell: Cell) -> dict[str, Any]:
        """A cell's row: :data:`COLUMNS`."""
        step_us = cell.median("step_us")
        made = of_sample(self.cases[cell.dataset].task(cell.method).plan)
        macs = made.step * self._mean_batch(cell)
        gflops = 2e-3 * macs / step_us
        peak = max(self.peaks[cell.build]) if cell.build else None
        values = {
            "dataset": cell.dataset,
            "engine": cell.engine,
            "build": cell.build,
            "method": cell.method,
            "step_us": step_us,
            **{f"{name}_us": cell.median(f"{name}_us") for name in PHASES},
            "gflops": gflops,
            "peak_share": 5e8 * gflops / peak if peak else None,
            "finetune_s": statistics.median(cell.finetune_s.values()),
            "peak_rss_b": cell.peak_rss_b,
            "cache_b": cell.cache_b,
            "reduction_vs_lora_all": self._reduction(cell),
        }
        return {name: values[name] for name in COLUMNS}

    def _mean_batch(self, cell: Cell) -> float:
        task = self.cases[cell.dataset].task(cell.method)
        return float(task.n_train / task.steps_per_epoch)

    def _reduction(self, cell: Cell) -> float | None:
        for other in self.cells:
            same = (other.dataset, other.engine, other.build) == (cell.dataset, cell.engine, cell.build)
            if same and other.method == BASELINE:
                both = cell.finetune_s.keys() & other.finetune_s.keys()
                return statistics.median(1 - cell.finetune_s[n] / other.finetune_s[n] for n in both)
        return None

    def document(self) -> dict[str, Any]:
        """Everything, for ``--json``."""
        rows = [self.row(cell) for cell in self.cells]
        builds = [
            {
                "build": name,
                "peak_gflops": 2e-9 * max(self.peaks[name]),
                "record": library.record(),
            }
            for name, library in self.libraries.items()
        ]
        return {
            "schema": SCHEMA,
            "machine": {"cpu": _cpu(), "machine": platform.machine(), "python": platform.python_version()},
            "threads": 1,
            "optimizer": self.optimizer,
            "rounds": self.rounds,
            "builds": builds,
            "rows": rows,
            "phases": [
                {**_names(cell), "rounds": [asdict(item) for item in cell.rounds]} for cell in self.cells
            ],
            "memory_bound": [row for row in (self._reading(cell) for cell in self.cells) if row],
            "torch_mm_gflops": torch_mm_gflops(),
            "summary": summary(rows),
            "skipped": self.skipped,
        }

    def _reading(self, cell: Cell) -> dict[str, Any] | None:
        """Share of the read bandwidth that a cached step's samples take."""
        bandwidth = self.reads.get((cell.build or "", cell.dataset))
        if bandwidth is None or not cell.cache_b:
            return None
        task = self.cases[cell.dataset].task(cell.method)
        row_b = 4 * task.plan.graph.layers[0].channels_in + cell.cache_b / task.n_train
        step_b = row_b * self._mean_batch(cell)
        share = step_b / (cell.median("step_us") * 1e-6) / bandwidth
        return {**_names(cell), "step_b": step_b, "read_b_per_s": bandwidth, "read_share": share}


def _names(cell: Cell) -> dict[str, Any]:
    return {"dataset": cell.dataset, "engine": cell.engine, "build": cell.build, "method": cell.method}


def finetune(cell: Cell, task: Any, number: int) -> None:
    """One whole fine-tuning: its wall time, the mean of a step after the first epoch, and the phases of such steps."""
    gc.collect()  # before the session, not before the window: with torch loaded it would sweep the CPU's caches
    made = cell.session(task)
    epochs = task.spec.epochs
    if hasattr(made, "warm_up"):
        made.warm_up(task.spec.warmup_steps)  # on a throw-away copy, as before every measured window
    started = time.perf_counter()
    _train(made, 0, 1)
    first, first_cpu = time.perf_counter(), time.thread_time()
    _train(made, 1, epochs - 1)
    ended, ended_cpu = time.perf_counter(), time.thread_time()
    cell.finetune_s[number] = ended - started
    steps = (epochs - 1) * task.steps_per_epoch
    step_us, step_cpu_us = 1e6 * (ended - first) / steps, 1e6 * (ended_cpu - first_cpu) / steps
    cell.rounds.append(Round(step_us, step_cpu_us, **phases(made, task, step_us)))
    if hasattr(made, "facts"):
        cell.cache_b = made.facts()["cache_b"]


def _train(made: Any, first: int, count: int) -> None:
    if hasattr(made, "train_epochs"):
        made.train_epochs(first, count)
    else:
        for epoch in range(first, first + count):
            made.train_epoch(epoch, no_mark)


def phases(made: Any, task: Any, step_us: float) -> dict[str, float]:
    """Return the quickest plain step and medians of its phases, us: epochs without and with marks by turns.

    By turns, and in pieces so short that most of them see nothing of a neighbour, whatever else the machine does.

    Args:
        made: a session behind its first epoch.
        task: what it trains.
        step_us: of a step, about: the cheapest need several epochs a call, which itself costs some of them.
    """
    together = math.ceil(min(PLAIN_US / (step_us * task.steps_per_epoch), 8))
    events: list[tuple[int, str]] = []

    def mark(phase: str, t_ns: int | None = None) -> None:
        events.append((time.monotonic_ns() if t_ns is None else t_ns, phase))

    spent: dict[str, list[float]] = {name: [] for name in PHASES}
    plain: list[float] = []
    for epoch in range(1, 1 + PHASE_PAIRS):
        started_ns = time.perf_counter_ns()
        _train(made, epoch, together)
        plain.append((time.perf_counter_ns() - started_ns) / 1e3 / (together * task.steps_per_epoch))
        events.clear()
        made.train_epoch(epoch, mark)
        _add_steps(events, spent)
    medians = {f"{name}_us": statistics.median(values) for name, values in spent.items()}
    return {"plain_us": min(plain), **medians}


def _add_steps(events: list[tuple[int, str]], spent: dict[str, list[float]]) -> None:
    """Sum an epoch's phases by step; the last step's end is not marked, so it is left out."""
    step: dict[str, float] = {}
    for (t_ns, phase), (until_ns, after) in itertools.pairwise(events):
        name = phase if phase in spent else "forward"
        step[name] = step.get(name, 0.0) + (until_ns - t_ns) / 1e3
        if after == "gather":
            for key, value in step.items():
                spent[key].append(value)
            step = {}


def measure_memory(engine: str, cells: list[Cell], cases: dict[str, Cases], optimizer: str) -> None:
    """Peak memory of every cell, each in a process of its own."""
    if not cells:
        return
    lines = [
        json.dumps(
            {
                "source": asdict(cases[cell.dataset].source),
                "method": cell.method,
                "optimizer": optimizer,
                "library": cell.library.path if cell.library else None,
            }
        )
        for cell in cells
    ]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks.finetune_memory", engine],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    for cell, answer in zip(cells, made.stdout.split(), strict=True):
        cell.peak_rss_b = int(answer) or None


def torch_mm_gflops() -> float | None:
    """torch.mm of 20 x 561 x 96, best of several runs; None without torch."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(1)
    a, b = torch.randn(20, 561), torch.randn(561, 96)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            torch.mm(a, b)
        best = min(best, time.perf_counter() - started)
    return float(2e-9 * 100 * 20 * 561 * 96 / best)


def _cpu() -> str | None:
    for line in build.this_machine()[1].splitlines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return None


def sources(names: Iterable[str], cache_dir: Path) -> tuple[list[Source], list[str]]:
    """Artefacts of the data sets that can be had, and why others cannot."""
    from tunebench.workloads.datasets import DataUnavailable
    from tunebench.workloads.prepare.artefacts import PrepareError, prepare

    inputs, skipped = [], []
    for name in names:
        try:
            made = prepare("har-hapt" if name == WIDE else name, "mlp", cache_dir=cache_dir)
            inputs.append(Source(name, str(made.data), str(made.weights)))
        except (DataUnavailable, PrepareError) as error:
            skipped.append(f"data set {name}: {error}")
    return inputs, skipped


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--datasets", nargs="+", default=[*STUDY, WIDE], choices=[*STUDY, WIDE])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--builds", nargs="+", default=list(BUILDS), choices=BUILDS)
    parser.add_argument(
        "--optimizer", default="sgd", choices=OPTIMIZERS, help="rule of update, without decay or clip"
    )
    parser.add_argument("--cache-dir", type=Path, default=Path.home() / ".cache" / "tunebench" / "artefacts")
    args = parser.parse_args()
    inputs, skipped = sources(args.datasets, args.cache_dir)
    engines = [name for name in args.engines if name != "peft" or args.optimizer == "sgd"]
    if len(engines) < len(args.engines):
        skipped.append("engine peft: measured with --optimizer sgd only")
    bench = Bench(inputs, engines, args.builds, args.optimizer)
    bench.skipped += skipped
    quiet = not sys.stderr.isatty()
    bench.run(
        max(1, args.rounds), lambda text: None if quiet else print(f"\r\x1b[K{text}", end="", file=sys.stderr)
    )
    document = bench.document()
    print(json.dumps(document, indent=1) if args.json else table(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
