"""The composite action and the GitLab template: what they run is bash with variables, whatever a label says."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tunebench.harness.cli.registry import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "examples" / "ci" / "tunebench-ci.sh"
#: Stands for tunebench where only the words it is called with matter: a real campaign takes minutes.
FAKE = """#!/usr/bin/env bash
printf '%s\\n' "$@" -- >>"$CALLS"
if [ "$1" = run ]; then mkdir -p tunebench-results; fi
if [ "$3" = --format ]; then echo '## fast'; fi
if [ "$1" = "${FAILS:-}" ]; then exit "${CODE:-1}"; fi
"""


@pytest.fixture
def job(tmp_path: Path):
    """Run the script with a fake tunebench; return exit code, output and the calls' words."""
    program = tmp_path / "bin" / "tunebench"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)

    def run(**variables: str) -> tuple[int, str, list[list[str]]]:
        calls = tmp_path / "calls"
        calls.write_text("")
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "CALLS": str(calls),
            "TUNEBENCH_INVENTORY": "lab.toml",
        }
        done = subprocess.run(
            ["bash", str(SCRIPT)], cwd=tmp_path, env={**environment, **variables}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        words = calls.read_text().split("--\n")[:-1]
        return done.returncode, done.stdout + done.stderr, [call.splitlines() for call in words]

    return run


def test_a_night_goes_into_the_store_and_is_shared(job):
    code, _, calls = job(
        TUNEBENCH_STORE="/srv/r", TUNEBENCH_SHARED="parquet:///share", TUNEBENCH_BASELINE="pin"
    )
    assert code == 0
    nightly = ["nightly", "--inventory", "lab.toml", "--suite", "nightly", "--store", "/srv/r"]
    assert calls == [
        [*nightly, "--summary", "tunebench-summary", "--baseline", "pin"],
        ["push", "parquet:///share", "/srv/r"],
    ]


@pytest.mark.parametrize(
    ("fails", "code", "ends"), [("nightly", "1", 1), ("push", "4", 4), ("nightly", "3", 3), ("none", "0", 0)]
)
def test_the_verdict_of_the_night_is_the_jobs_and_what_was_measured_is_shared_all_the_same(
    job, fails, code, ends
):
    ended, _, calls = job(TUNEBENCH_SHARED="postgres://db/bench", FAILS=fails, CODE=code)
    assert (ended, [call[0] for call in calls]) == (ends, ["nightly", "push"])


def test_a_label_chooses_the_boards_of_a_pull_request_and_its_report_is_the_summary(job, tmp_path):
    summary = tmp_path / "step"
    summary.write_text("before\n")
    labels = '["bug", "tunebench:pi5-*"]'
    code, _, calls = job(TUNEBENCH_PULL="true", TUNEBENCH_LABELS=labels, GITHUB_STEP_SUMMARY=str(summary))
    assert code == 0
    assert calls[0][:1] + calls[0][-3:] == ["run", "--boards=pi5-*", "--out", "tunebench-results"]
    assert summary.read_text() == "before\n## fast\n"


@pytest.mark.parametrize(
    "label", ["$(touch hacked)", "`touch hacked`", "x;touch hacked", "--out=/", '"; touch hacked #']
)
def test_a_hostile_label_is_one_word(job, tmp_path, label):
    _, _, calls = job(TUNEBENCH_PULL="true", TUNEBENCH_LABELS=f"tunebench:{label}")
    assert f"--boards={label}" in calls[0]
    assert not (tmp_path / "hacked").exists()


def test_without_a_label_nothing_is_measured_and_two_are_refused(job):
    assert job(TUNEBENCH_PULL="true", TUNEBENCH_LABELS="[]")[::2] == (0, [])
    code, output, calls = job(TUNEBENCH_PULL="true", TUNEBENCH_LABELS="tunebench:a,tunebench:b")
    assert (code, calls) == (2, [])
    assert "one chooses the boards" in output


def test_the_action_puts_nothing_into_its_command_by_text_and_every_command_exists():
    action = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert "${{" not in action.partition("      run:")[2]
    assert set(re.findall(r"^\s*tunebench (\S+)", SCRIPT.read_text(), re.MULTILINE)) <= set(COMMANDS)
    given = set(re.findall(r"(TUNEBENCH_\w+):", action))
    assert given == set(re.findall(r"^#   (TUNEBENCH_\w+)", SCRIPT.read_text(), re.MULTILINE))
