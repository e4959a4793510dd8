"""Data sets and engines of a lab's own package: found by entry point, shipped to the board, one sentence when broken."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tunebench.harness.artifacts.gather import gather
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.workloads import datasets, engines
from tunebench.workloads.datasets import UnknownDataset
from tunebench.workloads.engines import lab as lab_engines
from tunebench.workloads.models import MODELS, TRANSFORMER
from tunebench.workloads.models.graph import LANGUAGE
from tunebench.workloads.prepare.artefacts import SHIPPED
from tunebench.workloads.tasks.spec import SpecError

ENTRY_POINTS = """
[tunebench.datasets]
rooms = toy_lab.rooms
half = toy_lab.engine
broken = toy_lab.broken

[tunebench.engines]
guess = toy_lab.engine:ENGINE
unnamed = toy_lab.engine:UNNAMED
broken = toy_lab.broken:ENGINE
native = toy_lab.engine:ENGINE
"""
ROOMS = """
import numpy
from tunebench.workloads.datasets.base import build

REVISION, TASK = 3, "rows"

def load(store):
    x, y = numpy.eye(4, dtype="float32"), numpy.arange(4) % 2
    return build("rooms", {part: (x, y) for part in ("pretrain", "finetune", "test")},
                 {"classes": ["a", "b"], "revision": REVISION})
"""
ENGINE = """
from tunebench.workloads.engines import Engine

ENGINE = Engine("toy_lab.guessing", models=("mlp",), devices=("cpu",), package="toy_lab", limits="model 'mlp' only")
UNNAMED = Engine("toy_lab.guessing")
"""
GUESSING = '''
"""An engine that learns the most frequent class."""
from tunebench.workloads.engines.session import Evaluation, Session as Base

def version():
    return "guess 1"

class Session(Base):
    def __init__(self, task, cache=None):
        self.task, self.guess, self.steps = task, 0, 0

    def steps_per_epoch(self):
        return self.task.steps_per_epoch

    def warm_up(self, steps):
        pass

    def train_epoch(self, epoch, mark):
        labels = self.task.data.need("finetune_y").array().tolist()
        self.guess = max(set(labels), key=labels.count)
        self.steps += self.task.steps_per_epoch
        return 1.0

    def evaluate(self):
        labels = self.task.data.need("test_y").array().tolist()
        return Evaluation(labels.count(self.guess) / len(labels), len(labels), labels, [self.guess] * len(labels))

    def facts(self):
        return {"steps": self.steps, "engine_version": version(), "metrics": {}}
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An installed package ``toy-lab`` with two data sets and engines, some of them broken."""
    root = tmp_path / "site"
    files = {
        "toy_lab/__init__.py": "",
        "toy_lab/rooms.py": ROOMS,
        "toy_lab/engine.py": ENGINE,
        "toy_lab/guessing.py": GUESSING,
        "toy_lab/broken.py": "raise OSError('no driver')\n",
        "toy_lab-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: toy-lab\nVersion: 1\n",
        "toy_lab-1.dist-info/entry_points.txt": ENTRY_POINTS,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.syspath_prepend(root)
    caches = (datasets.plugins, datasets.dataset_module, lab_engines.points)
    for function in caches:
        function.cache_clear()
    importlib.invalidate_caches()
    yield root
    for function in caches:
        function.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "toy_lab"]:
        del sys.modules[name]


def test_a_packages_data_set_is_loaded_like_ours(lab):
    assert datasets.names()[-3:] == ("broken", "half", "rooms")
    loaded = datasets.load("rooms")
    assert (loaded.name, loaded.meta["n_in"]) == ("rooms", 4)
    assert np.array_equal(loaded.finetune_y, [0, 1, 0, 1])


def test_a_data_set_that_cannot_be_imported_is_one_sentence(lab):
    with pytest.raises(
        UnknownDataset,
        match=r"^data set 'broken' of package toy-lab \(toy_lab.broken\) cannot be imported: OSError: no driver$",
    ):
        datasets.load("broken")
    with pytest.raises(UnknownDataset, match=r"'half' of package toy-lab .* lacks load, REVISION, TASK"):
        datasets.load("half")


def test_every_data_set_of_ours_is_a_data_set_module():
    tasks = {model.task for model in (*MODELS.values(), TRANSFORMER)} | {LANGUAGE}
    for name in datasets.DATASETS:
        module = datasets.dataset_module(name)
        assert module.TASK in tasks
        assert isinstance(module.REVISION, int)
        assert callable(module.load)


def test_a_packages_engine_is_found_and_never_in_the_place_of_ours(lab):
    assert engines.find_engine("guess").package == "toy_lab"
    assert engines.find_engine("native").library
    with pytest.raises(
        SpecError,
        match=r"workload\.engine is 'jax', allowed: torch, native, onnxruntime-head, transformers, broken, guess",
    ):
        engines.find_engine("jax")


def test_an_engine_that_cannot_be_used_is_one_sentence(lab):
    with pytest.raises(
        SpecError,
        match=r"^engine 'broken' of package toy-lab \(toy_lab.broken:ENGINE\) cannot be imported: OSError: no driver$",
    ):
        engines.find_engine("broken")
    with pytest.raises(SpecError, match=r"'unnamed' .* does not name the package that travels"):
        engines.find_engine("unnamed")


def suite_of(tmp_path: Path, **keys: str):
    lines = {"dataset": "digits", "model": "mlp", "engine": "guess", **keys}
    workload = "\n".join(f'{key} = "{value}"' for key, value in lines.items())
    path = tmp_path / "toy.toml"
    path.write_text(
        f'[suite]\nname = "toy"\nblocks = 1\n[[workload]]\n{workload}\nmethods = ["ft-all", "lora-last"]\n'
    )
    return load_suite(str(path))


def test_an_engines_limits_are_those_of_its_registration(lab, tmp_path):
    with pytest.raises(UsageError, match="engine 'guess' runs model 'mlp' only"):
        suite_of(tmp_path, model="cnn")
    with pytest.raises(
        UsageError,
        match="unknown engine 'jax'; allowed: torch, native, onnxruntime-head, transformers, broken, guess, unnamed",
    ):
        suite_of(tmp_path, engine="jax")


@pytest.mark.parametrize("python", [sys.executable])
def test_a_board_runs_the_engine_from_the_payload(lab, tmp_path, python):
    payload = gather(suite_of(tmp_path)).payload
    assert payload.sha256 != gather(suite_of(tmp_path, engine="native")).payload.sha256
    board = tmp_path / "board"
    (board / "out").mkdir(parents=True)
    (board / "payload.zip").write_bytes(payload.read())
    job = {
        "workload": {"method": "ft-all", "engine": "guess", "dataset": "digits", "epochs": 2},
        "paths": {"data": str(SHIPPED / "digits.tbx"), "weights": str(SHIPPED / "digits-mlp.tbx")},
    }
    (board / "job.json").write_text(json.dumps(job))
    env = {**os.environ, "PYTHONPATH": str(board / "payload.zip"), "TUNEBENCH_JOB": str(board)}
    # neither the checkout nor the lab's package can be imported there: -S leaves site-packages out
    ended = subprocess.run(
        [python, "-S", "-m", "tunebench.workloads.run"],
        cwd=board, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    result = json.loads((board / "out" / "result.json").read_text())
    assert (result["engine_version"], result["outcome"], result["steps"]) == ("guess 1", "ok", 46)
    assert 0 < result["after"] < 0.3
