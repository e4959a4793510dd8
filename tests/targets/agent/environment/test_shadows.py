"""Files of users that have names of Python's own modules, in the folder where a probe starts: they must not matter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench.targets.agent.environment import interpreters, venvs
from tunebench.targets.agent.environment.venv_build import Build
from tunebench.targets.agent.environment.venvs import Place

NAMES = (
    "json",
    "random",
    "queue",
    "types",
    "struct",
    "platform",
    "ctypes",
    "runpy",
    "importlib",
    "typing",
    "torch_",
)


@pytest.fixture
def shadows(tmp_path, monkeypatch) -> Path:
    """A folder full of such files, as the current one."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.py").write_text("raise RuntimeError('a file of the user was imported')\n")
    monkeypatch.chdir(folder)
    return folder


def test_an_interpreter_is_looked_at_beside_them(shadows):
    answer = interpreters.interpreter([sys.executable])
    assert answer["ok"], answer["reason"]
    assert "a file of the user" not in (answer["reason"] or "")


def test_a_python_is_asked_beside_them(shadows):
    assert venvs.ask([sys.executable])["venv"] is True


@pytest.mark.slow
def test_an_environment_is_built_beside_them(shadows, tmp_path):
    here = Place(str(tmp_path / "work"), "cpu")
    here.make()
    recipe = {
        "python": [sys.executable],
        "pip": False,
        "label": "none",
        "downloads": [],
        "installs": [],
        "expect": "python",
    }
    Build(here, recipe).run()
    events = [json.loads(line) for line in Path(here.events).read_text().splitlines()]
    assert events[-1]["ok"], events[-1]


def test_the_users_own_packages_are_seen(tmp_path, monkeypatch):
    """A torch in ~/.local (pip install --user) is what the workload would import; so -I would tell a lie."""
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path))
    shown = subprocess.run(
        [
            "/usr/bin/python3",
            "-c",
            "import site, sys; print(site.getusersitepackages() if site.ENABLE_USER_SITE else '')",
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not shown:
        pytest.skip("/usr/bin/python3 has no packages of the user")
    package = Path(shown) / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this is the one of the user')\n")
    assert "this is the one of the user" in interpreters.interpreter(["/usr/bin/python3"])["reason"]


def test_a_python_that_cannot_start_is_told_with_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))
    answer = interpreters.interpreter([sys.executable])
    assert not answer["ok"]
    assert "Fatal Python error" in answer["reason"]
    assert "nowhere" in answer["reason"]
    # What is asked in isolation does not read PYTHONHOME at all.
    assert venvs.ask([sys.executable])["venv"] is True
