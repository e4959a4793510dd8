"""Completion by a real shell, and what it offers: names from files, quickly, without a word of explanation."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.cli.test_registry import HEAVY
from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.cli import completion
from tunebench.harness.config.suite import built_in_suites

LAB = """
[[board]]
id = "pi5-01"
kind = "raspberry-pi"
host = "pi5-01"
tags = ["8gb"]

[[board]]
id = "orin-02"
kind = "jetson"
host = "orin-02"
"""
OWN = """
[suite]
name = "mine"
[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "lora-all"]
[[workload]]
label = "my-method"
command = ["python3", "x.py"]
files = ["x.py"]
"""
#: The program as a shell knows it, its modules told at the end.
PROGRAM = """
import json, sys
sys.argv = ["tunebench"]
from tunebench.harness.cli.app import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""

Complete = Callable[[str], list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lab.toml").write_text(LAB)
    (tmp_path / "mine.toml").write_text(OWN)
    return tmp_path


def ask(folder: Path, words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Ask for the completions of the last word, as bash does."""
    split = words.split(" ")
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={
            **os.environ,
            "HOME": str(folder),
            "_TUNEBENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(split) - 1),
            **env,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def complete(folder: Path) -> Complete:
    return lambda words: ask(folder, words).stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tunebench run -s sm", ["smoke"]),
        ("tunebench run -s mine", ["mine.toml"]),
        ("tunebench run -b ", ["pi5-01", "orin-02", "8gb"]),
        ("tunebench run -b pi5-01,", ["pi5-01,orin-02", "pi5-01,8gb"]),
        ("tunebench plan -i lab.toml -b 8", ["8gb"]),
        ("tunebench run -s mine.toml -m ", ["ft-all", "lora-all", "my-method"]),
        ("tunebench run -s mine.toml -m ft-all,lo", ["ft-all,lora-all"]),
        ("tunebench run -m skip", ["skip2-lora"]),
        ("tunebench setup ", ["pi5-01", "orin-02"]),
        ("tunebench doctor or", ["orin-02"]),
        ("tunebench status --", ["--out", "--json", "--help"]),
        ("tunebench nightly -s ni", ["nightly"]),
    ],
)
def test_names_are_completed_from_files(complete, words, offered):
    assert complete(words) == offered


def test_all_built_in_suites_are_offered(complete):
    assert set(built_in_suites()) <= set(complete("tunebench run -s "))


def test_runs_are_offered_the_newest_first(complete, folder):
    older = Stored().write(folder / "results")
    newer = Stored(finish=False, run_id="20261122T074500Z-a1b2").write(folder / "results")
    names = [str(path.relative_to(folder)) for path in (newer, older)]
    assert complete("tunebench report ") == names
    assert complete("tunebench compare results/lab1/2026/11/21/20261121") == names[1:]
    assert complete("tunebench verify res") == names
    assert complete(f"tunebench status {folder}/results/") == [str(newer), str(older)]


def test_nothing_is_said_and_nothing_heavy_imported(folder):
    """Each press of the tab key starts the program."""
    for words in ("tunebench run -b ", "tunebench run -s ", "tunebench run -m ", "tunebench report "):
        done = ask(folder, words)
        *said, modules = done.stderr.splitlines()
        assert said == []
        # typer itself takes pydantic from 0.29 on.
        assert not set(json.loads(modules)) & (HEAVY - {"pydantic"}), words
        assert "tunebench.harness.config.suite" not in modules


@pytest.mark.parametrize("text", ["[[board]", "board = 3", "", "[[board]]\nid = 3\n[[board]]\ntags = 'x'\n"])
def test_a_file_that_is_wrong_completes_to_nothing_or_to_what_it_has(folder, text):
    (folder / "lab.toml").write_text(text)
    done = ask(folder, "tunebench run -b ")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_without_an_inventory_nothing_is_offered_and_nothing_told(folder):
    (folder / "lab.toml").unlink()
    done = ask(folder, "tunebench run -b ")
    assert done.stdout.strip() == ""
    assert len(done.stderr.splitlines()) == 1, "the list of modules alone"
    named = ask(folder, "tunebench run -b ", TUNEBENCH_INVENTORY=str(folder / "mine.toml"))
    assert named.stdout.strip() == ""


def test_a_whole_file_system_is_not_walked_through(tmp_path, monkeypatch):
    monkeypatch.setattr(completion, "_MOST_LOOKED_AT", 50)
    for number in range(80):
        (tmp_path / f"{number:02d}" / "x").mkdir(parents=True)
    (tmp_path / "00" / "x" / "plan.json").write_text("{}")
    (tmp_path / "79" / "plan.json").write_text("{}")
    assert completion.run_folders(tmp_path) == [tmp_path / "79"], "the last by name come first"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# One. Two.\n[suite]\n", "One."),
        ("# One (see a.py. b). Two\n", "One (see a.py. b)."),
        ("# One v1.5 of\n# two? Yes.\n", "One v1.5 of two?"),
        ("# no end\n", "no end"),
        ("[suite]\n", ""),
    ],
)
def test_a_description_is_the_first_sentence_of_the_first_comment(tmp_path, text, sentence):
    (tmp_path / "x.toml").write_text(text)
    assert completion.description(tmp_path / "x.toml") == sentence


def test_bash_itself_completes(folder):
    """The script that ``--show-completion`` prints, in a real bash."""
    bash, program = shutil.which("bash"), shutil.which("tunebench")
    if bash is None or program is None:
        pytest.skip("needs bash, and the command tunebench on the path")
    script = f"""
        eval "$(_TUNEBENCH_COMPLETE=source_bash {program})"
        COMP_WORDS=(tunebench run -b or) COMP_CWORD=3
        $(complete -p tunebench | sed -E 's/.*-F ([^ ]+).*/\\1/') tunebench or -b
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [bash, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["orin-02"], done.stderr
