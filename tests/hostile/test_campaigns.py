"""Whole campaigns on boards that lie: the command ends by itself, says what is wrong, shows no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import warm

from .conftest import program

pytestmark = pytest.mark.slow

#: Runs the real agent and puts a lie into one of its answers.
_EDITOR = """
import json, subprocess, sys
command, field, lie = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
child = subprocess.Popen([sys.executable, *sys.argv[4:]], stdout=subprocess.PIPE)
for line in iter(child.stdout.readline, b""):
    if command in sys.argv[4:] and line.startswith(b"@tb1 ") and b'"pong"' not in line:
        line = b"@tb1 " + json.dumps({**json.loads(line[5:]), field: lie}).encode() + b"\\n"
    sys.stdout.buffer.write(line)
    sys.stdout.flush()
"""
_WORK = """
import os, sys
from tunebench import marks
marks.window_start()
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
%s
"""


@pytest.fixture
def tunebench(
    tmp_path: Path, one_repetition: Callable[[str], Path], bare_python: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a one-repetition campaign by the real command."""

    def run(lie: tuple[str, str, object] | None = None, work: str = "") -> subprocess.CompletedProcess[str]:
        one_repetition(_WORK % work)
        python = sys.executable
        if lie is not None:
            (tmp_path / "editor.py").write_text(_EDITOR)
            argv = f"{lie[0]} {lie[1]} '{json.dumps(lie[2])}'"
            text = f'#!/bin/sh\nexec {python} -S {tmp_path}/editor.py {argv} "$@"\n'
            python = program(tmp_path / "python3", text)
        (tmp_path / "lab.toml").write_text(
            '[lab]\nname = "lab"\n[[board]]\nid = "here"\nkind = "loopback"\n'
            f'workdir = "{tmp_path}/work"\npython = "{python}"\ninterpreter = "{bare_python}"\n'
        )
        argv = ["run", "--inventory", "lab.toml", "--suite", "suite.toml", "--out", "out"]
        return warm.run(
            [sys.executable, "-m", "tunebench", *argv],
            capture_output=True,
            text=True,
            timeout=180,
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "HOME": str(tmp_path)},
            check=False,
        )

    return run


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for path in folder.rglob("reps.jsonl") for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "lie",
    [
        ("probe", "fingerprint", [1]),
        ("start", "state", "\x1b[2Jrunning"),
        ("harvest", "sha256", "0" * 64),
        ("lease", "lease", "mine"),
    ],
    ids=lambda lie: f"{lie[0]}.{lie[1]}",
)
def test_a_lying_board_is_quarantined_with_a_reason(tunebench, tmp_path, lie):
    done = tunebench(lie)
    assert done.returncode in (3, 4), done.stdout + done.stderr
    assert "quarantined" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert records(tmp_path / "out") == []


STRANGE = r"""
open(b"a\nb", "w"); open(b"\xff\xfe", "w"); open("c\\d", "w"); open("\x1b[2J", "w")
os.symlink("/etc/passwd", "passwd"); os.mkfifo("fifo"); os.symlink("/", "root")
print("\x1b[2J\x1b]0;owned\x07"); sys.stdout.buffer.write(b"\xff" * 1000)
"""


def test_a_workload_that_leaves_strange_files_and_output_keeps_its_measured_result(tunebench, tmp_path):
    done = tunebench(work=STRANGE)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = records(tmp_path / "out")
    assert record["outcome"] == "ok"
    assert record["quality"]["after"] == 0.75
    assert "\x1b" not in done.stdout + done.stderr


def test_escape_sequences_in_the_last_output_are_shown_and_not_obeyed(tunebench, tmp_path):
    done = tunebench(work="sys.exit('\\x1b[2J\\x1b]0;owned\\x07 [/bold] sorry')")
    (record,) = records(tmp_path / "out")
    assert record["outcome"] == "failed"
    for text in (record["outcome_reason"], done.stdout, done.stderr):
        assert "\x1b" not in text
    assert "\\x1b[2J" in record["outcome_reason"]
