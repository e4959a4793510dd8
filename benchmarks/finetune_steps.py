"""Fine-tuning on both engines: ``python -m benchmarks.finetune_steps [--json]``; one thread, one process.

Data sets and methods of the Skip2-LoRA study, engines ``torch``, ``native`` (x86 builds ``x86-64``: 128 bits
wide, ``v3``, ``v4``) and ``peft`` (LoRA-All only), and ``mlp-1024``, which is bound by arithmetic. Every round
runs whole fine-tunings of all cells in random order; torch and peft, which are slow, run in the first round only.

Columns and keys of ``rows``: ``finetune_s`` is the wall time of the whole fine-tuning, cache fill included
(median of the rounds); ``step_us`` a step after the first epoch; ``forward_us`` (with gathering and loss),
``backward_us``, ``update_us`` medians of an instrumented run of its own (native's updates include the weights'
gradients, which are made and applied at once); ``gflops`` from the plan's multiply-adds; ``peak_share`` against
the same build's multiply-adds from registers alone, measured in each round; ``reduction_vs_lora_all`` is
1 - finetune_s / finetune_s of LoRA-All on the same engine and build, paired by round, median. What was not
measured is null.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
import json
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

SCHEMA = "tunebench.finetune_steps/1"
ENGINES = ("torch", "native", "peft")
BUILDS = ("x86-64", "v3", "v4")
PHASE_EPOCHS = 4


@dataclass
class Cell:
    """One row in the making."""

    dataset: str
    engine: str
    build: str | None
    method: str
    library: Library | None = None
    finetune_s: dict[int, float] = field(default_factory=dict)  # by round
    step_us: list[float] = field(default_factory=list)
    phases_us: dict[str, float] = field(default_factory=dict)
    cache_b: int | None = None
    peak_rss_b: int | None = None

    @property
    def slow(self) -> bool:
        """Runs in the first round only."""
        return self.engine != "native" or self.dataset == WIDE

    def session(self, task: Any) -> Any:
        """A fresh fine-tuning."""
        return session(self.engine, task, self.library.path if self.library else None)


class Bench:
    """The cells, the rounds and what they gave."""

    def __init__(self, sources: list[Source], engines: Iterable[str], builds: Iterable[str]) -> None:
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
        names = list(WIDE_METHODS) if dataset == WIDE else methods_table.methods_of("mlp")
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
        """All rounds, then phases and memory."""
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
                    finetune(cell, cases.task(cell.method), number)
        progress("phases")
        for cell in self.cells:
            cell.phases_us = phases(cell, self.cases[cell.dataset])
        progress("memory")
        for engine in ENGINES:
            measure_memory(engine, [cell for cell in self.cells if cell.engine == engine], self.cases)
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
        step_us = statistics.median(cell.step_us)
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
            **{f"{name}_us": cell.phases_us.get(name) for name in ("forward", "backward", "update")},
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
            "rounds": self.rounds,
            "builds": builds,
            "rows": rows,
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
        share = step_b / (statistics.median(cell.step_us) * 1e-6) / bandwidth
        names = {"dataset": cell.dataset, "build": cell.build, "method": cell.method}
        return {**names, "step_b": step_b, "read_b_per_s": bandwidth, "read_share": share}


def finetune(cell: Cell, task: Any, number: int) -> None:
    """One whole fine-tuning: its wall time, and the mean of a step after the first epoch."""
    gc.collect()  # before the session, not before the window: with torch loaded it would sweep the CPU's caches
    made = cell.session(task)
    epochs = task.spec.epochs
    if hasattr(made, "warm_up"):
        made.warm_up(task.spec.warmup_steps)  # on a throw-away copy, as before every measured window
    started = time.perf_counter()
    _train(made, 0, 1)
    first = time.perf_counter()
    _train(made, 1, epochs - 1)
    ended = time.perf_counter()
    cell.finetune_s[number] = ended - started
    cell.step_us.append(1e6 * (ended - first) / ((epochs - 1) * task.steps_per_epoch))
    if hasattr(made, "facts"):
        cell.cache_b = made.facts()["cache_b"]


def _train(made: Any, first: int, count: int) -> None:
    if hasattr(made, "train_epochs"):
        made.train_epochs(first, count)
    else:
        for epoch in range(first, first + count):
            made.train_epoch(epoch, no_mark)


def phases(cell: Cell, cases: Cases) -> dict[str, float]:
    """Median time of forward, backward and update over the steps behind the first epoch, us."""
    task = cases.task(cell.method, epochs=PHASE_EPOCHS)
    made = cell.session(task)
    events: list[tuple[int, str]] = []

    def mark(phase: str, t_ns: int | None = None) -> None:
        events.append((time.monotonic_ns() if t_ns is None else t_ns, phase))

    made.train_epoch(0, no_mark)
    spent: dict[str, list[float]] = {"forward": [], "backward": [], "update": []}
    for epoch in range(1, PHASE_EPOCHS):
        events.clear()
        made.train_epoch(epoch, mark)
        _add_steps(events, spent)
    return {name: statistics.median(values) for name, values in spent.items()}


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


def measure_memory(engine: str, cells: list[Cell], cases: dict[str, Cases]) -> None:
    """Peak memory of every cell, each in a process of its own."""
    if not cells:
        return
    lines = [
        json.dumps(
            {
                "source": asdict(cases[cell.dataset].source),
                "method": cell.method,
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
    parser.add_argument("--cache-dir", type=Path, default=Path.home() / ".cache" / "tunebench" / "artefacts")
    args = parser.parse_args()
    inputs, skipped = sources(args.datasets, args.cache_dir)
    bench = Bench(inputs, args.engines, args.builds)
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
