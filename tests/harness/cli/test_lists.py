"""``tunebench suites`` and ``examples``: what there is, what it is for, and how to begin with it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.cli import examples
from tunebench.harness.cli.app import app
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import built_in_suites, load_suite
from tunebench.harness.errors import UsageError

ROOT = Path(__file__).parents[3]


def called(*words: object, columns: int = 80) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_each_suite_says_what_it_is_for_and_how_much_it_is(tmp_path):
    text = called("suites", "-o", tmp_path)
    for name in built_in_suites():
        assert f"\n{name}: " in f"\n{text}"
    assert "does everything work on this board?" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_suite_that_ran_here_says_how_long_it_took(tmp_path):
    Stored().write(tmp_path)
    assert "took 7:10 on host (2026-11-21)" in called("suites", "-o", tmp_path)
    values = {value["name"]: value for value in json.loads(called("suites", "-o", tmp_path, "--json"))}
    assert values["demo"]["last_run"]["seconds"] == 430.0
    assert values["smoke"]["last_run"] is None
    assert all(value["description"] for value in values.values())


def test_a_run_that_is_not_complete_tells_no_duration(tmp_path):
    Stored(finish=False).write(tmp_path)
    values = {value["name"]: value for value in json.loads(called("suites", "-o", tmp_path, "--json"))}
    assert values["demo"]["last_run"] is None


def test_the_examples_are_listed_each_with_what_it_is():
    text = called("examples", columns=200)
    for path in examples.files(ROOT / "examples"):
        line = next(
            line for line in text.splitlines() if line.startswith(str(path.relative_to(ROOT / "examples")))
        )
        assert len(line.split()) > 3, line


def test_the_examples_are_copied_and_work_where_they_are(tmp_path):
    folder = tmp_path / "my examples"
    text = called("examples", folder)
    names = {path.relative_to(ROOT / "examples") for path in examples.files(ROOT / "examples")}
    assert {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()} == names
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("  ")]
    assert commands
    for words in commands:
        load_inventory(Path(words[words.index("-i") + 1]))
        if "-s" in words:
            assert any(workload.own for workload in load_suite(words[words.index("-s") + 1]).workloads)


def test_copying_again_writes_nothing_and_a_changed_file_is_never_overwritten(tmp_path):
    called("examples", tmp_path)
    assert "0 of " in called("examples", tmp_path)
    (tmp_path / "lab.toml").write_text("mine")
    (tmp_path / "own" / "my_ft.py").unlink()
    done = CliRunner().invoke(app, ["examples", str(tmp_path)])
    assert isinstance(done.exception, UsageError)
    assert f"{tmp_path}/lab.toml: there already" in str(done.exception)
    assert (tmp_path / "lab.toml").read_text() == "mine"
    assert not (tmp_path / "own" / "my_ft.py").exists(), "nothing was written"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_a_mistake(tmp_path, place):
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["examples", str(tmp_path / place)])
    assert isinstance(done.exception, UsageError)
    assert "cannot be written" in str(done.exception)
