"""Hints are command lines for the shell at hand: quoted, of this program, with the inventory that was named."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from tunebench.harness import hints


@pytest.fixture(autouse=True)
def nothing_remembered():
    yield
    hints.remember_inventory(None)


def words(line):
    """Return the words behind the program."""
    return shlex.split(line)[len(hints.program()) :]


@pytest.mark.parametrize("word", ["pi5-01", "a b", "it's", "$HOME", "`x`", "", "é", "*"])
def test_a_shell_gives_the_words_back_as_they_were(word):
    line = hints.command("release", word)
    assert words(line) == ["release", word]
    quoted = line.split("release ", 1)[1]
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf %s {quoted}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == word


def test_an_inventory_that_was_named_is_named_again_and_one_that_was_found_is_not(tmp_path):
    assert words(hints.command("setup", "pi", inventory=True)) == ["setup", "pi"]
    hints.remember_inventory(tmp_path / "my lab.toml")
    assert words(hints.command("setup", "pi", inventory=True)) == [
        "setup",
        "pi",
        "-i",
        str(tmp_path / "my lab.toml"),
    ]
    assert words(hints.command("report", "run")) == ["report", "run"], "it takes none"


def test_the_program_is_one_that_can_be_started():
    done = subprocess.run([*hints.program(), "--version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("tunebench ")


def test_without_a_script_it_is_the_interpreter(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python3"))
    hints.program.cache_clear()
    try:
        assert hints.command("plan") == f"{tmp_path}/python3 -m tunebench plan"
    finally:
        hints.program.cache_clear()


def test_a_new_run_is_begun_by_the_same_command_without_what_continues_one():
    assert words(hints.anew(["tunebench", "run", "--resume", "-s", "a b"])) == ["run", "-s", "a b"]
    assert words(hints.anew(["tunebench", "run", "--add-blocks", "3", "-s", "q"])) == ["run", "-s", "q"]
    assert words(hints.anew(["tunebench", "run", "--add-blocks=3", "-s", "q"])) == ["run", "-s", "q"]
    called = ["tunebench", "run", "--blocks", "2", "--add-blocks", "3", "-s", "q"]
    assert words(hints.anew(called, leave_out=["--blocks"])) == ["run", "-s", "q"]
