"""Boards and suites that are real and cheap: loopback boards, and a workload that sleeps between real marks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.workloads.small_sets import small_set
from tunebench.harness.campaign.campaign import Campaign
from tunebench.harness.campaign.outcome import CampaignOutcome
from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, Session, open_session
from tunebench.harness.config.inventory import BoardEntry, Inventory, load_inventory
from tunebench.harness.config.suite import Suite, load_suite, sized
from tunebench.harness.lab.setup import Wish
from tunebench.reports.results import RunReader

SLEEPER = """
import json, os, sys, time
from tunebench import marks

with open(os.environ["TUNEBENCH_JOB"] + "/job.json") as file:
    workload = json.load(file)["workload"]
fail_in_block = workload["params"].get("fail_in_block")
print("hello from", workload["label"], "seed", workload["seed"])
if fail_in_block == workload["seed"]:
    sys.exit("told to fail")
marks.window_start()
time.sleep(workload["params"]["sleep_s"])
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""

_WORKLOAD = """
[[workload]]
label = "{label}"
task = "sleep"
command = ["python3", "sleep.py"]
files = ["sleep.py"]
params = {{ sleep_s = {sleep_s}{more} }}
deadline_s = {deadline_s}
"""

_OWN_SUITE = """
[suite]
name = "own-night"
blocks = 3
aa = false
instrumented = false

[[workload]]
label = "mine"
command = ["python3", "train.py"]
files = ["train.py"]
"""
_OWN_TRAIN = """
import time
from tunebench import marks
marks.window_start()
time.sleep({seconds})
marks.window_end()
marks.result(accuracy=0.9)
"""


@pytest.fixture
def workload_python(request: pytest.FixtureRequest) -> str:
    """Command of the Python that runs a board's workloads: with torch where the test is marked so."""
    with_torch = request.node.get_closest_marker("torch") is not None
    return sys.executable if with_torch else request.getfixturevalue("bare_python")


@pytest.fixture
def own_method(tmp_path: Path, workload_python: str) -> Callable[[float], Path]:
    """Function (seconds): ``suite.toml`` of one's own method that takes so long, and ``lab.toml`` of one board."""

    def write(seconds: float) -> Path:
        (tmp_path / "suite.toml").write_text(_OWN_SUITE)
        (tmp_path / "train.py").write_text(_OWN_TRAIN.format(seconds=seconds))
        (tmp_path / "lab.toml").write_text(
            f'[lab]\nname = "lab1"\n[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{tmp_path}/work"\n'
            f'interpreter = "{workload_python}"\n'
        )
        return tmp_path

    return write


@pytest.fixture
def sleep_suite(tmp_path: Path) -> Callable[..., Path]:
    """Write a suite of methods that sleep; returns its file."""

    def write(
        labels: Sequence[str] = ("a", "b"),
        *,
        blocks: int = 2,
        sleep_s: float = 0.05,
        aa: bool = False,
        more: str = "",
        deadline_s: float = 60.0,
        name: str = "sleep",
    ) -> Path:
        (tmp_path / "sleep.py").write_text(SLEEPER)
        head = (
            f'[suite]\nname = "{name}"\nblocks = {blocks}\nbaseline = "{labels[0]}"\n'
            f"aa = {str(aa).lower()}\ninstrumented = false\n"
        )
        rows = "".join(
            _WORKLOAD.format(label=label, sleep_s=sleep_s, more=more, deadline_s=deadline_s)
            for label in labels
        )
        path = tmp_path / f"{name}.toml"
        path.write_text(head + rows)
        return path

    return write


@pytest.fixture
def lab(tmp_path: Path, workload_python: str) -> Callable[..., Path]:
    """Write an inventory of loopback boards with workdirs of their own; returns its file."""

    def write(*boards: str, extra: str = "") -> Path:
        if "interpreter" not in extra:
            extra = f'interpreter = "{workload_python}"\n{extra}'
        text = '[lab]\nname = "testlab"\n'
        for board in boards:
            text += f'\n[[board]]\nid = "{board}"\nkind = "loopback"\nworkdir = "{tmp_path}/work-{board}"\n{extra}\n'
        path = tmp_path / "lab.toml"
        path.write_text(text)
        return path

    return write


class Notes(Silent):
    """Keep a campaign's messages to its user."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, board_id: str, message: str) -> None:
        self.lines.append(f"{board_id}: {message}")

    def left_out(self, board_id: str, count: int) -> None:
        self.lines.append(f"{board_id}: {count} left out")

    def ended(self, board_id: str, message: str) -> None:
        self.lines.append(f"{board_id}: {message}")


class Ran:
    """A finished campaign."""

    def __init__(self, session: Session, outcome: CampaignOutcome, notes: list[str]) -> None:
        self.session = session
        self.outcome = outcome
        self.notes = notes
        self.path = session.writer.path

    @property
    def reader(self) -> RunReader:
        return RunReader(self.path)


@pytest.fixture
def campaign(tmp_path: Path) -> Callable[..., Ran]:
    """Run a suite on an inventory in this process."""

    def run(
        inventory: Path,
        suite: Path | str,
        *,
        resume: bool = False,
        methods: str | None = None,
        blocks: int | None = None,
    ) -> Ran:
        loaded: Inventory = load_inventory(inventory)
        chosen: Suite = sized(load_suite(str(suite)).only_methods(methods), blocks=blocks)
        request = Request(
            chosen, loaded.boards, loaded.lab.name, tmp_path / "results", resume, ["tunebench", "run"]
        )
        session = open_session(request)
        notes = Notes()
        running: Campaign = session.campaign(notes)
        outcome = running.run()
        session.close(outcome)
        return Ran(session, outcome, notes.lines)

    return run


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command with a home of its own (warm: see tests/warm)."""

    def run(*arguments: str, timeout_s: float = 110.0, **env: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        return warm.run(
            [sys.executable, "-m", "tunebench", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(home), "COLUMNS": "200", **env},
            check=False,
        )

    return run


@pytest.fixture
def entry(lab: Callable[..., Path]) -> BoardEntry:
    """A loopback board of an inventory."""
    return load_inventory(lab("here")).boards[0]


@pytest.fixture
def messages() -> list[str]:
    """Collect a set-up's messages."""
    return []


@pytest.fixture
def wish(tmp_path: Path) -> Callable[..., Wish]:
    """Function (flavour="none", **more) -> what to set up, with a cache of its own."""

    def make(flavour: str = "none", **more: Any) -> Wish:
        return Wish(flavour, python=more.pop("python", sys.executable), cache=tmp_path / "cache", **more)

    return make


#: Stands in for torch: only what the check of a set-up uses.
_GOOD_TORCH = """
__version__ = "{version}"
class Tensor:
    def __matmul__(self, other): return self
    def sum(self): return 64.0
def ones(*shape): return Tensor()
class version: cuda = None
class cuda: is_available = staticmethod(lambda: False)
"""


@pytest.fixture
def good_torch() -> Callable[[str], str]:
    """Function (version) -> source of a module that stands in for torch."""
    return lambda version: _GOOD_TORCH.format(version=version)


@pytest.fixture
def few_shapes(monkeypatch, tmp_path):
    """Shrink the data set shapes to 12 images a part and its pretraining to one epoch, in a cache of its own."""
    from tunebench.workloads.datasets import shapes
    from tunebench.workloads.prepare import pretrain

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(shapes, "COUNTS", {"pretrain": 12, "finetune": 12, "test": 12})
    monkeypatch.setitem(pretrain.IMAGE_RECIPE, "epochs", {"classify": 1, "segment": 1, "detect": 1})


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let mnist be 24 made-up images a part, pretrained for one epoch, in a cache of its own."""
    from tunebench.workloads.datasets import mnist
    from tunebench.workloads.prepare import pretrain

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(mnist, "load", lambda store: small_set("classify", 24))
    monkeypatch.setitem(pretrain.IMAGE_RECIPE, "epochs", {"classify": 1})
