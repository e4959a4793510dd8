"""Output that fails, and errors that nobody foresaw, in a pytest session: one sentence, never a traceback of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A fake, for a fault that cannot be made otherwise: a library that raises in one of our layers.
FAULT = """
import importlib

import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    module, _, name = {where!r}.rpartition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)

    def fails(*arguments, **more):
        raise {error}("injected")

    setattr(owner, last, fails)
"""

ERRORS = ("KeyError", "AttributeError", "ValueError")
BEFORE = (
    "tunebench.harness.hil.session:load_inventory",
    "tunebench.harness.hil.session:load_suite",
    "tunebench.harness.hil.run:open_session",
    "tunebench.harness.campaign.session:gather",
    "tunebench.harness.campaign.session:make_plan",
)
DURING = (
    "tunebench.harness.campaign.board_run:BoardRun.run",
    "tunebench.harness.campaign.repetition:make_record",
    "tunebench.reports.results.writer:RunWriter.append",
)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", BEFORE, ids=lambda where: where.rpartition(":")[2])
def test_an_injected_error_before_the_campaign_is_one_sentence(
    run_pytest, tmp_path, quick, measuring, nothing_measured, where, error
):
    (tmp_path / "injected_fault.py").write_text(FAULT.format(where=where, error=error))
    done = run_pytest("-p", "injected_fault", *quick)
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"unexpected {error}: " in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "INTERNALERROR" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", DURING, ids=lambda where: where.rpartition(":")[2])
def test_an_injected_error_in_the_campaign_is_one_sentence_and_no_pass(
    run_pytest, tmp_path, quick, measuring, where, error
):
    (tmp_path / "injected_fault.py").write_text(FAULT.format(where=where, error=error))
    done = run_pytest("-p", "injected_fault", *quick)
    output = done.stdout + done.stderr
    assert done.returncode in (1, 4), output
    assert f"board one: unexpected {error}: " in output
    assert "Traceback" not in output
    assert "INTERNALERROR" not in output
    assert "passed" not in done.stdout


def test_the_traceback_is_there_for_who_asks(run_pytest, tmp_path, quick, measuring):
    (tmp_path / "injected_fault.py").write_text(FAULT.format(where=BEFORE[2], error="KeyError"))
    done = run_pytest("-p", "injected_fault", *quick, "--full-trace")
    assert done.returncode != 0
    assert "KeyError: 'injected'" in done.stdout + done.stderr
    assert "in fails" in done.stdout + done.stderr or "fails(" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_report_that_cannot_be_written_is_told_and_the_session_passes(
    run_pytest, tmp_path, quick, measuring
):
    (tmp_path / "file").write_text("")
    done = run_pytest(*quick, "--tunebench-report", "file/report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report: not written: file/report.html: cannot be written" in done.stdout
    assert "later: tunebench report results/" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_with_nobody_reading_the_campaign_goes_on(tmp_path, lab, sleep_suite, measuring):
    """As `pytest -v ... | head -1`: pytest itself ends with an error of its own; the boards' queues are worked off."""
    words = [
        sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--inventory", str(lab("one")),
        "--campaign", str(sleep_suite(["a", "b"], blocks=2, sleep_s=0.3)),
    ]  # fmt: skip
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=100) != 0
    (path,) = tmp_path.glob("results/**/reps.jsonl")
    assert path.read_text().count('"outcome":"ok"') == 4
