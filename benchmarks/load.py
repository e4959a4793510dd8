"""What many boards cost the host: ``python -m benchmarks.load [--boards 1 4 16 64] [--display lines] [--leak 2000]``.

Each number of boards is one campaign in a process of its own, over real SSH to a loopback server that runs in another
process, a working directory for each board. The workload sleeps, so what the host spends is the harness's own. CPU
time is the host process's; that of the server and of the boards' agents is not in it. ``--leak`` runs so many
repetitions of an instant workload on 16 boards and watches threads, descriptors and memory on the way.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from tunebench.harness.artifacts.gather import gather
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.progress import LiveProgress, Observer, PlainLines
from tunebench.harness.config.inventory import Inventory, load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.plan import Plan, make_plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunWriter
from tunebench.reports.results.reader import RunReader
from tunebench.targets.transport.endpoint import Endpoint
from tunebench.targets.virtual.loopback import LoopbackServer

BOARDS = (1, 4, 16, 64)
SLEEP_S = 20.0
#: Of the CPU time of a repetition, over all numbers of boards.
FLAT = 0.20
MAX_PEAK_MIB = 400.0
LEAK_BOARDS = 16

_WORKLOAD = """
import time
from tunebench import marks

marks.window_start()
time.sleep({sleep_s!r})
marks.window_end()
marks.result(accuracy=1.0, before=0.5)
"""
_SUITE = """
[suite]
name = "load"
blocks = {blocks}
aa = false
instrumented = false

[[workload]]
label = "sleep"
command = ["python3", "sleep.py"]
files = ["sleep.py"]
"""


@dataclass
class Load:
    """What one campaign cost the host.

    Attributes:
        cpu_s: of a repetition, while all boards are at work: from the moment when each has finished its first one
            until the first board is through.
        display: ``lines``, as in logs and CI, or ``live``, the table of a terminal, redrawn each second.
        board_cpu_s: of a board beyond that: connecting, pushing, probing, and a share of what is paid once.
        threads, descriptors: (before, at most, after) the campaign.
    """

    boards: int
    display: str
    repetitions: int
    ok: int
    sleep_s: float
    wall_s: float
    cpu_s: float
    board_cpu_s: float
    peak_mib: float
    threads: tuple[int, int, int]
    descriptors: tuple[int, int, int]
    #: (repetitions done, threads, descriptors, resident MiB) on the way
    samples: list[tuple[int, int, int, float]]


def threads() -> int:
    """Of this process, as the kernel counts them."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def descriptors() -> int:
    """Open in this process, less the one that counts."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1


def resident_mib() -> float:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """The most memory that this process held; ``ru_maxrss`` would be the parent's, if that was larger when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class _Watch:
    """Passes on what a display is told, and takes the figures."""

    def __init__(self, plan: Plan, every: int, display: Observer) -> None:
        self._display = display
        self.note, self.left_out = display.note, display.left_out
        self.started, self.ended = display.started, display.ended
        self.samples: list[tuple[int, int, int, float]] = []
        self.most = (0, 0)
        #: (repetitions done, CPU seconds) when all boards had finished one, and when the first was through
        self.all_at_work: tuple[int, float] | None = None
        self.first_through: tuple[int, float] | None = None
        self._waiting = {board.id for board in plan.boards}
        self._left = Counter(planned.board_id for planned in plan.repetitions)
        self._every, self._n, self._count = every, 0, threading.Lock()

    def finished(self, planned: Planned, record: Repetition) -> None:
        self._display.finished(planned, record)
        with self._count:
            self._n += 1
            self._waiting.discard(planned.board_id)
            self._left[planned.board_id] -= 1
            now = (self._n, time.process_time())
            if not self._waiting and self.all_at_work is None:
                self.all_at_work = now
            if self._left[planned.board_id] == 0 and self.first_through is None:
                self.first_through = now
            self.most = (max(self.most[0], threads()), max(self.most[1], descriptors()))
            if self._n % self._every == 0:
                self.samples.append((self._n, threads(), descriptors(), resident_mib()))


def write_suite(folder: Path, blocks: int, sleep_s: float) -> Path:
    """Write a suite with one workload, which sleeps, and return its file."""
    (folder / "sleep.py").write_text(_WORKLOAD.format(sleep_s=sleep_s))
    path = folder / "suite.toml"
    path.write_text(_SUITE.format(blocks=blocks))
    return path


@contextlib.contextmanager
def shown(display: str, plan: Plan) -> Iterator[Observer]:
    """What a user would see, drawn into memory."""
    if display == "lines":
        yield PlainLines(Console(file=io.StringIO(), width=120), plan)
        return
    with LiveProgress(Console(file=io.StringIO(), force_terminal=True, width=120), plan) as live:
        yield live


def run_campaign(lab: Inventory, folder: Path, blocks: int, sleep_s: float, display: str) -> Load:
    """One campaign in this process, which must have done nothing before: its peak is the campaign's."""
    suite = load_suite(str(write_suite(folder, blocks, sleep_s)))
    plan = make_plan(suite, lab.boards, run_id="load", lab="bench")
    before = (threads(), descriptors())
    begun_s, begun_cpu_s = time.monotonic(), time.process_time()
    with (
        RunWriter.create(folder / "results", "bench", plan.run_id, plan.as_dict()) as writer,
        shown(display, plan) as observer,
    ):
        watch = _Watch(plan, max(1, len(plan.repetitions) // 20), observer)
        Campaign(plan, gather(suite), writer, watch).run()
    wall_s, whole_cpu_s = time.monotonic() - begun_s, time.process_time() - begun_cpu_s
    highest_mib = peak_mib()
    gc.collect()
    time.sleep(1.0)  # threads of closed connections end by themselves
    records = RunReader(writer.path).repetitions
    if watch.all_at_work is None or watch.first_through is None or watch.first_through <= watch.all_at_work:
        raise SystemExit("the boards were never all at work: give more --blocks")
    (n0, cpu0_s), (n1, cpu1_s) = watch.all_at_work, watch.first_through
    cpu_s = (cpu1_s - cpu0_s) / (n1 - n0)
    return Load(
        boards=len(lab.boards),
        display=display,
        repetitions=len(records),
        ok=sum(record.outcome == "ok" for record in records),
        sleep_s=sleep_s,
        wall_s=wall_s,
        cpu_s=cpu_s,
        board_cpu_s=(whole_cpu_s - cpu_s * len(records)) / len(lab.boards),
        peak_mib=highest_mib,
        threads=(before[0], watch.most[0], threads()),
        descriptors=(before[1], watch.most[1], descriptors()),
        samples=watch.samples,
    )


def serve() -> None:
    """The loopback server alone: prints its endpoint, ends with its standard input."""
    with LoopbackServer() as server:
        print(json.dumps(asdict(server.endpoint)), flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def server() -> Iterator[Endpoint]:
    """A loopback server in another process."""
    command = [sys.executable, "-c", "from benchmarks.load import serve; serve()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            known = json.loads(process.stdout.readline())
            yield Endpoint(**{**known, "timeouts": Endpoint("").timeouts})
        finally:
            process.communicate()


def inventory(end: Endpoint, folder: Path, boards: int) -> str:
    """So many boards, all of them this machine, each with a folder of its own."""
    entries = [
        f'[[board]]\nid = "b{number:02d}"\nkind = "linux"\nhost = "{end.host}"\nport = {end.port}\n'
        f'user = "{end.user}"\nkey = "{end.key_file}"\nknown_hosts = "{end.known_hosts}"\n'
        f'python = "{sys.executable}"\ninterpreter = "{sys.executable}"\ngates = "warn"\n'
        f'workdir = "{folder}/boards/b{number:02d}"\n'
        # All boards and the server share this machine's cores: a board that waits for one is not a dead link.
        "timeouts = { connect_s = 60.0, banner_s = 60.0, auth_s = 60.0, channel_s = 60.0, command_s = 120.0 }\n"
        for number in range(boards)
    ]
    return "\n".join(entries)


def measure(boards: int, blocks: int, sleep_s: float, display: str = "lines") -> Load:
    """A campaign in a fresh process."""
    with server() as end, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lab.toml").write_text(inventory(end, folder, boards))
        command = [
            sys.executable,
            "-m",
            "benchmarks.load",
            "--one",
            str(folder),
            str(blocks),
            str(sleep_s),
            display,
        ]
        answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return Load(**json.loads(answer))


def row(cost: Load) -> str:
    """One line of the table."""
    (t0, t1, t2), (d0, d1, d2) = cost.threads, cost.descriptors
    return (
        f"| {cost.boards} | {cost.display} | {cost.ok} of {cost.repetitions} | {cost.wall_s:.0f} s | "
        f"{cost.cpu_s:.3f} s | {cost.board_cpu_s:.3f} s | {cost.peak_mib:.0f} MiB | "
        f"{t0} / {t1} / {t2} | {d0} / {d1} / {d2} |"
    )


HEAD = (
    "| boards | display | repetitions ok | wall | host CPU a repetition | host CPU a board beside "
    "| peak memory of the host | threads before / most / after | descriptors before / most / after |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--boards", type=int, nargs="+", default=list(BOARDS))
    parser.add_argument("--blocks", type=int, default=8, help="repetitions a board; default 8")
    parser.add_argument("--sleep-s", type=float, default=SLEEP_S)
    parser.add_argument("--display", choices=["lines", "live"], nargs="+", default=["lines"])
    parser.add_argument("--leak", type=int, metavar="N", help="only: N repetitions, sampled on the way")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--one", nargs=4, metavar=("FOLDER", "BLOCKS", "SLEEP_S", "DISPLAY"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.one:
        folder, blocks, sleep_s = Path(options.one[0]), int(options.one[1]), float(options.one[2])
        lab = load_inventory(folder / "lab.toml")
        print(json.dumps(asdict(run_campaign(lab, folder, blocks, sleep_s, options.one[3]))))
        return 0
    said = sys.stderr if options.json else sys.stdout
    print(HEAD, file=said, flush=True)
    measured = []
    if options.leak:
        measured.append(measure(LEAK_BOARDS, -(-options.leak // LEAK_BOARDS), 0.0))
        print(row(measured[0]), file=said)
        for done, n_threads, n_descriptors, mib in measured[0].samples:
            print(
                f"  after {done} repetitions: {n_threads} threads, {n_descriptors} descriptors, {mib:.0f} MiB",
                file=said,
            )
    else:
        for display in options.display:
            costs = []
            for boards in options.boards:
                measured.append(measure(boards, options.blocks, options.sleep_s, display))
                costs.append(measured[-1].cpu_s)
                print(row(measured[-1]), file=said, flush=True)
            spread = max(costs) / min(costs) - 1
            print(
                f"{display}: host CPU a repetition differs by {spread:.0%} (target < {FLAT:.0%})", file=said
            )
    print(
        f"peak memory {max(cost.peak_mib for cost in measured):.0f} MiB (target < {MAX_PEAK_MIB:.0f})",
        file=said,
    )
    if options.json:
        print(json.dumps({"load": [asdict(cost) for cost in measured]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
