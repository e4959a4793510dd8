"""Runs that nobody waits for: real processes, on a loopback board, ended, killed and asked for from elsewhere."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import click
import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.errors import HarnessError
from tunebench.harness.submission import submission as submissions
from tunebench.harness.submission.submission import ASKED, ENDED, FOLDER, LOCK, read
from tunebench.targets.agent.job.state import running
from tunebench.targets.agent.linux.detached import is_held
from tunebench.targets.agent.workdir import Workdir


def until(condition, within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def process_of(folder: Path) -> int:
    """Return the process that holds a submission: the one that was started with its folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"tunebench.harness.submission.runner" in words and str(folder).encode() in words:
            return int(path.parent.name)
    raise AssertionError("no such process")


@pytest.mark.slow
def test_a_submitted_run_outlives_who_asked_and_is_collected_with_its_exit_code(
    cli, lab, sleep_suite, tmp_path
):
    out = tmp_path / "out"
    words = ("-i", str(lab("here")), "-s", str(sleep_suite(["a"], blocks=2, sleep_s=2.0)), "-o", str(out))
    asked = cli("submit", *words, "--no-html", RUNNER_TRACKING_ID="github_7")
    assert asked.returncode == 0, asked.stderr
    name = asked.stdout.strip()
    assert f"collect {name} --out {out} --wait" in asked.stderr
    folder = out / FOLDER / name
    environment = Path(f"/proc/{process_of(folder)}/environ").read_bytes()
    assert b"RUNNER_TRACKING_ID" not in environment and b"HOME=" in environment
    early = cli("collect", "-o", str(out))
    assert early.returncode == 75 and f"{name}: running" in early.stdout
    ended = cli("collect", name, "-o", str(out), "--wait", "--json")
    assert ended.returncode == 0, (folder / "log.txt").read_text()
    told = json.loads(ended.stdout)
    assert (told["state"], told["exit_code"], told["run"]["exit_code"]) == ("ended", 0, 0)
    assert Path(told["run"]["run"]).is_dir() and "[2/2] here:" in Path(told["log"]).read_text()
    assert f"Results: {told['run']['run']}" in cli("collect", "-o", str(out)).stdout


@pytest.mark.slow
def test_a_submission_is_stopped_like_ctrl_c_and_one_that_was_killed_is_told_from_one_that_runs(
    cli, lab, sleep_suite, tmp_path
):
    out, place = tmp_path / "out", Workdir(str(tmp_path / "work-here"))
    words = ("-i", str(lab("here")), "-s", str(sleep_suite(["a"], blocks=2, sleep_s=30.0)), "-o", str(out))
    first = cli("submit", *words).stdout.strip()
    until(lambda: running(place))
    os.kill(process_of(out / FOLDER / first), signal.SIGTERM)
    stopped = cli("collect", first, "-o", str(out), "--wait-s", "60")
    assert stopped.returncode == 130 and "exit code 130" in stopped.stdout
    assert not Path(place.lease).exists(), "the board is freed, as after Ctrl-C"
    folder = tmp_path / "by-hand"
    folder.mkdir()
    (folder / ASKED).write_text(json.dumps({"schema": submissions.SCHEMA, "words": []}))
    assert read(folder).state == "killed", "nobody holds its lock, and it has not ended"
    (folder / ENDED).write_text(json.dumps({"code": None, "signal": 9}))
    assert (read(folder).state, read(folder).code) == ("ended", None)


def test_mistakes_are_told_before_anything_is_started(lab, sleep_suite, tmp_path):
    inventory, suite, out = str(lab("here")), str(sleep_suite(["a"])), tmp_path / "out"
    for words, part in (
        (("-i", inventory, "-s", "no-such-suite"), "no-such-suite"),
        (("-i", inventory, "-s", suite, "-b", "there"), "no board"),
        (("-i", inventory, "-s", suite, "--blokcs", "3"), "--blokcs"),
        (("-i", inventory, "-s", suite, "--json"), "tunebench collect"),
    ):
        assert part in refusal("submit", *words, "-o", str(out))
    assert not (out / FOLDER).exists()
    assert "there are: none" in refusal("collect", "-o", str(out))


def refusal(*words: str) -> str:
    """Return what a mistake is told; its exit code is 2."""
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
    if isinstance(done.exception, (HarnessError, click.UsageError)):
        ending = done.exception
        assert ending.exit_code == 2
        return str(ending) if isinstance(ending, HarnessError) else ending.format_message()
    assert done.exit_code == 2, done.output
    return done.output


#: Stands for systemd where none runs: it keeps what it was asked, and starts the command detached.
FAKE_SYSTEMD_RUN = """#!{python}
import json, subprocess, sys
cut = sys.argv.index("--")
open({asked!r}, "w").write(json.dumps(sys.argv[1:cut]))
subprocess.Popen(sys.argv[cut + 1:], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
"""


def test_where_systemd_serves_a_transient_unit_holds_the_run(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    asked = tmp_path / "asked.json"
    (programs / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (programs / "systemd-run").write_text(FAKE_SYSTEMD_RUN.format(python=sys.executable, asked=str(asked)))
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    started = submissions.submit(tmp_path / "out", ["--no-such-option"])
    until(lambda: read(started.folder).state == "ended", 30)
    assert read(started.folder).code == 2 and "--no-such-option" in started.log.read_text()
    options = json.loads(asked.read_text())
    assert options[:3] == ["--user", "--collect", "--quiet"]
    assert f"--unit=tunebench-{started.id}" in options and f"--working-directory={Path.cwd()}" in options
    assert started.held_by == f"tunebench-{started.id}"
    (programs / "systemctl").write_text("#!/bin/sh\nexit 1\n")
    assert submissions.submit(tmp_path / "out", ["--no-such-option"]).held_by is None
    until(
        lambda: (
            not any(is_held(str(path.parent / LOCK)) for path in submissions.submissions(tmp_path / "out"))
        ),
        30,
    )
