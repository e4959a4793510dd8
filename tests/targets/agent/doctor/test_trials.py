"""What may import well and die at its first use: real children, each step told before it is taken."""

from __future__ import annotations

import sys

import pytest

from tunebench.targets.agent.doctor.trials import EIGHT_BIT, TRIALS, Trial, chosen, run
from tunebench.targets.client.replies import TrialEnd

PYTHON = [sys.executable, "-S"]


def trial(source, package="json"):
    return Trial("kernel", package, (("import", "import json, os, signal"), ("first use", source)))


def row_of(source, **options):
    (row,) = run(PYTHON, [trial(source)], **options)["trials"]
    return TrialEnd.model_validate(row)


def test_what_survives_tells_its_steps_version_and_time():
    row = row_of("print('a library says something'); json.dumps(1)")
    assert (row.survived, row.died_in, row.reason) == (["import", "first use"], None, None)
    assert row.version and row.seconds > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGILL)", "killed by SIGILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("raise RuntimeError('no kernel image is available')", "RuntimeError: no kernel image is available"),
        ("os._exit(7)", "exit status 7"),
    ],
)
def test_what_dies_at_its_first_use_is_known_by_the_step_and_the_reason(source, reason):
    row = row_of(source)
    assert (row.survived, row.died_in, row.reason) == (["import"], "first use", reason)


def test_what_never_ends_is_ended(monkeypatch):
    row = row_of("signal.pause()", limit_s=3.0)
    assert (row.died_in, row.reason) == ("first use", "no end within 3 s")


def test_what_is_not_there_has_no_row_and_a_death_ends_no_other_trial():
    table = [trial("", "no_such_package"), trial("os.kill(os.getpid(), 9)"), trial("json.dumps(1)")]
    rows = run(PYTHON, table)["trials"]
    assert [row["died_in"] for row in rows] == ["first use", None]


def test_an_interpreter_that_does_not_start_is_told():
    (row,) = run(["/no/such/python"], [trial("")])["trials"]
    assert row["died_in"] == "start" and "cannot start /no/such/python" in row["reason"]


def test_the_table_tries_transformers_before_a_4_bit_kernel():
    assert [row.package for row in TRIALS] == ["transformers", "bitsandbytes", "bitsandbytes"]


def test_what_is_asked_for_alone_is_tried_and_where():
    assert [row.name for row in chosen([EIGHT_BIT])] == [EIGHT_BIT]
    for place in ("cpu", "cuda"):
        (row,) = run(PYTHON, [trial(f"assert place == {place!r}")], place=place)["trials"]
        assert row["died_in"] is None, row
