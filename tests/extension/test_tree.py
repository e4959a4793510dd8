"""Recipes that change tunebench itself, followed word for word in a copy of the tree: one file at most, and one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.extension.recipes import ROOT, added, applied, recipes

pytestmark = pytest.mark.slow

FOLDERS = ("harness", "reports", "targets", "workloads", "tunebench")
KINDS = ("A method", "A network", "A kind of board, and its models", "A check of a verdict", "A stressor")
BOARD = """
from pathlib import Path
from tunebench.harness.config.inventory import load_inventory
from tunebench.targets.boards import kind_of, match
print(match({"compatible": "beagle,am625-beagleplay ti,am625"}).name, match({"model": "Raspberry Pi 5"}).name)
print(load_inventory(Path("lab.toml")).boards[0].kind, kind_of("beagle").host_itself)
"""
CHECK = """
from tunebench.harness.record.validity.evidence import Evidence
from tunebench.harness.record.validity.judge import judge
for window_s in (0.0005, 1.0, None):
    print([reason.code for reason in judge(Evidence("linux", False, "ok", None, window_s))[1]])
"""
STRESSOR = """
import sys
from tunebench.harness.config.tables.stress import kinds
from tunebench.targets.agent.tuning.stressors.kind import Place
from tunebench.targets.agent.tuning.stressors.table import find_kind
from tunebench.targets.agent.workdir import Workdir
kind, place = find_kind("held-disk"), Place("/", Workdir(sys.argv[1]), job_dir=sys.argv[1])
held = kind.make({"mib": 1}, place)
print("held-disk" in kinds(), kind.absent({"mib": 1}, place), held.apply()["held_b"] >= 1 << 20)
held.remove()
print(kind.absent({"mib": 1 << 40}, place))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of tunebench in which all recipes have been followed."""
    root = tmp_path_factory.mktemp("tree")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, root / folder, symlinks=True)
    page = recipes()
    for kind in KINDS:
        for name, text in page[kind].files.items():
            assert not (root / name).exists()
            (root / name).write_text(text)
        for name, diff in page[kind].diffs.items():
            (root / name).write_text(applied((root / name).read_text(), diff))
    (root / "lab.toml").write_text('[[board]]\nid = "play"\nkind = "beagle"\nhost = "play.example"\n')
    return root


def run(tree: Path, *words: str) -> str:
    """Run Python in the copy, the copy first on its path; return what it printed."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_recipe_takes_one_file_at_most_and_one_line():
    page = recipes()
    touched = {}
    for kind in KINDS:
        ((name, diff),) = page[kind].diffs.items()
        touched[kind] = (list(page[kind].files), name, len(added(diff)))
        print(f"{kind}: {touched[kind]}")
    assert touched == {
        "A method": ([], "workloads/methods/table.py", 1),
        "A network": (["workloads/models/pair.py"], "workloads/models/__init__.py", 1),
        "A kind of board, and its models": (["targets/boards/beagle.py"], "targets/boards/__init__.py", 1),
        # A check's function stands beside its row: no file of its own.
        "A check of a verdict": ([], "harness/record/validity/checks.py", 8),
        "A stressor": (
            ["targets/agent/tuning/stressors/held_disk.py"],
            "targets/agent/tuning/stressors/table.py",
            1,
        ),
    }


def test_the_copy_is_what_runs(tree):
    output = run(tree, "-c", "from tunebench.workloads import models; print(models.__file__)")
    assert Path(output.strip()).is_relative_to(tree)


def test_the_method_and_the_network_are_counted(tree):
    words = ("-m", "tunebench", "params", "--model", "pair", "--json", "--method")
    head_bias = json.loads(run(tree, *words, "ft-head-bias"))
    everything = json.loads(run(tree, *words, "ft-all"))
    # by hand: a bias for each of 10 classes; two convolutions without bias, each with BatchNorm's two; a classifier
    assert head_bias["trainable"] == 10
    assert everything["trainable"] == 9 * 8 + 2 * 8 + 9 * 8 * 16 + 2 * 16 + 16 * 10 + 10


def test_the_kind_of_board_is_taken_by_an_inventory_and_its_model_is_recognised(tree):
    assert run(tree, "-c", BOARD).splitlines() == ["BeaglePlay Raspberry Pi 5", "beagle False"]


def test_the_check_objects_to_what_it_is_for_and_to_nothing_else(tree):
    assert run(tree, "-c", CHECK).splitlines() == ["['short']", "[]", "['no-window']"]


def test_the_stressor_is_a_kind_of_suites_and_really_holds(tree, tmp_path):
    first, second = run(tree, "-c", STRESSOR, str(tmp_path)).splitlines()
    assert first == "True None True"
    assert second.endswith("MiB of its disk are free")
    assert list(tmp_path.iterdir()) == []
