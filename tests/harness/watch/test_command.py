"""``tunebench watch`` itself: lines without a terminal, tables on one, killed without a trace."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.ctrl_c import heed
from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.cli.app import app
from tunebench.harness.errors import ending_of
from tunebench.harness.watch.terminal import drawn, follow
from tunebench.harness.watch.view import Watch


def called(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "100"})


def test_a_finished_run_is_told_and_that_is_all(tmp_path):
    path = Stored().write(tmp_path)
    done = called("watch", "-o", tmp_path)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].endswith("demo: complete, 19 of 19 repetitions")
    assert "skip2-lora: 3." in done.stdout and "no verdict" in done.stdout
    assert done.stdout.rstrip().endswith(f"complete; results: {path}")
    assert json.loads(called("watch", path, "--json").stdout)["state"] == "complete"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--port", "80"], "--port goes with --web"),
        (["--web", "--json"], "give one of them"),
        ([], "holds no run"),
        (["no-such-run"], "does not exist"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, words, part):
    done = called("watch", *words, "-o", tmp_path)
    assert done.exception is not None
    ending = ending_of(done.exception)
    assert ending.code == 2 and part in ending.message


def test_a_run_is_followed_to_its_end_on_a_terminal_and_without_one(written, tmp_path):
    run = written("pi")
    steps = [
        lambda: run.add("pi", "ft-all", 0, 2.0),
        lambda: run.add(
            "pi", "lora", 0, 1.0, outcome="failed", outcome_reason="[bold]\x1b[2J", verdict="invalid"
        ),
        run.end,
    ]
    with (tmp_path / "lines").open("w+") as file:
        last = follow(Watch(run.path), Console(file=file, width=60), lambda _: steps.pop(0)())
        file.seek(0)
        lines = file.read().splitlines()
    assert last.state == "not complete"
    assert lines[1] == "pi: 0 of 6; now digits/mlp ft-all block 0"
    assert lines[2].startswith("pi: digits/mlp ft-all block 0: 2.000 s")
    assert lines[3] == "pi: digits/mlp lora block 0: failed: [bold]\\x1b[2J [invalid]"
    assert lines[-1].startswith("nobody measures it now; to continue it: ")
    terminal = Console(width=160, record=True, force_terminal=True)
    terminal.print(drawn(last))
    text = terminal.export_text()
    assert "[bold]\\x1b[2J" in text and "1/6" not in text and "2/6" in text


def test_it_serves_until_it_is_killed_and_the_run_goes_on(written):
    run = written("pi")
    process = subprocess.Popen(
        [sys.executable, "-m", "tunebench", "watch", str(run.path), "--web"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", address)
        assert "ssh -L" in process.stdout.readline()
        with urllib.request.urlopen(address.replace("/?", "/text?"), timeout=10) as answer:
            assert b"0 of 6 repetitions" in answer.read()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    run.add("pi", "ft-all", 0, 2.0)
    assert Watch(run.path).look().recorded == 1


def test_ctrl_c_is_the_usual_way_to_leave(written):
    run = written("pi")
    process = subprocess.Popen(
        [sys.executable, "-m", "tunebench", "watch", str(run.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=heed,  # noqa: PLW1509 - no threads of ours yet
    )
    assert "running, 0 of 6" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert (process.returncode, told) == (0, "")
