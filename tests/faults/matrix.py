"""The fault matrix: every fault several times, scenes side by side, and the table of their accounts."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from tests.faults.accounting import Account, Counts
from tests.faults.play import play
from tests.faults.scene import Fault

#: Of those that take longer than 20 s.
COSTLY_RUNS = 5
#: A moment may come too late to meet anything; then another is tried.
TRIES = 4
SHOWN = 4


@dataclass
class Tally(Counts):
    """The sum of the runs of one fault.

    Attributes:
        planned: how many runs were asked for; fewer are counted where the command was interrupted.
    """

    name: str
    family: str
    planned: int = 1
    runs: int = 0
    completed: int = 0
    restarted: int = 0
    missed: int = 0
    longest_s: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, account: Account) -> None:
        """Count a run."""
        self.runs += 1
        self.completed += account.completed
        self.count(account)
        self.restarted += account.starts > 1
        self.longest_s = max(self.longest_s, account.seconds)
        if not account.clean and len(self.findings) < SHOWN:
            self.findings.append("\n".join(account.findings))

    @property
    def clean(self) -> bool:
        """Tell whether every run was complete, and nothing was lost, doubled, left behind or without its log."""
        return self.runs > 0 and self.completed == self.runs and self.nothing_amiss


@dataclass
class Matrix:
    """What was asked for, and the tallies of it."""

    seed: int
    calm: Tally
    calm_s: float
    tallies: list[Tally]
    not_producible: dict[str, str]
    not_asked: list[str] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Tell whether everything was run and is as it should be."""
        return not self.interrupted and self.calm.clean and all(tally.clean for tally in self.tallies)

    def as_json(self) -> dict[str, Any]:
        """Return the matrix as JSON for scripts."""
        return {
            "seed": self.seed,
            "calm_s": round(self.calm_s, 2),
            "seconds": round(self.seconds, 1),
            "interrupted": self.interrupted,
            "clean": self.clean,
            "faults": [_row(tally) for tally in [self.calm, *self.tallies]],
            "not_producible": [{"name": name, "reason": why} for name, why in self.not_producible.items()],
            "not_asked": self.not_asked,
        }


def _row(tally: Tally) -> dict[str, Any]:
    return {**tally.__dict__, "longest_s": round(tally.longest_s, 1)}


class Calm(Fault):
    """No fault at all: what the account of an undisturbed campaign says, and how long it takes."""

    name = "calm"
    family = "none"


def run(faults: Sequence[Fault], *, repeat: int, jobs: int, seed: int, keep: bool = False) -> Matrix:
    """Run them all; progress goes to stderr. Ctrl-C ends it early with what was counted until then."""
    began_s = time.monotonic()
    calm = play(Calm(), seed, 0.0, keep)
    calm_tally = Tally(Calm.name, Calm.family)
    calm_tally.add(calm)
    _tell(f"calm: {calm.campaign_s:.1f} s, {'ok' if calm.clean else calm.findings}")
    not_producible = {fault.name: reason for fault in faults if (reason := fault.impossible())}
    for name, reason in not_producible.items():
        _tell(f"{name}: cannot be produced here: {reason}")
    chosen = [fault for fault in faults if fault.name not in not_producible]
    tallies = [Tally(fault.name, fault.family, runs_of(fault, repeat)) for fault in chosen]
    matrix = Matrix(seed, calm_tally, calm.campaign_s, tallies, not_producible)
    _Runs(matrix, chosen, repeat, keep).all_of_them(jobs)
    matrix.seconds = time.monotonic() - began_s
    return matrix


class _Runs:
    """The runs of a matrix, several at a time."""

    def __init__(self, matrix: Matrix, faults: Sequence[Fault], repeat: int, keep: bool) -> None:
        self._matrix, self._keep, self._repeat = matrix, keep, repeat
        self._faults = {fault.name: fault for fault in faults}
        self._tallies = {tally.name: tally for tally in matrix.tallies}
        self._lock = threading.Lock()

    def all_of_them(self, jobs: int) -> None:
        """Run to the last one, or to Ctrl-C: then runs under way end and are not counted."""
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            futures = [pool.submit(self._one, fault, n) for fault, n in self._in_order()]
            try:
                for future in futures:
                    future.result()
            except KeyboardInterrupt:
                with self._lock:
                    self._matrix.interrupted = True
                _tell("interrupted: waiting for the runs under way to end")
                pool.shutdown(wait=True, cancel_futures=True)

    def _in_order(self) -> Iterator[tuple[Fault, int]]:
        """Yield the runs round after round, in each round the long ones first: others run while they wait."""
        faults = sorted(self._faults.values(), key=lambda fault: -fault.limit_s)
        for number in range(1, self._repeat + 1):
            for fault in faults:
                if number <= runs_of(fault, self._repeat):
                    yield fault, number

    def _one(self, fault: Fault, number: int) -> None:
        account, missed = _struck(
            fault, f"{self._matrix.seed}/{fault.name}/{number}", self._matrix.calm_s, self._keep
        )
        with self._lock:
            if self._matrix.interrupted:
                return
            tally = self._tallies[fault.name]
            tally.missed += missed
            tally.add(account)
            outcome = "ok" if account.clean else "NOT CLEAN: " + "; ".join(account.findings)
            _tell(f"{self._so_far()} {fault.name}: {account.seconds:.1f} s, {outcome}")

    def _so_far(self) -> str:
        tallies = self._matrix.tallies
        runs, planned = sum(tally.runs for tally in tallies), sum(tally.planned for tally in tallies)
        lost, doubled = sum(tally.lost for tally in tallies), sum(tally.doubled for tally in tallies)
        left = sum(tally.left_behind for tally in tallies)
        return f"[{runs}/{planned}, lost {lost}, doubled {doubled}, left {left}]"


def runs_of(fault: Fault, repeat: int) -> int:
    """Return how often a fault is tried."""
    return min(repeat, COSTLY_RUNS) if fault.costly else repeat


def _struck(fault: Fault, seed: str, calm_s: float, keep: bool) -> tuple[Account, int]:
    """Return the account of a run in which the fault met the campaign, and how many moments before it came too late."""
    for missed in range(TRIES):
        number = random.Random(f"{seed}/{missed}").getrandbits(32)
        # The machine may have been busier when nothing happened: look earlier each time.
        account = play(fault, number, calm_s * 0.6**missed, keep)
        if account.struck or not account.clean:
            return account, missed
    account.completed = False
    account.findings.append(f"none of {TRIES} moments met the campaign")
    return account, TRIES


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def text(matrix: Matrix) -> str:
    """Return the table."""
    columns = (
        "runs",
        "completed",
        "lost",
        "doubled",
        "left_behind",
        "unlogged",
        "repeated",
        "spoilt",
        "skipped",
    )
    head = f"{'fault':30}" + "".join(f"{name:>12}" for name in columns) + f"{'longest, s':>12}"
    lines = [head]
    for tally in [matrix.calm, *matrix.tallies]:
        values = "".join(f"{getattr(tally, name):>12}" for name in columns)
        lines.append(f"{tally.name:30}{values}{tally.longest_s:>12.1f}")
        lines += [f"    {line}" for finding in tally.findings for line in finding.splitlines()]
    lines += [f"cannot be produced here: {name}: {why}" for name, why in matrix.not_producible.items()]
    if matrix.not_asked:
        lines.append(f"not asked for: {', '.join(matrix.not_asked)}")
    runs, planned = (
        sum(tally.runs for tally in matrix.tallies),
        sum(tally.planned for tally in matrix.tallies),
    )
    early = f" (interrupted, {planned} were asked for)" if matrix.interrupted else ""
    lines.append(f"{runs} runs{early} of {len(matrix.tallies)} faults in {matrix.seconds / 60:.1f} minutes,"
                 f" seed {matrix.seed}: " + ("all clean" if matrix.clean else "NOT CLEAN"))  # fmt: skip
    return "\n".join(lines)
