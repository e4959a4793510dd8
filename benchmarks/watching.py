"""What watchers cost a campaign: ``python -m benchmarks.watching [--boards 16] [--rounds 10] [--browsers 20]``.

One campaign on so many loopback boards over real SSH, in a process of its own; the workload sleeps. While it runs, phases
come one after the other, in an order that changes from round to round: nobody watches; ``tunebench watch`` in a terminal;
``tunebench watch --web`` with so many browsers' streams. The campaign's process notes its own CPU time at each record, so
a phase has the CPU seconds of a repetition, and a round the ratios of its phases. What the watchers use is told beside.
It ends with 1 if a repetition failed or a stream brought nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import pty
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from scipy import stats

from benchmarks.load import inventory, server, write_suite
from tunebench.harness.artifacts.gather import gather
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.progress import PlainLines
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.plan import make_plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunReader, RunWriter

FORMS = ("nobody", "terminal", "browsers")
#: Starting a watcher takes CPU of its own; a phase is measured once it watches.
SETTLE_S = 5.0
_START_S = 300.0
_WATCHER_START_S = 5.0


@dataclass(frozen=True)
class Cost:
    """What a form of watching did to the campaign's CPU time.

    Attributes:
        form: one of :data:`FORMS`.
        cpu_ms: of a repetition, the middle of all phases.
        ratio: to nobody watching, geometric mean over rounds.
        interval: of the ratio, 95% (Student's t on the logarithms).
        watcher_cores: CPU time of the watching process by the clock's; 0 where there is none.
    """

    form: str
    cpu_ms: float
    ratio: float
    interval: tuple[float, float]
    watcher_cores: float


@dataclass(frozen=True)
class Watching:
    """The whole of it."""

    boards: int
    browsers: int
    rounds: int
    phase_s: float
    repetitions: int
    not_ok: int
    silent_streams: int
    costs: list[Cost]


@dataclass(frozen=True)
class _Phase:
    form: str
    begun_s: float
    ended_s: float
    watcher_cores: float


class _Noting:
    """A display that notes clock and CPU time at each record."""

    def __init__(self, display: PlainLines, path: Path) -> None:
        self._display, self._file = display, path.open("w", buffering=1)
        self.note, self.left_out = display.note, display.left_out
        self.started, self.ended = display.started, display.ended
        self._lock = threading.Lock()

    def finished(self, planned: Planned, record: Repetition) -> None:
        self._display.finished(planned, record)
        with self._lock:
            self._file.write(f"{time.monotonic()} {time.process_time()}\n")


def campaign(folder: Path) -> None:
    """Run the campaign of a folder in this process until it is interrupted."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts behind itself ignores it
    suite = load_suite(str(folder / "suite.toml"))
    plan = make_plan(suite, load_inventory(folder / "lab.toml").boards, run_id="watched", lab="bench")
    with RunWriter.create(folder / "results", "bench", plan.run_id, plan.as_dict()) as writer:
        lines = PlainLines(Console(file=io.StringIO(), width=120), plan)
        Campaign(plan, gather(suite), writer, _Noting(lines, folder / "cpu")).run()


def measure(boards: int, rounds: int, browsers: int, phase_s: float, sleep_s: float, seed: int) -> Watching:
    """Run a campaign and watch it in phases."""
    rng = random.Random(seed)
    phases: list[_Phase] = []
    silent = 0
    with server() as end, tempfile.TemporaryDirectory(prefix="tunebench-watching-") as name:
        folder = Path(name)
        (folder / "lab.toml").write_text(inventory(end, folder, boards))
        # More than there is time for: the last phase must see the campaign, too.
        watched_s = len(FORMS) * rounds * (SETTLE_S + phase_s + _WATCHER_START_S)
        write_suite(folder, math.ceil((_START_S + watched_s) / sleep_s), sleep_s)
        process = subprocess.Popen([sys.executable, "-m", __spec__.name, "--campaign", str(folder)])
        try:
            run = _await_all(folder, process, boards)
            for _ in range(rounds):
                for form in rng.sample(FORMS, len(FORMS)):
                    with _watched(form, run, browsers) as (watcher, counts):
                        time.sleep(SETTLE_S)
                        begun_s, begun_cpu_s = time.monotonic(), _cpu_of(watcher)
                        time.sleep(phase_s)
                        ended_s = time.monotonic()
                        cores = (_cpu_of(watcher) - begun_cpu_s) / (ended_s - begun_s)
                        silent += sum(count == 0 for count in counts)
                    phases.append(_Phase(form, begun_s, ended_s, cores))
                    print(f"{len(phases)} of {3 * rounds} phases", file=sys.stderr, flush=True)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()
        records = RunReader(run).repetitions
        notes = [tuple(map(float, line.split())) for line in (folder / "cpu").read_text().splitlines()]
    return Watching(
        boards,
        browsers,
        rounds,
        phase_s,
        len(records),
        sum(record.outcome != "ok" for record in records),
        silent,
        [_cost(form, phases, [(clock_s, cpu_s) for clock_s, cpu_s in notes]) for form in FORMS],
    )


def _await_all(folder: Path, process: subprocess.Popen[bytes], boards: int) -> Path:
    """Return the run's folder once every board has a record."""
    give_up_s = time.monotonic() + _START_S
    while time.monotonic() < give_up_s and process.poll() is None:
        time.sleep(0.5)
        for path in folder.glob("results/**/reps.jsonl"):
            if len({json.loads(line)["board_id"] for line in path.read_text().splitlines()}) == boards:
                return path.parent
    raise SystemExit(f"not every board had measured within {_START_S:.0f} s")


@contextlib.contextmanager
def _watched(form: str, run: Path, browsers: int) -> Iterator[tuple[int | None, Sequence[int]]]:
    """Watch a run in a form; yields the watching process and how many events each browser has had (grows)."""
    if form == "nobody":
        yield None, []
        return
    words = [sys.executable, "-m", "tunebench", "watch", str(run), *(["--web"] if form == "browsers" else [])]
    if form == "terminal":
        near, far = pty.openpty()
        with subprocess.Popen(
            words, stdin=far, stdout=far, stderr=far, env={**os.environ, "TERM": "xterm"}
        ) as process:
            os.close(far)
            threading.Thread(target=_drain, args=(near,), daemon=True).start()
            yield process.pid, []
            process.terminate()
        return
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = urlsplit(process.stdout.readline().strip())
        counts = [0] * browsers
        streams = [_stream(address.port or 0, address.query) for _ in counts]
        for at, stream in enumerate(streams):
            threading.Thread(target=_count_events, args=(stream, counts, at), daemon=True).start()
        yield process.pid, counts
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        process.terminate()


def _drain(near: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(near, 65536):
            pass
    os.close(near)


def _stream(port: int, query: str) -> socket.socket:
    stream = socket.create_connection(("127.0.0.1", port), 30)
    stream.sendall(f"GET /events?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    stream.settimeout(None)
    return stream


def _count_events(stream: socket.socket, counts: list[int], at: int) -> None:
    with contextlib.suppress(OSError), stream, stream.makefile("rb") as lines:
        for line in lines:
            counts[at] += line.startswith(b"data:")


def _cpu_of(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _cost(form: str, phases: Sequence[_Phase], notes: Sequence[tuple[float, float]]) -> Cost:
    of = {
        name: [_cpu_ms(phase, notes) for phase in phases if phase.form == name] for name in (form, FORMS[0])
    }
    logs = [math.log(watched / alone) for watched, alone in zip(of[form], of[FORMS[0]], strict=True)]
    centre = sum(logs) / len(logs)
    half = 0.0
    if form != FORMS[0]:
        half = float(stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs))
    cores = [phase.watcher_cores for phase in phases if phase.form == form]
    return Cost(
        form,
        round(sorted(of[form])[len(of[form]) // 2], 2),
        round(math.exp(centre), 4),
        (round(math.exp(centre - half), 4), round(math.exp(centre + half), 4)),
        round(sum(cores) / len(cores), 4),
    )


def _cpu_ms(phase: _Phase, notes: Sequence[tuple[float, float]]) -> float:
    """Return the campaign's CPU time of a repetition in a phase, from its first record to its last."""
    within = [cpu_s for clock_s, cpu_s in notes if phase.begun_s <= clock_s <= phase.ended_s]
    return 1000 * (within[-1] - within[0]) / (len(within) - 1)


def _row(cost: Cost) -> str:
    low, high = cost.interval
    return f"| {cost.form} | {cost.cpu_ms:.1f} ms | {cost.ratio:.3f} [{low:.3f}, {high:.3f}] | {cost.watcher_cores:.1%} |"


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boards", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--browsers", type=int, default=20)
    parser.add_argument("--phase-s", type=float, default=12.0)
    parser.add_argument("--sleep-s", type=float, default=6.0, help="of a repetition")
    parser.add_argument("--seed", type=int, default=0, help="of the phases' order")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--campaign", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.campaign:
        campaign(options.campaign)
        return 0
    watching = measure(
        options.boards, options.rounds, options.browsers, options.phase_s, options.sleep_s, options.seed
    )
    if options.json:
        print(json.dumps(asdict(watching), indent=2))
    else:
        print(
            "| who watches | host CPU a repetition | ratio, 95% | the watcher, of a core |\n|---|---|---|---|"
        )
        print("\n".join(map(_row, watching.costs)))
        print(
            f"{watching.repetitions} repetitions, {watching.not_ok} not ok, {watching.silent_streams} silent streams"
        )
    return 1 if watching.not_ok or watching.silent_streams else 0


if __name__ == "__main__":
    sys.exit(main())
