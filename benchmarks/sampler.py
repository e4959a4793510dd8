"""What sampling costs the workload: ``python -m benchmarks.sampler [--json]``.

A fixed piece of work runs under the real supervisor with the sampler off and at 5 and 10 Hz, on this machine's own
sensors and on a simulated Jetson's, in random order within each block. Supervisor and workload share ONE core: with
a free second core the cost would be hidden there. Printed: the workload's time against the off run of its block (ratio
with its interval), the same of the CPU time of both together, and the sampler's CPU seconds per second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.boards import trees
from tunebench.reports.stats.paired import compare
from tunebench.targets.agent.job import lifecycle, state
from tunebench.targets.agent.workdir import Workdir
from tunebench.targets.payload import make_payload

#: No sample falls into a run with this period, but one at its start and one at its end.
OFF_S = 60.0
LIMIT = 0.01
#: Arithmetic that fits the cache, then a walk through memory that does not: a sampler disturbs both.
_WORK = """
import json, sys, time
rounds = int(sys.argv[1])
block = bytearray(4 << 20)
def work(n):
    total = 0
    for i in range(n):
        for j in range(2000):
            total = (total * 31 + j) & 0xFFFFFFFF
        block[(i * 4096) % len(block)] = total & 255
    return total
work(rounds // 20)
start, cpu = time.monotonic(), time.process_time()
work(rounds)
print(json.dumps({"wall_s": time.monotonic() - start, "cpu_s": time.process_time() - cpu}))
"""
_OWNER = {"user": "bench", "host": "here", "pid": 0, "token": "bench"}


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """What is started here runs on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_once(
    place: Workdir, payload: str, rep_id: str, *, root: str, period_s: float, rounds: int
) -> dict[str, Any]:
    """One run under the supervisor; what the workload says of itself, and the sampler's part of the exit record."""
    job = {
        "schema": "tunebench.job/1",
        "rep_id": rep_id,
        "run_id": "bench",
        "owner": _OWNER,
        "argv": [sys.executable, "-S", "-c", _WORK, str(rounds)],
        "blobs": {"payload": payload},
        "deadline_s": 300.0,
        "lease_s": 300.0,
        "sampling": {"period_s": period_s},
        "root": root,
    }
    core = max(os.sched_getaffinity(0))
    with _on_core(core):
        lifecycle.start(place, job)
    if state.wait(place.job(rep_id), 300.0) != "done":
        raise SystemExit(f"{rep_id} did not end")
    folder = Path(place.job(rep_id))
    ended = json.loads((folder / "exit.json").read_text())
    if ended["outcome"] != "ok":
        raise SystemExit(f"{rep_id}: {ended['reason']}")
    timing = json.loads((folder / "log.txt").read_text().splitlines()[-1])
    lifecycle.clean(place, rep_id)
    return {
        "wall_s": timing["wall_s"],
        "both_cpu_s": timing["cpu_s"] + ended["sampler"]["cpu_s"],
        "sampler_cpu_s": ended["sampler"]["cpu_s"],
        "process_s": ended["process_s"],
        "n": ended["sampler"]["n"],
        "max_gap_s": ended["sampler"]["max_gap_s"],
    }


def _rounds(seconds: float) -> int:
    """How much work takes about so long here."""
    sample = 400
    start = time.monotonic()
    total = 0
    for _ in range(sample):
        for j in range(2000):
            total = (total * 31 + j) & 0xFFFFFFFF
    return max(20, int(sample * seconds / (time.monotonic() - start)))


def measure(blocks: int, seconds: float, board: str) -> list[dict[str, Any]]:
    """All arms, interleaved; a row an arm."""
    with tempfile.TemporaryDirectory() as folder:
        tree = str(trees.BOARDS[board](Path(folder) / "tree"))
        place = Workdir(str(Path(folder) / "work"))
        for part in (place.root, place.blobs, place.jobs):
            Path(part).mkdir(mode=0o700)
        blob = make_payload()
        (Path(place.blobs) / blob.name).write_bytes(blob.data or b"")
        arms = {
            ("this machine", "off"): ("/", OFF_S),
            ("this machine", "5 Hz"): ("/", 0.2),
            ("this machine", "10 Hz"): ("/", 0.1),
            (board, "5 Hz"): (tree, 0.2),
            (board, "10 Hz"): (tree, 0.1),
        }
        rounds, runs = _rounds(seconds), {arm: [] for arm in arms}  # type: dict[tuple[str, str], list[dict[str, Any]]]
        shuffle = random.Random(7)
        for block in range(blocks + 1):
            order = shuffle.sample(sorted(arms), len(arms))
            for arm in order:
                root, period_s = arms[arm]
                rep_id = f"{block}-{order.index(arm)}"
                run = run_once(place, blob.name, rep_id, root=root, period_s=period_s, rounds=rounds)
                if block:  # the first block warms the machine up
                    runs[arm].append(run)
    return [_row(arm, kept, runs["this machine", "off"]) for arm, kept in runs.items()]


def _row(arm: tuple[str, str], kept: list[dict[str, Any]], off: list[dict[str, Any]]) -> dict[str, Any]:
    def ratio(key: str) -> list[float] | None:
        if kept is off:
            return None
        comparison = compare([run[key] for run in off], [run[key] for run in kept], delta=LIMIT)
        return [comparison.ratio, comparison.low, comparison.high]

    return {
        "sensors": arm[0],
        "sampling": arm[1],
        "n": len(kept),
        "wall_median_s": statistics.median(run["wall_s"] for run in kept),
        "wall_ratio": ratio("wall_s"),
        "cpu_ratio": ratio("both_cpu_s"),
        "sampler_cpu_share": statistics.median(run["sampler_cpu_s"] / run["process_s"] for run in kept),
        "samples_median": statistics.median(run["n"] for run in kept),
        "max_gap_s": max(run["max_gap_s"] or 0.0 for run in kept),
    }


def table(rows: list[dict[str, Any]]) -> str:
    heads = (
        "sensors",
        "sampling",
        "n",
        "wall",
        "wall, against off",
        "CPU of both, against off",
        "sampler CPU",
        "samples",
    )
    lines = ["{:<16}{:<9}{:>3}{:>10}{:>27}{:>27}{:>13}{:>9}".format(*heads)]
    for row in rows:
        ratios = [
            "" if row[key] is None else "{:.4f} [{:.4f}, {:.4f}]".format(*row[key])
            for key in ("wall_ratio", "cpu_ratio")
        ]
        share = f"{100 * row['sampler_cpu_share']:.2f} %"
        lines.append(
            f"{row['sensors']:<16}{row['sampling']:<9}{row['n']:>3}{row['wall_median_s']:>8.3f} s{ratios[0]:>27}"
            f"{ratios[1]:>27}{share:>13}{row['samples_median']:>9.0f}"
        )
    lines.append(
        "Supervisor and workload on one core. CPU of both: what the wall time would be had they the core to\n"
        "themselves (others on this machine move the wall time, hardly this). Sampler CPU: the supervisor's CPU seconds\n"
        f"per second of the run, its start and end included. Claim: at 10 Hz at most {1 + LIMIT:.2f} times the time."
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of the work")
    parser.add_argument(
        "--board", default="orin-nano-jp6", help="the simulated board (tests/boards/trees.py)"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = measure(args.blocks, args.seconds, args.board)
    print(json.dumps(rows, indent=2) if args.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
