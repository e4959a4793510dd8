"""Kill a writer before each of its system calls, and cut the power at each: count what is lost.

python -m tests.crash_states [--json] [--only NAME] [--careless]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.crash_states.disk import Disk, Tree
from tests.crash_states.scenarios import SCENARIOS, Scenario
from tests.crash_states.tracing import Event, kill_before, record

SHOWN = 5


@dataclass
class Tally:
    """Counts of one scenario: the states that were tried, and those in which something was lost.

    Attributes:
        kills: how often a writer was killed, each time before another system call.
        cuts: how many different trees a power cut may leave.
        lost: states with an acknowledged record missing, or that could not be read or continued.
        examples: some of what was lost.
    """

    scenario: str
    system_calls: int = 0
    changes: int = 0
    kills: int = 0
    cuts: int = 0
    lost: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    def judge(self, scenario: Scenario, folder: Path, acknowledged: Collection[str], what: str) -> None:
        """Count a state as lost if it breaks a promise, and keep the first few of them as examples."""
        losses = scenario.lost(folder, acknowledged)
        self.lost += bool(losses)
        if losses and len(self.examples) < SHOWN:
            self.examples.append(
                f"{what}, acknowledged {list(acknowledged)}: {'; '.join(losses)}".replace(str(folder), "")
            )


def try_all(scenario: Scenario, work: Path) -> Tally:
    """Try every kill and every power cut of one scenario; return the counts."""
    tally, begun_s = Tally(scenario.name), time.monotonic()
    base = _fresh(work / "recorded", scenario)
    before = read_tree(base)
    events, tally.system_calls = record(lambda tell: scenario.work(base, tell), base)
    tally.changes = len(events)
    _cut_power(scenario, work, (before, events, base), tally)
    _kill(scenario, work, tally)
    tally.seconds = time.monotonic() - begun_s
    return tally


def _kill(scenario: Scenario, work: Path, tally: Tally) -> None:
    n, killed = 1, True
    while killed:
        folder = _fresh(work / "killed", scenario)
        acknowledged, killed = kill_before(lambda tell, here=folder: scenario.work(here, tell), n)
        tally.judge(scenario, folder, [*scenario.given, *acknowledged], f"killed before call {n}")
        tally.kills += killed
        n += 1


def _cut_power(
    scenario: Scenario, work: Path, recorded: tuple[Tree, list[Event], Path], tally: Tally
) -> None:
    before, events, base = recorded
    seen: set[bytes] = set()
    for number, acknowledged, tree in _states(before, events, base, scenario.given):
        digest = hashlib.sha256(repr((sorted(tree.items()), acknowledged)).encode()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        folder = work / "cut"
        write_tree(folder, tree)
        tally.judge(scenario, folder, acknowledged, f"power cut after change {number}")
    tally.cuts = len(seen)


def _states(
    before: Tree, events: list[Event], base: Path, given: tuple[str, ...]
) -> Iterator[tuple[int, tuple[str, ...], Tree]]:
    disk, acknowledged = Disk(before), given
    for number, event in enumerate(events, start=1):
        if event.kind == "ack":
            acknowledged = (*acknowledged, event.data.decode().strip())
        else:
            disk.follow(_relative(event, base))
        for tree in disk.after_power_cut():
            yield number, acknowledged, tree
    if disk.now() != read_tree(base):
        raise RuntimeError(
            "the recorded changes do not make the tree that was written: a call was overlooked"
        )


def _relative(event: Event, base: Path) -> Event:
    def name(path: str) -> str:
        return Path(path).relative_to(base).as_posix() if path else ""

    return Event(event.kind, name(event.path), event.data, event.offset, name(event.target))


def _fresh(folder: Path, scenario: Scenario) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    scenario.prepare(folder)
    return folder


def read_tree(folder: Path) -> Tree:
    """Return everything below a folder: path -> bytes, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def write_tree(folder: Path, tree: Tree) -> None:
    """Write a tree into an empty folder: the reverse of :func:`read_tree`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path, data in sorted(tree.items()):
        if data is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(data)


def main() -> int:
    """Print the table; return 1 if anything was lost, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash_states", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", metavar="NAME", help="scenarios whose name contains this")
    parser.add_argument(
        "--careless", action="store_true", help="a writer without fsync: losses must be found"
    )
    asked = parser.parse_args()
    if asked.careless:
        os.fsync = lambda fd: None
    chosen = [scenario for scenario in SCENARIOS if not asked.only or asked.only in scenario.name]
    # In memory where that can be had: the states are made up, and a real fsync each time would only cost minutes.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="crash-states-", dir=memory) as work:
        tallies = [try_all(scenario, Path(work)) for scenario in chosen]
    if asked.json:
        print(json.dumps({"scenarios": [asdict(tally) for tally in tallies]}, indent=1))
    else:
        _print(tallies)
    return 1 if any(tally.lost for tally in tallies) else 0


def _print(tallies: list[Tally]) -> None:
    print(f"{'scenario':30}{'system calls':>14}{'kills':>8}{'power cuts':>12}{'lost':>6}{'s':>7}")
    for tally in tallies:
        print(
            f"{tally.scenario:30}{tally.system_calls:14}{tally.kills:8}{tally.cuts:12}{tally.lost:6}{tally.seconds:7.1f}"
        )
        for example in tally.examples:
            print(f"    {example}")
    kills, cuts, lost = (sum(getattr(tally, name) for tally in tallies) for name in ("kills", "cuts", "lost"))
    print(f"{kills + cuts} states ({kills} kills, {cuts} power cuts), {lost} with a loss")


if __name__ == "__main__":
    sys.exit(main())
