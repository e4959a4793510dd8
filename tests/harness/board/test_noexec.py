"""A board whose working directory is mounted noexec: told at the probe, in every place where it matters."""

from __future__ import annotations

import dataclasses
import sys

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.environment import unable
from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.lab.doctor import diagnose
from tunebench.harness.lab.setup import Refusal, Wish, set_up
from tunebench.harness.lab.survey import BoardRow
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Interpreter

SUITE = """
[suite]
name = "own"
blocks = 1

[[workload]]
label = "mine"
command = COMMAND
files = ["train", "train.py"]
"""


def workload(tmp_path, command: str):
    for name in ("train", "train.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "suite.toml").write_text(SUITE.replace("COMMAND", command))
    return load_suite(str(tmp_path / "suite.toml")).workloads[0]


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ('["./train"]', False),
        ('["./train", "--fast"]', False),
        ('["python3", "train.py"]', True),
        ('["/usr/bin/env", "true"]', True),
    ],
)
def test_an_own_program_is_left_out_with_the_reason_and_a_script_runs(tmp_path, command, runs):
    there = Interpreter(ok=True)
    chosen = workload(tmp_path, command)
    assert unable(chosen, there, ["python3"]) is None
    reason = unable(chosen, there, ["python3"], "/home")
    assert (reason is None) is runs
    if not runs:
        assert "/home, which is mounted noexec" in reason
        assert "workdir" in reason


def test_compiled_kernels_are_left_out_with_the_reason():
    suite = load_suite("smoke")
    native = [dataclasses.replace(each, engine="native") for each in suite.workloads]
    assert "compiled kernels" in unable(native[0], Interpreter(ok=True), ["python3"], "/home")


@pytest.fixture
def entry(noexec_folder, bare_python) -> BoardEntry:
    return BoardEntry(
        id="hard",
        kind="loopback",
        python=sys.executable,
        interpreter=bare_python,
        workdir=str(noexec_folder / "w"),
    )


def test_the_probe_the_survey_and_the_doctor_tell_it(entry, noexec_folder):
    payload = build_payload()
    with Board(entry.spec()) as board:
        board.sync([payload])
        probe = board.probe([])
    assert probe.noexec == str(noexec_folder)
    assert any("mounted noexec" in note for note in BoardRow(entry, probe).notes())
    checks = {check.name: check for check in diagnose(entry, payload).checks}
    assert checks["workdir"].state == "warn"
    assert "noexec" in checks["workdir"].message


def test_a_set_up_is_refused_before_anything_is_built(entry):
    with pytest.raises(Refusal, match="mounted noexec"):
        set_up(entry, Wish("cpu"), lambda _: None)
