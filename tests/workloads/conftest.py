"""Tasks on digits and small image sets, the native library, and jobs run as a board runs them: zip, folder, process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.workloads.small_sets import small_set
from tunebench import workloads
from tunebench.harness.artifacts.gather import travelling_workloads
from tunebench.workloads import artefact
from tunebench.workloads.engines.native import Library, NativeError, build
from tunebench.workloads.models import MODELS, graph_of
from tunebench.workloads.prepare import artefacts
from tunebench.workloads.prepare.artefacts import SHIPPED
from tunebench.workloads.prepare.pretrain import pretrain, shape_of
from tunebench.workloads.run import job as running
from tunebench.workloads.tasks import spec, task

ROOT = Path(workloads.__file__).parent


@pytest.fixture(scope="session")
def digits():
    """Function (method, model, **spec) -> Task on the shipped artefacts."""
    data = artefact.read(str(SHIPPED / "digits.tbx"))
    weights = {model: artefact.read(str(SHIPPED / f"digits-{model}.tbx")) for model in ("mlp", "cnn")}

    def make(method: str, model: str = "mlp", **keys: Any) -> task.Task:
        made = spec.parse({"method": method, "model": model, "dataset": "digits", **keys})
        return task.make_task(made, data, weights[model])

    return make


@pytest.fixture(scope="session")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The board's part of the package as a zip."""
    path = tmp_path_factory.mktemp("payload") / "payload.zip"
    with zipfile.ZipFile(path, "w") as file:
        for source in travelling_files():
            file.write(source, Path("tunebench/workloads") / source.relative_to(ROOT))
        file.writestr("tunebench/__init__.py", "")
        file.write(ROOT.parent / "marks.py", "tunebench/marks.py")
    return path


def travelling_files() -> list[Path]:
    """Python files of the package that go to a board."""
    names = [Path(name) for name in travelling_workloads() if name.endswith(".py")]
    return [ROOT / name.relative_to("tunebench/workloads") for name in names if len(name.parts) > 2]


@dataclass
class Ended:
    """A job that ran."""

    folder: Path
    returncode: int
    output: str

    def read(self, name: str) -> Any:
        """A JSON file of the job's ``out``; NaN and infinity are refused."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{name} holds {constant}")

        return json.loads((self.folder / "out" / name).read_text(), parse_constant=refuse)

    def predictions(self) -> list[list[int | None]]:
        """Rows of ``preds.jsonl``."""
        lines = (self.folder / "out" / "preds.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@pytest.fixture
def run_job(tmp_path: Path, payload: Path, monkeypatch: pytest.MonkeyPatch):
    """Function (workload, argv=None, files=(), data=None, python=..., here=False) -> Ended.

    With ``here`` the job runs in this process: quicker, and enough where only messages matter.
    """
    made = iter(range(100))

    def start(
        workload: dict[str, Any],
        *,
        argv: list[str] | None = None,
        files: tuple[Path, ...] = (),
        data: Path | None = None,
        python: str = sys.executable,
        here: bool = False,
    ) -> Ended:
        folder = tmp_path / f"job{next(made)}"
        for name in ("out", "src"):
            (folder / name).mkdir(parents=True)
        for file in files:
            shutil.copy(file, folder / "src")
        paths = {
            "data": data or SHIPPED / "digits.tbx",
            "weights": SHIPPED / f"digits-{workload.get('model', 'mlp')}.tbx",
            "out": folder / "out",
            "src": folder / "src",
            "job": folder,
        }
        job = {"workload": workload, "paths": {role: str(path) for role, path in paths.items()}}
        (folder / "job.json").write_text(json.dumps(job))
        if here:
            return run_here(folder)
        # the coverage run's variables are kept; the checkout is not importable, only the payload
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env.update(PYTHONPATH=str(payload), TUNEBENCH_JOB=str(folder), OMP_NUM_THREADS="1")
        ended = subprocess.run(
            [python, *(argv or ["-m", "tunebench.workloads.run"])],
            cwd=folder / ("src" if argv else "out"),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=100,
            check=False,
        )
        return Ended(folder, ended.returncode, ended.stdout.decode())

    def run_here(folder: Path) -> Ended:
        output = io.StringIO()
        with monkeypatch.context() as patch, contextlib.redirect_stderr(output):
            patch.setenv("TUNEBENCH_JOB", str(folder))
            patch.setattr(sys, "path", list(sys.path))
            patch.chdir(folder / "src")
            code = running.main()
        return Ended(folder, code, output.getvalue())

    return start


@pytest.fixture(scope="session")
def builds() -> dict[str, Library]:
    """Every build that this machine can run, by name."""
    machine, cpuinfo = build.this_machine()
    best = build.variant_of(machine, cpuinfo)
    names = {"x86-64": ["x86-64"], "v3": ["x86-64", "v3"], "v4": ["x86-64", "v3", "v4"]}.get(best, [best])
    try:
        return {name: Library(build.build(name).path) for name in names}
    except NativeError as error:
        pytest.skip(f"no C compiler: {error}")


@pytest.fixture(scope="session")
def library(builds: dict[str, Library]) -> Library:
    """The narrowest build."""
    return next(iter(builds.values()))


def untrained(model: str, loaded: Any) -> dict[str, artefact.Tensor]:
    """Start values of a network whose published weights tests do without."""
    from tunebench.workloads.engines.pytorch.networks.network import Network, places, start

    network = Network(graph_of(model, shape_of(loaded.meta), loaded.meta["n_classes"]))
    start(network, 0)
    return {
        name: artefact.tensor("float32", tuple(place.shape), place.detach().reshape(-1).tolist())
        for name, place in places(network)
    }


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """Function (method, model, **spec) -> Task on a small set."""
    folder = tmp_path_factory.mktemp("small")
    made: dict[str, Any] = {}

    def make(method: str, model: str, **keys: Any) -> task.Task:
        if model not in made:
            loaded = small_set(MODELS[model].task)
            artefacts.write_data(loaded, folder / f"{model}.tbx")
            tensors = (
                untrained(model, loaded) if MODELS[model].pretrained else pretrain(model, loaded, epochs=1)
            )
            weights = artefact.encode("weights", {}, tensors)
            made[model] = (artefact.read(str(folder / f"{model}.tbx")), artefact.decode(weights))
        wanted = {"method": method, "model": model, "batch": 6, "epochs": 2, "lr": 0.005, "rank": 2, **keys}
        return task.make_task(spec.parse(wanted), *made[model])

    return make
