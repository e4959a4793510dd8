"""Output that fails, and errors that nobody foresaw, in a pytest session: one sentence, never a traceback of ours."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys

import pytest

from tests import warm
from tests.sessions import PYTEST
from tunebench.harness.hil.streams import ForgivenStream

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
    assert "later: `tunebench report results/" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def _start(tmp_path, lab, sleep_suite, *more, **streams):
    """Start a session of two repetitions; its tests print, too."""
    (tmp_path / "test_own.py").write_text(
        "def test_it(remote, board, workload):\n    assert remote().quality_after > 0.5\n    print('text ' * 4000)\n"
    )
    words = [
        sys.executable, *PYTEST, "--inventory", str(lab("one")),
        "--campaign", str(sleep_suite(["a", "b"], blocks=1)), *more,
    ]  # fmt: skip
    # A worker of pytest-xdist names itself there, and pytest-benchmark then measures nothing.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return warm.Popen(words, cwd=tmp_path, env=env, **streams)


def _complete(tmp_path) -> bool:
    (path,) = tmp_path.glob("results/**/reps.jsonl")
    return path.read_text().count('"outcome":"ok"') == 2 and path.with_name("run.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "more"), [(0, ()), (1, ("-v",)), (9, ("-s", "--benchmark-json=out.json"))], ids=str
)
def test_with_nobody_reading_the_session_goes_on_and_keeps_its_code(tmp_path, lab, sleep_suite, lines, more):
    """As `pytest ... 2>&1 | head -1`, with the pipe closed before the first line, in the head and in mid-campaign."""
    process = _start(
        tmp_path, lab, sleep_suite, *more, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=100) == 0
    assert _complete(tmp_path)
    assert not more or more[0] != "-s" or (tmp_path / "out.json").stat().st_size


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.slow
def test_a_full_disk_below_the_log_of_a_session_is_told_and_stops_nothing(tmp_path, lab, sleep_suite):
    with open("/dev/full", "w") as full:
        process = _start(tmp_path, lab, sleep_suite, "-v", stdout=full, stderr=subprocess.PIPE)
        _, shown = process.communicate(timeout=100)
    assert process.returncode == 0, shown
    assert shown.decode() == (
        "tunebench: standard output: No space left on device; what was to be printed is not whole\n"
    )
    assert _complete(tmp_path)


# The parts


@pytest.fixture
def broken():
    """A buffered stream into a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w")  # noqa: SIM115
    yield stream
    with contextlib.suppress(OSError):
        stream.close()


def test_a_forgiven_stream_drops_what_it_cannot_write_and_keeps_nothing(broken):
    forgiven = ForgivenStream(broken)
    print("lost", file=broken, flush=True)
    assert forgiven.failure is not None
    assert forgiven.failure.errno == errno.EPIPE
    broken.write("lost, too")
    forgiven.restore()
    broken.flush()  # would fail if anything were left in it
    broken.write("its own error again")
    with pytest.raises(BrokenPipeError):
        broken.flush()


def test_a_forgiven_stream_that_works_is_as_it_was(tmp_path):
    with (tmp_path / "file").open("w", encoding="ascii") as stream:
        forgiven = ForgivenStream(stream)
        print("text", file=stream)
        with pytest.raises(UnicodeEncodeError):  # pytest's terminal answers it
            stream.write("\N{MICRO SIGN}")
        forgiven.restore()
        stream.write("more")
    assert (tmp_path / "file").read_text() == "text\nmore"
    assert forgiven.failure is None


def test_only_a_session_with_an_inventory_is_forgiven(tmp_path):
    """Plain pytest behind a closed pipe stays as it is, with this plugin installed."""
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, *PYTEST],
        cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, timeout=100, check=False,
    )  # fmt: skip
    os.close(writing)
    assert done.returncode != 0


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_beginning_stop_no_session(tmp_path, closed):
    """pytest's terminal needs some stream, before it is known whether anything will be measured."""
    (tmp_path / "test_plain.py").write_text("def test_plain():\n    pass\n")
    line = f"exec {sys.executable} -m pytest -p no:cacheprovider --junitxml=out.xml {closed}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, timeout=100, check=False)
    assert done.returncode == 0
    assert 'failures="0"' in (tmp_path / "out.xml").read_text()
