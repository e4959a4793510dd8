"""The host of a scene: ``tunebench run --resume`` as a process of its own, with a home and results of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.faults.site import Site
from tunebench.reports.results import RunReader

ROOT = Path(__file__).parents[2]

#: The workload: works for a while, notes when it begins and ends, and misbehaves on signals as real ones sometimes do.
WORK = '''
import fcntl, json, os, signal, sys, time
from tunebench import marks

with open(os.environ["TUNEBENCH_JOB"] + "/job.json") as file:
    job = json.load(file)
params = job["workload"]["params"]


def tell(what):
    if params["ledger"]:
        ledger = os.open(params["ledger"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(ledger, ("%s %s\\n" % (what, job["rep_id"])).encode())
        os.close(ledger)


def take_board():
    """Note where another workload runs on the board; the kernel knows, whatever became of who started it."""
    board = open("%s.%s" % (params["ledger"], job["rep_id"].split(".")[1]), "a")
    try:
        fcntl.flock(board, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        tell("beside")
    return board


def gorge(*_):
    """Take memory until there is none, or a gigabyte."""
    hoard = []
    for _ in range(256):
        hoard.append(bytearray(b"x" * (4 << 20)))
    sys.exit("there was always more memory")


def babble(*_):
    """Write garbage wherever something is expected, and end as if all were well."""
    for name in ("result.json", "marks.json", "preds.jsonl", "strange\\n\\x1b[2J name"):
        with open(os.environ["TUNEBENCH_JOB"] + "/out/" + name, "wb") as file:
            file.write(b'{"schema": "tunebench.result/1", ' + os.urandom(5000))
    sys.stdout.buffer.write(os.urandom(50000) + b"\\x1b[2J\\n")
    sys.stdout.flush()
    os._exit(0)


signal.signal(signal.SIGUSR1, gorge)
signal.signal(signal.SIGUSR2, babble)
print("hello from", job["rep_id"], flush=True)
tell("begin")
board = take_board() if params["ledger"] else None
marks.window_start()
time.sleep(params["sleep_s"])
marks.window_end()
tell("end")
time.sleep(params["tail_s"])
marks.result(accuracy=0.75, before=0.5)
'''

_SUITE = """\
[suite]
name = "faults"
blocks = {blocks}
baseline = "a"
aa = false
instrumented = false
"""
_ROW = """
[[workload]]
label = "{label}"
task = "work"
command = ["python3", "work.py"]
files = ["work.py"]
params = {{ sleep_s = {sleep_s}, tail_s = {tail_s}, ledger = "{ledger}" }}
deadline_s = {deadline_s}
"""


class Host:
    """The command and its files.

    Attributes:
        out: root of the results; a fault may put it elsewhere before the start.
        sleep_s, tail_s: how long a workload measures, and goes on after its window.
        labels, blocks: the suite; every label runs in every block.

    Args:
        folder: of all its files.
        sites: the boards.
        start_by: words by which its commands are started.
    """

    def __init__(self, folder: Path, sites: Sequence[Site], start_by: Sequence[str] = ()) -> None:
        self.folder = folder
        self.out = folder / "results"
        self.log = folder / "host.log"
        self.sleep_s = 0.8
        self.tail_s = 0.05
        self.deadline_s = 30.0
        self.labels: Sequence[str] = ("a",)
        self.blocks = 3
        self.starts = 0
        self._sites = sites
        self._start_by = start_by
        self._process: subprocess.Popen[bytes] | None = None

    def write(self) -> None:
        """Write the inventory, the suite and the workload."""
        (self.folder / "home").mkdir(exist_ok=True)
        (self.folder / "work.py").write_text(WORK)
        (self.folder / "lab.toml").write_text('[lab]\nname = "faults"\n\n' + self.inventory())
        # One ledger serves all boards of a scene: ids of repetitions tell them apart.
        ledger = self._sites[0].ledger
        rows = [
            _ROW.format(
                label=label,
                sleep_s=self.sleep_s,
                tail_s=self.tail_s,
                ledger=ledger,
                deadline_s=self.deadline_s,
            )
            for label in self.labels
        ]
        (self.folder / "suite.toml").write_text(_SUITE.format(blocks=self.blocks) + "".join(rows))

    def inventory(self) -> str:
        """Return the boards' part of the inventory."""
        return "\n".join(site.entry() for site in self._sites)

    def start(self) -> None:
        """Start the command; the same one every time, with ``--resume`` once there is a run."""
        words = ["run", "-i", "lab.toml", "-s", "suite.toml", "-o", str(self.out), "--no-html"]
        words += ["--resume"] if self.runs else []
        self.starts += 1
        self._process = self.tunebench(words, f"start {self.starts}")

    def tunebench(self, words: Sequence[str], heading: str) -> subprocess.Popen[bytes]:
        """Start a command of tunebench's in a group of its own; what it prints goes into the log below a heading."""
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("TUNEBENCH_", "COV"))
        }
        env |= {"HOME": str(self.folder / "home"), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            log.write(f"--- {heading}\n".encode())
            log.flush()
            return subprocess.Popen(
                [*self._start_by, sys.executable, "-m", "tunebench", *words],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status; None if the command does not end in time."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(max(0.01, timeout_s))
        return None

    def kill(self) -> bool:
        """Kill the command with SIGKILL; return False if it had ended before."""
        process = self._process
        if process is None or process.poll() is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return True

    def close(self) -> None:
        """End the command, whatever it does."""
        if self.kill() and self._process is not None:
            self._process.wait(10)

    @property
    def runs(self) -> list[Path]:
        """Return the folders of the runs; there should be one."""
        return sorted(path.parent for path in self.out.glob("**/plan.json"))

    @property
    def complete(self) -> bool:
        """Whether every run that was begun is finished."""
        return bool(self.runs) and all((run / "run.json").is_file() for run in self.runs)

    def reader(self) -> RunReader:
        """Return a reader of the run.

        Raises:
            ResultsError: it cannot be read.
        """
        return RunReader(self.runs[0])

    def said(self, lines: int = 12) -> str:
        """Return the last lines of what the command printed."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""
