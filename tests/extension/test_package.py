"""A lab's own package, built from docs/extending.md word for word, installed and run: nothing of tunebench changes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import warm
from tests.extension.recipes import ROOT, recipes
from tunebench.reports.results import RunReader

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.timeout(240)]

KINDS = ("A sensor", "A meter", "An engine", "A data set", "A section of the report", "A command")
BASE = "A package of your own"
FOLDERS = ("harness", "reports", "targets", "workloads", "tunebench")
LAB = """
[lab]
name = "lab"

[[board]]
id = "here"
kind = "loopback"
workdir = "{work}"

[board.meter]
kind = "bench-supply"
scope = "dc_input"
path = "watts.txt"
"""
SUITE = """
[suite]
name = "toy"
blocks = 1
epochs = 2
baseline = "ft-all"
aa = false
instrumented = false

[[workload]]
dataset = "rooms"
model = "mlp"
engine = "guess"
methods = ["ft-all", "lora-last"]
"""


@dataclass(frozen=True)
class Lab:
    """A lab's machine: tunebench (a copy, so that nobody else changes it meanwhile) and the toy package, installed.

    Attributes:
        tree: the copy of tunebench.
        before: hash of each of its files before the package was made.
        touched: recipe -> what its author wrote: files, and lines of files that were there.
    """

    folder: Path
    tree: Path
    before: dict[str, str]
    touched: dict[str, list[str]]
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        """Run ``python -m WORDS`` in the lab's folder; it must succeed without a warning. Return what it printed."""
        done = warm.run(
            [sys.executable, "-m", *words],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout


def hashes(tree: Path) -> dict[str, str]:
    """Return the SHA-256 of every source file below a folder."""
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def write_package(folder: Path) -> dict[str, list[str]]:
    """Follow the recipes; return what each of them touched."""
    page = recipes()
    touched: dict[str, list[str]] = {}
    (folder / "my_lab").mkdir(parents=True)
    (folder / "my_lab" / "__init__.py").write_text("")
    project = page[BASE].files["pyproject.toml"]
    for kind in KINDS:
        for name, text in page[kind].files.items():
            (folder / name).write_text(text)
            touched.setdefault(kind, []).append(name)
        for group, lines in page[kind].entry_points.items():
            project += f'\n[project.entry-points."{group}"]\n' + "\n".join(lines) + "\n"
            touched[kind] += [f"pyproject.toml: {line}" for line in lines]
    (folder / "pyproject.toml").write_text(project)
    return touched


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Build the toy package outside the tree and install it with pip, offline."""
    for name in ("pip", "hatchling", "torch"):
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("lab")
    tree = folder / "tree"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, symlinks=True)
    before = hashes(tree)
    touched = write_package(folder / "source")
    site = folder / "site"
    words = ["pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    path = os.pathsep.join([str(tree), str(site)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment = {**kept, "PYTHONPATH": path, "HOME": str(folder / "home"), "COLUMNS": "110"}
    (folder / "lab.toml").write_text(LAB.format(work=folder / "work"))
    (folder / "watts.txt").write_text("7.5\n")
    (folder / "toy.toml").write_text(SUITE)
    made = Lab(folder, tree, before, touched, environment)
    made.run(*words, str(folder / "source"))
    yield made


@pytest.fixture(scope="module")
def ran(lab: Lab) -> RunReader:
    """A run of the toy's data set on the toy's engine, under the toy's meter, with the toy's sensor on the board."""
    lab.run("tunebench", "run", "-i", "lab.toml", "-s", "toy.toml", "-o", "results")
    (manifest,) = (lab.folder / "results").rglob("run.json")
    return RunReader(manifest.parent)


def test_each_kind_of_extension_takes_one_file_and_one_line(lab, capsys):
    with capsys.disabled():
        print()
        for kind, names in lab.touched.items():
            print(f"{kind}: {', '.join(names)}")
    assert list(lab.touched) == list(KINDS)
    for names in lab.touched.values():
        file, line = names
        assert file.startswith("my_lab/")
        assert line.startswith("pyproject.toml: ")


def test_the_board_and_its_meter_can_be_looked_at_first(lab):
    (board,) = json.loads(lab.run("tunebench", "boards", "-i", "lab.toml", "--json"))
    assert "tasks_running" in json.dumps(board)
    assert "7.5" in lab.run("tunebench", "meter", "read", "here", "-i", "lab.toml", "--seconds", "1")


def test_the_board_runs_the_packages_engine_on_its_data_set(ran):
    assert [(record.dataset, record.engine, record.outcome) for record in ran.repetitions] == [
        ("rooms", "guess", "ok"),
        ("rooms", "guess", "ok"),
    ]


def test_the_board_reads_the_packages_sensor(ran):
    for record in ran.repetitions:
        trace = ran.trace(record)
        (channel,) = (channel for channel in trace.channels if channel.id == "tasks_running")
        assert (channel.kind, channel.source) == ("tasks", "/proc/loadavg")
        assert "tasks" not in record.missing


def test_the_packages_meter_is_read_and_its_energy_or_its_reason_stands_in_the_record(ran):
    for record in ran.repetitions:
        series = ran.meter(record)
        assert (series.meter.kind, series.meter.scope) == ("bench-supply", "dc_input")
        assert set(series.power_w) == {7.5}
        assert record.energy is None
        assert "of the window of" in record.missing["energy"]


def test_the_report_shows_the_packages_section(lab, ran):
    run = str(ran.path)
    lab.run("tunebench", "report", run, "--html", "report.html", "--json", "report.json")
    page = (lab.folder / "report.html").read_text()
    assert '<section id="longest"><h2>Longest</h2><p>Longest fine-tuning: ' in page
    assert 'href="#longest"' in page
    assert "Longest fine-tuning: " in lab.run("tunebench", "report", run, "--format", "text")
    assert "Longest fine-tuning: " in lab.run("tunebench", "report", run, "--format", "md")
    rows = json.loads((lab.folder / "report.json").read_text())["rows"]
    assert {row["label"] for row in rows} == {"ft-all", "lora-last"}


def test_the_packages_command_is_a_command(lab, ran):
    slowest = max(ran.repetitions, key=lambda record: record.wall_s)
    assert lab.run("tunebench", "slowest", str(ran.path)) == (
        f"{slowest.label} block {slowest.block}: {slowest.wall_s:.3f} s\n"
    )
    assert "my-lab" in lab.run("tunebench", "--help")


def test_a_finished_run_verifies_without_the_package(ran):
    words = [sys.executable, "-m", "tunebench", "verify", str(ran.path)]
    done = warm.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_of_tunebench_has_changed(lab, ran):
    assert hashes(lab.tree) == lab.before
