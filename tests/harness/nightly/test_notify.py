"""The hook of a night: started without a shell, told the verdict as JSON, and without a say in the exit code."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.errors import UsageError
from tunebench.harness.nightly import gate
from tunebench.harness.nightly import night as nightly_night
from tunebench.harness.nightly.notify import hook_of, notice, tell
from tunebench.reports.history.gating import Judgement, NightFinding

#: Writes what it was given beside itself, and ends as its last argument says.
HOOK = """
import json, sys
from pathlib import Path
told = json.load(sys.stdin)
Path(sys.argv[1]).write_text(json.dumps({"argv": sys.argv[2:], "told": told}))
sys.stderr.write("no mail today")
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def hook(tmp_path):
    """Function (code, *words) -> command line of a hook; and where it writes."""
    script, written = tmp_path / "my hook.py", tmp_path / "told.json"
    script.write_text(HOOK)

    def make(code: int, *words: str) -> str:
        return shlex.join([sys.executable, str(script), str(written), *words, str(code)])

    return make, written


def night(lab, *more):
    args = ["nightly", "-i", lab / "lab.toml", "-s", lab / "suite.toml", "--store", lab / "results", *more]
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 5])
def test_a_hook_is_told_the_night_and_its_failure_changes_no_exit_code(own_method, hook, monkeypatch, code):
    lab = own_method(0.05)
    monkeypatch.setattr(gate, "gate", lambda *_: Judgement("r", [NightFinding("UNCLEAR", "b", "n")]))
    make, written = hook
    result = night(lab, "--notify", make(code, "$(touch", "pwned);", "*"))
    assert result.exit_code == 3, result.output
    value = json.loads(written.read_text())
    assert value["argv"][:-1] == ["$(touch", "pwned);", "*"], "words are words"
    document = value["told"]
    assert (document["schema"], document["exit_code"], document["ending"]) == (
        "tunebench.night/1",
        3,
        "unclear",
    )
    assert document["gate"]["findings"][0]["verdict"] == "UNCLEAR"
    assert Path(document["run"], "run.json").is_file()
    assert Path(document["report"]).is_file()
    failed = "ended with exit code 5; it said: no mail today"
    assert (failed in result.stderr) == (code != 0)


@pytest.mark.slow
def test_a_night_that_cannot_be_judged_is_told_with_the_reason(own_method, hook, monkeypatch):
    def refuse(*_):
        raise UsageError("no such thing")

    monkeypatch.setattr(gate, "gate", refuse)
    make, written = hook
    assert night(own_method(0.05), "--notify", make(0)).exit_code == 2
    document = json.loads(written.read_text())["told"]
    assert (document["exit_code"], document["gate"]) == (2, None)
    assert document["headline"] == "the night could not be judged: no such thing"


def test_a_night_that_ends_in_an_error_is_told_too(own_method, hook, monkeypatch):
    def broken(*_, **more):
        raise KeyError("injected")

    monkeypatch.setattr(nightly_night.run, "run", broken)
    make, written = hook
    result = night(own_method(0.05), "--notify", make(0))
    assert result.exit_code != 0
    document = json.loads(written.read_text())["told"]
    assert (document["exit_code"], document["run"]) == (4, None)
    assert "KeyError" in document["headline"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "names no program"),
        ("   ", "names no program"),
        ("mail 'unclosed", "quotes are missing"),
        ("no-such-program-anywhere --x", "no program 'no-such-program-anywhere'"),
        ("./not-there.sh", "no program './not-there.sh'"),
        ("echo hi | mail ops", None),
    ],
)
def test_a_hook_that_cannot_be_started_is_refused_before_anything_is_measured(own_method, command, words):
    lab = own_method(0.05)
    if words is None:
        assert hook_of(command) == ("echo", "hi", "|", "mail", "ops"), "no shell: a pipe is a word"
        return
    result = night(lab, "--notify", command)
    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
    assert not (lab / "results").exists()


def value_of(**fields):
    return notice(0, None, None, None, **fields)


def test_a_hook_that_reads_nothing_or_is_killed_is_no_trouble_but_told(tmp_path):
    big = {**value_of(), "filler": "x" * 1_000_000}
    assert tell(["true"], big) is None
    assert tell(["sh", "-c", "kill -9 $$"], value_of()) == "--notify: sh ended with signal 9"
    gone = tmp_path / "gone"
    assert "cannot be started: No such file" in tell([str(gone)], value_of())


def test_a_hook_that_hangs_is_stopped_with_what_it_started(tmp_path):
    pid = tmp_path / "pid"
    began_s = time.monotonic()
    problem = tell(["sh", "-c", f"sleep 300 & echo $! > {pid}; wait"], value_of(), patience_s=0.5)
    assert "had not ended after 0.5 s and was stopped" in problem
    assert time.monotonic() - began_s < 10
    child = int(pid.read_text())
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().split(")")[1].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the hook's child still runs")
