"""What goes to a board: Python 3.6 syntax, the standard library and torch, and no heavy import but torch."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench import workloads
from tunebench.harness.artifacts.gather import travelling_workloads
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.engines import ENGINES
from tunebench.workloads.methods.quantized_base import PACKAGE

ROOT = Path(workloads.__file__).parent
EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "own"
TRAVELLING = set(travelling_workloads())
FILES = [
    file
    for file in sorted(ROOT.rglob("*.py"))
    if f"tunebench/workloads/{file.relative_to(ROOT).as_posix()}" in TRAVELLING
]


def old_python() -> str:
    """A Python 3.6, from the PATH or pyenv."""
    candidates = [shutil.which("python3.6"), *sorted(Path.home().glob(".pyenv/versions/3.6.*/bin/python3.6"))]
    for candidate in filter(None, candidates):
        asked = subprocess.run([candidate, "--version"], capture_output=True, timeout=60, check=False)
        if asked.returncode == 0:  # pyenv's shim is on the PATH also where no 3.6 is chosen
            return str(candidate)
    pytest.skip("no Python 3.6 on this machine")


def test_what_travels_keeps_python_3_6():
    vermin = pytest.importorskip("vermin", reason="vermin is not installed")
    for file in [*FILES, EXAMPLES / "train.py"]:
        detected = vermin.detect(file.read_text(), path=str(file))
        assert detected[1] is None or detected[1] <= (3, 6), (file, detected)


def test_the_payload_imports_and_works_on_python_3_6(payload, tmp_path):
    program = (
        "import doctest, tunebench.workloads.run.job\n"
        "import tunebench.workloads.run.correctness, tunebench.workloads.run.own_module\n"
        "from tunebench.workloads import artefact, seeds, models\n"
        "from tunebench.workloads.methods import memory, plan, table\n"
        "assert doctest.testmod(artefact) == (0, 2)\n"
        "assert seeds.order(5, 0, 0) == %r\n"
        "made = plan.plan(table.method('skip2-lora'), models.graph_of('mlp', (256,), 3), 4)\n"
        "assert plan.counts(made).trainable == 1828\n"
        "from tunebench.workloads.tasks import metrics, task\n"
        "yolo = plan.plan(table.method('lorae'), models.counted('yolov8n'), 4)\n"
        "assert (yolo.graph.n_params, plan.counts(yolo).trainable) == (3157200, 149356)\n"
        "assert metrics.mean_iou([[1, 0], [0, 1]]) == 1.0\n"
        "from array import array\n"
        "from tunebench.workloads import updates\n"
        "from tunebench.workloads.updates import safetensors\n"
        "assert doctest.testmod(safetensors) == (0, 2)\n"
        "values = {'x': updates.Values((2, 2), array('f', [0.5, -1.0, 0.25, 0.0]))}\n"
        "made = updates.Exported(values, ('x',), values, {}, 1.0)\n"
        "raw, entry = updates.make(made, updates.parse_form('weights/int8'), 'ft-all', 'a' * 64)\n"
        "again = updates.dequantised(safetensors.decode(raw).tensors)['x'].data\n"
        "assert max(abs(a - b) for a, b in zip(again, values['x'].data)) <= entry.max_error < 0.004\n"
        "assert memory.predict(yolo, 2).step_b > memory.predict(yolo, 1).step_b\n"
    )
    from tunebench.workloads import seeds

    env = {**os.environ, "PYTHONPATH": str(payload)}
    ended = subprocess.run(
        [old_python(), "-c", program % seeds.order(5, 0, 0)],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_the_example_command_runs_on_python_3_6(run_job):
    workload = {"epochs": 2, "seed": 0, "lr": 0.02}
    ended = run_job(workload, argv=["train.py"], files=(EXAMPLES / "train.py",), python=old_python())
    assert ended.returncode == 0, ended.output
    assert ended.read("result.json")["python"].startswith("3.6.")


def test_boards_import_the_standard_library_torch_and_ourselves_only():
    # safetensors comes with transformers, which needs it itself
    ours = set(sys.stdlib_module_names) | {"torch", "transformers", "safetensors", "tunebench"}
    for file in FILES:
        # What a runtime's module imports is what it registers; it is imported on boards that have it.
        runtimes = [
            runtime for runtime in RUNTIMES.values() if file == ROOT / "deploy" / f"{runtime.module}.py"
        ]
        # So is what an engine imports whose trunk a runtime runs.
        runtimes += [
            RUNTIMES[engine.trunk]
            for engine in ENGINES.values()
            if engine.trunk and file.parent.name == engine.network.split(".")[-2]
        ]
        allowed = ours.union(*(runtime.packages for runtime in runtimes))
        if file == ROOT / "engines" / "transformers" / "quantized.py":  # for rows that ask for such a base
            allowed = allowed | {PACKAGE}
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            assert {name.split(".")[0] for name in names} <= allowed, file


def test_torch_is_imported_by_its_engines_only():
    importing = {file.relative_to(ROOT) for file in FILES if "import torch" in file.read_text()}
    beside = {
        Path("engines/pytorch") / name
        for name in ("chain.py", "forward_only.py", "lean.py", "optimizers.py", "session.py")
    }
    assert {
        file
        for file in importing
        if file.parts[:3] != ("engines", "pytorch", "networks")
        and file.parts[:2] != ("engines", "transformers")
    } == beside | {Path("deploy/torch_script.py")}


def test_the_files_that_stay_on_the_host_exist():
    assert all((ROOT / name).exists() for name in workloads.HOST_ONLY)
    assert {"job.py", "pmu.py", "table.py", "task.py"} <= {file.name for file in FILES}
