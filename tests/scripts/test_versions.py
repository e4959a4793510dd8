"""The parts of CI with other versions: the lowest that are allowed, and the Pythons that are here."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.scripts.test_part import load

ROOT = Path(__file__).parents[2]
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def fake_tox(tmp_path):
    """Stands for tox, which would need the network: it writes down what it was asked, and ends with code 7."""
    path = tmp_path / "tox"
    path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nexit 7\n')
    path.chmod(0o755)
    return path


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_list_of_lowest_versions_is_what_pyproject_allows():
    """Who raises or lowers a floor writes the list anew: python scripts/lowest.py."""
    pinned = {}
    for line in load("lowest").LIST.read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        pinned[normal(requirement.name)] = Version(pin.version)
    for line in PROJECT["dependencies"]:
        wanted = Requirement(line)
        floors = [Version(each.version) for each in wanted.specifier if each.operator == ">="]
        assert floors == [pinned[normal(wanted.name)]], f"{line}: run python scripts/lowest.py"
    assert "torch" not in pinned


def test_every_dependency_has_a_floor():
    for line in PROJECT["dependencies"]:
        assert any(each.operator == ">=" for each in Requirement(line).specifier), line


def test_a_python_that_is_here_is_found_and_another_is_not(monkeypatch):
    newest = load("newest")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert newest.interpreter(HERE) is not None
    assert newest.interpreter("3.99") is None


def test_a_python_that_does_not_start_is_none(monkeypatch, tmp_path):
    """As pyenv's shim of a version that is not chosen."""
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert load("newest").interpreter("3.13") is None


def test_what_pyenv_keeps_is_found_too(monkeypatch, tmp_path):
    folder = tmp_path / "versions" / f"{HERE}.9" / "bin"
    folder.mkdir(parents=True)
    (folder / f"python{HERE}").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert load("newest").interpreter(HERE) == str(folder / f"python{HERE}")


def test_a_version_that_is_not_here_is_named_and_left_out(monkeypatch, capfd, fake_tox):
    newest = load("newest")
    monkeypatch.setattr(newest, "VERSIONS", ("3.99",))
    assert newest.main([str(fake_tox)]) == 0
    assert "newest-3.99: skipped: no Python 3.99" in capfd.readouterr().out
    assert not (fake_tox.parent / "asked").exists()


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], ""),
        (["--notest"], " --notest"),
        (["tests/reports", "-k", "holm"], " -- tests/reports -k holm"),
    ],
)
def test_each_version_that_is_here_runs_in_its_environment(monkeypatch, fake_tox, words, asked):
    newest = load("newest")
    monkeypatch.setattr(newest, "VERSIONS", (HERE,))
    monkeypatch.setattr(newest, "interpreter", lambda _: "/some/python")
    assert newest.main([str(fake_tox), *words]) == 7
    notest, _, arguments = asked.partition(" -- ")
    line = f"run -q --discover /some/python{notest} -e newest-{HERE}" + (
        f" -- {arguments}" if arguments else ""
    )
    assert (fake_tox.parent / "asked").read_text() == line + "\n"


def test_each_version_has_an_environment():
    versions = ",".join(load("newest").VERSIONS)
    assert f"[testenv:newest-{{{versions}}}]" in (ROOT / "tox.ini").read_text(encoding="utf-8")


def test_the_part_of_the_lowest_versions_names_tests_that_are_there():
    assert [path for path in load("part")._MEET_PYTHON if not (ROOT / path).exists()] == []
