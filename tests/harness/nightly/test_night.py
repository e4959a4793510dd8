"""``tunebench night``, the one command of a lab's timer: what it writes, and its exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.errors import UsageError
from tunebench.harness.nightly import gate
from tunebench.harness.nightly import night as nightly_night
from tunebench.reports.history.gating import Judgement, NightFinding

EXAMPLES = Path(__file__).parents[3] / "examples" / "nightly"


@pytest.fixture
def lab(own_method):
    return own_method(0.05)


def night(lab, *more):
    args = ["nightly", "-i", lab / "lab.toml", "-s", lab / "suite.toml", "--store", lab / "results", *more]
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.mark.slow
def test_a_night_leaves_report_and_summaries_and_tells_the_job_page(lab, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(lab / "page.md"))
    result = night(lab, "--summary", lab / "summary")
    assert result.exit_code == 0, result.output
    assert (lab / "summary" / "report.html").stat().st_size > 1000
    assert ElementTree.parse(lab / "summary" / "gate.xml").getroot().get("failures") == "0"
    assert (lab / "page.md").read_text() == (lab / "summary" / "gate.md").read_text()
    assert "1 NEW" in result.stdout
    page = (lab / "summary" / "report.html").read_text()
    assert page.index("Nightly gate: Nothing found") < page.index("<h1>")
    lines = result.stdout.splitlines()
    assert lines[-2].startswith("Answer: here · ")
    assert lines[-1].startswith("Report: ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ("REGRESSION", 1),
        ("OFFLINE", 4),
        ("UNCLEAR", 3),
        ("BOARD", 0),
    ],
)
def test_the_gates_verdict_is_the_nights_exit_code(lab, monkeypatch, verdict, code):
    monkeypatch.setattr(gate, "gate", lambda *_: Judgement("r", [NightFinding(verdict, "b", "n")]))
    assert night(lab).exit_code == code


@pytest.mark.slow
def test_a_night_that_cannot_be_judged_is_still_reported(lab, monkeypatch):
    def refuse(*_):
        raise UsageError("no such thing")

    monkeypatch.setattr(gate, "gate", refuse)
    result = night(lab)
    assert result.exit_code == 2
    assert "could not be judged: no such thing" in result.output
    assert "Report: " in result.output


@pytest.mark.slow
def test_a_red_night_is_red_at_once_in_its_report_and_may_go_without_one(lab, monkeypatch):
    monkeypatch.setattr(
        gate, "gate", lambda *_: Judgement("r", [NightFinding("REGRESSION", "b", "b / t / m", "k", "time")])
    )
    result = night(lab)
    assert result.exit_code == 1
    page = next(lab.glob("results/**/*.html")).read_text()
    assert page.index("Nightly gate: Regression") < page.index("<h1>")
    assert "accept k --reason " in result.stdout
    quiet = night(lab, "--no-html")
    assert "Report: " not in quiet.output


def test_an_interrupt_is_the_first_of_a_nights_exit_codes_and_success_the_last():
    assert nightly_night.PRECEDENCE == (130, 2, 1, 4, 3, 0)


def test_the_workflow_is_safe_to_copy():
    text = (EXAMPLES / "tunebench-nightly.yml").read_text()
    triggers = text[text.index("\non:") : text.index("\npermissions:")]
    assert "\n  pull_request" not in triggers
    for needed in ("group: tunebench-my-lab", "cancel-in-progress: false", "if: always()", "contents: read"):
        assert needed in text
    assert "--summary summary" in text


def test_the_commands_of_the_examples_exist():
    for name in ("tunebench-nightly.yml", "tunebench-nightly.service"):
        text = (EXAMPLES / name).read_text()
        line = next(line for line in text.splitlines() if "tunebench nightly" in line)
        options = [word for word in line.split() if word.startswith("--")]
        help_text = subprocess.run(
            [sys.executable, "-m", "tunebench", "nightly", "--help"],
            capture_output=True, text=True, check=True, env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
        ).stdout  # fmt: skip
        assert [option for option in options if option not in help_text] == []
