"""Parts of CI: every test is in exactly one of them, and the tables at its end tell what was run."""

from __future__ import annotations

import importlib.util
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

SCRIPTS = Path(__file__).parents[2] / "scripts"
MARKS = ("slow", "alone", "browser", "openssh", "emulated", "faults", "demo", "torch", "data")


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def report(tmp_path):
    """The JUnit file of a run in which tests passed, failed and were skipped, one module as a whole."""
    folder = tmp_path / "rooms"
    folder.mkdir()
    (folder / "test_some.py").write_text(
        "import time, pytest\ndef test_quick(): pass\ndef test_slow(): time.sleep(0.3)\n"
        "@pytest.mark.parametrize('n', [1, 2])\n"
        "def test_tool(n):\n    if n == 2: pytest.skip('no tool')\n"
    )
    (folder / "test_whole.py").write_text(
        "import pytest\npytest.importorskip('no_such_tool')\ndef test_of_it(): pass\n"
    )
    path = tmp_path / "test.xml"
    words = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"--junitxml={path}", "rooms"]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, check=False, capture_output=True)
    return path


def test_every_test_is_run_in_exactly_one_part():
    part = load("part")
    chosen = [
        Expression.compile(marks)
        for marks in (part._FAST, part._REST, part._ALONE, "emulated", "faults", "demo")
    ]
    for has in itertools.product((False, True), repeat=len(MARKS)):
        marks = {mark for mark, there in zip(MARKS, has, strict=True) if there}
        if len({"emulated", "faults", "demo"} & marks) > 1:
            continue  # there is no such test
        assert sum(expression.evaluate(lambda name, **_: name in marks) for expression in chosen) == 1, marks  # noqa: B023


def test_what_was_skipped_is_known_by_its_id(report):
    assert sorted(load("part").skipped_by(report)) == [
        "rooms/test_some.py::test_tool[2]",
        "rooms/test_whole.py",
    ]


def test_a_part_that_did_not_run_lists_no_skipped_tests(tmp_path):
    assert load("part").skipped_by(tmp_path / "test.xml") == []


def test_files_that_name_a_mark_are_all_that_can_hold_it():
    """No hook and no helper adds one of these to a test from outside its file."""
    part = load("part")
    files = part.naming("alone")
    assert "tests/harness/campaign/test_load.py" in files
    assert len(files) < 20
    marks = re.compile(r"mark\.(alone|slow|browser|openssh_server|every_server)\b")
    for path in (part.ROOT / "tests").rglob("*.py"):
        if not path.name.startswith("test_"):
            assert not marks.search(path.read_text(encoding="utf-8")), path
    # `openssh` is added to what has one of the two marks of servers, which `make rest` looks for, too.
    assert "tests/targets/transport/test_ssh.py" in part.naming("every_server")


def test_long_files_are_among_those_of_the_rest_and_go_first(monkeypatch):
    part = load("part")
    runs = {}
    monkeypatch.setattr(part, "skipped_by", lambda _: [])
    monkeypatch.setattr(part, "pytest", lambda name, marks, *words, **_: runs.update({name: words}))
    part.rest([])
    files = [word for word in runs["rest"] if not word.startswith("--")]
    assert tuple(files[: len(part._LONG)]) == part._LONG
    assert len(set(files)) == len(files) > 100
    part.rest(["tests/fuzz"])
    assert [word for word in runs["rest"] if not word.startswith("--")] == ["tests/fuzz"]


def test_the_slowest_stand_first_below_their_runs(report):
    lines = load("slowest").lines([report])
    assert lines[0].endswith("s in     5 tests of test")
    assert lines[1] == "the 5 slowest:"
    assert lines[2].endswith("rooms/test_some::test_slow")


def test_an_unknown_part_is_told_which_there_are(capsys):
    assert load("part").main(["tests"]) == 2
    assert "lint|test|lowest|newest|rest|coverage|emulated|faults|demo|bench" in capsys.readouterr().err


def test_a_part_ends_with_the_code_of_the_command_that_failed(monkeypatch, tmp_path):
    part = load("part")
    monkeypatch.setattr(part, "JUNIT", tmp_path / "junit")
    monkeypatch.setitem(part.PARTS, "lint", lambda _: part.run(sys.executable, "-c", "raise SystemExit(7)"))
    assert part.main(["lint"]) == 7
