"""Orchestrators that compete for a farm's places: ``python -m benchmarks.farm_contention [--places 20] [--jobs 200]``.

Starts a real labgrid coordinator and two exporters, and orchestrators that are processes of their own, with as many
threads each as there are places. Every thread takes places by their tags, one after the other, and holds each for a
moment. Whether somebody else has it is told by something that labgrid does not know: a file that only one can make.
It ends with 1 if two had a place at one time, if a job was lost or done twice, or if a place is held at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.cpu_time import cpu_s
from tests.harness.farm.lab import Lab, add_place, until
from tunebench.harness.farm.labgrid_farm import LabgridFarm
from tunebench.harness.farm.provider import AnyOf, FarmError, Patience
from tunebench.targets.virtual.loopback import LoopbackServer

#: Kinds of boards, and how many of five are of each.
KINDS = ("rpi4", "rpi4", "rpi4", "orin", "orin")
_PATIENCE_S = 300.0


@dataclass(frozen=True)
class Contention:
    """What came of it.

    Attributes:
        overlaps: how often a place was given out that somebody had.
        jobs: done by each orchestrator.
        left_held: places that were held at the end.
        wait_s: median and 95th percentile of the time from asking to having.
        cpu_s: of all processes together.
    """

    places: int
    jobs: list[int]
    overlaps: int
    errors: list[str]
    left_held: int
    lasted_s: float
    wait_s: tuple[float, float]
    cpu_s: float

    @property
    def well(self) -> bool:
        """Tell whether nothing was lost, doubled, shared or left held."""
        return not (self.overlaps or self.errors or self.left_held)


def contend(folder: Path, *, places: int, jobs: int, orchestrators: int, hold_s: float) -> Contention:
    """Let orchestrators do so many jobs each."""
    before_s = cpu_s()
    with LoopbackServer() as ssh:
        lab = Lab(folder, ssh)
        try:
            lab.start_coordinator()
            for number, name in enumerate(("one", "two")):
                lab.start_exporter(name, boards=(places + 1 - number) // 2)
            farm = LabgridFarm(lab.address)
            for number in range(places):
                exporter = ("one", "two")[number % 2]
                kind = KINDS[number % len(KINDS)]
                add_place(farm, f"board-{number:02}", f"{exporter}/{exporter}-{number // 2}", board=kind)
            until(lambda: all(board.problem is None for board in farm.boards()), 60.0)
            begun_s = time.monotonic()
            words = ("-m", __spec__.name, "--worker", lab.address, str(folder), str(jobs), str(hold_s))
            processes = [
                subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
                for _ in range(orchestrators)
            ]
            ends = [json.loads(process.communicate()[0]) for process in processes]
            lasted_s = time.monotonic() - begun_s
            left_held = sum(board.owner is not None for board in farm.boards())
            farm._run(farm._connected().stop())
        finally:
            lab.end()
    waits_s = sorted(wait_s for end in ends for wait_s in end["waits_s"])
    errors = [error for end in ends for error in end["errors"]]
    if any(end["jobs"] != jobs for end in ends):
        errors.append(f"{[end['jobs'] for end in ends]} jobs were done, {jobs} each were asked for")
    return Contention(
        places,
        [end["jobs"] for end in ends],
        sum(end["overlaps"] for end in ends),
        errors,
        left_held,
        round(lasted_s, 2),
        (round(statistics.median(waits_s), 3), round(waits_s[int(0.95 * (len(waits_s) - 1))], 3)),
        round(cpu_s() - before_s, 1),
    )


def _orchestrate(address: str, folder: Path, jobs: int, hold_s: float) -> dict[str, object]:
    """Do so many jobs with a thread a place, and tell how that went."""
    farm = LabgridFarm(address)
    names: dict[str, tuple[str, ...]] = {}
    for board in farm.boards():
        kind = board.tags["board"]
        names[kind] = (*names.get(kind, ()), board.name)
    counter = itertools.count()
    guard = threading.Lock()
    counts: Counter[str] = Counter()
    waits_s: list[float] = []
    errors: list[str] = []

    def work() -> None:
        while (number := next(counter)) < jobs:
            kind = KINDS[number % len(KINDS)]
            asked_s = time.monotonic()
            try:
                ticket = farm.take(AnyOf(names[kind], (("board", kind),)), Patience(_PATIENCE_S))
            except FarmError as error:
                with guard:
                    errors.append(str(error))
                continue
            wait_s = time.monotonic() - asked_s
            mine = folder / f"{ticket.board}.taken"
            try:
                os.close(os.open(mine, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                overlap = False
                time.sleep(hold_s)
                mine.unlink()
            except FileExistsError:
                overlap = True
            farm.give(ticket)
            with guard:
                counts["jobs"] += 1
                counts["overlaps"] += overlap
                waits_s.append(wait_s)

    threads = [threading.Thread(target=work) for _ in range(sum(map(len, names.values())))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"jobs": counts["jobs"], "overlaps": counts["overlaps"], "waits_s": waits_s, "errors": errors[:5]}


def main() -> int:
    """Run it and print what came of it as JSON."""
    if sys.argv[1:2] == ["--worker"]:
        address, folder, jobs, hold_s = sys.argv[2:]
        print(json.dumps(_orchestrate(address, Path(folder), int(jobs), float(hold_s))))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--places", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=200, help="of each orchestrator")
    parser.add_argument("--orchestrators", type=int, default=2)
    parser.add_argument("--hold-s", type=float, default=0.1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tunebench-farm-") as name:
        contention = contend(
            Path(name),
            places=options.places,
            jobs=options.jobs,
            orchestrators=options.orchestrators,
            hold_s=options.hold_s,
        )
    print(json.dumps(asdict(contention), indent=2))
    return 0 if contention.well else 1


if __name__ == "__main__":
    sys.exit(main())
