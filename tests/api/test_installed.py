"""The installed wheel beside a project whose own packages are called harness, reports, targets, workloads and tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.user_files import write_lab, write_suite

PACKAGES = ("harness", "reports", "targets", "workloads", "tests")
ITS_TEST = """
from harness import NAME as harness
from reports import NAME as reports
from targets import NAME as targets
from workloads import NAME as workloads


def test_these_packages_are_the_projects_own():
    assert [harness, reports, targets, workloads] == ["own harness", "own reports", "own targets", "own workloads"]
"""

pytestmark = pytest.mark.slow
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project."""
    folder = tmp_path_factory.mktemp("project")
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f'NAME = "own {name}"\n')
    (folder / "tests" / "test_own.py").write_text(ITS_TEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    write_lab(folder)
    write_suite(folder)
    return folder


@pytest.fixture
def run(installed_wheel: Path, project: Path) -> Run:
    """Run a program of the environment in the project's folder."""

    def start(program: str, *words: str) -> subprocess.CompletedProcess[str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))
        }
        return subprocess.run(
            [str(installed_wheel / "bin" / program), *words],
            cwd=project,
            env={**kept, "HOME": str(project)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return start


def test_the_package_is_the_installed_one(run, installed_wheel):
    done = run("python", "-c", "import tunebench.harness.cli.app as app; print(app.__file__)")
    assert done.stdout.startswith(str(installed_wheel)), done.stdout + done.stderr


# With -P the folder is not on the path, as with the script `pytest`.
@pytest.mark.parametrize(
    "pytest_words", [("-P", "-m", "pytest"), ("-m", "pytest")], ids=["pytest", "python -m pytest"]
)
def test_the_projects_own_tests_run(run, pytest_words):
    done = run("python", *pytest_words, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    "pytest_words", [("-P", "-m", "pytest"), ("-m", "pytest")], ids=["pytest", "python -m pytest"]
)
def test_with_an_inventory_the_boards_are_measured_beside_the_projects_tests(run, pytest_words):
    done = run(
        "python", *pytest_words, "-q", "--inventory", "lab.toml", "--campaign", "mine.toml",
        "--pyargs", "tunebench.harness.hil", "tests",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "results: " in done.stdout


@pytest.mark.parametrize("words", [("tunebench",), ("python", "-m", "tunebench")], ids=" ".join)
def test_the_command_runs_from_the_projects_folder(run, words):
    done = run(*words, "suites")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("smoke: ")
