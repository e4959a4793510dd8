"""A finished run keeps all that its verdicts were made from: each is judged again, and a change is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunebench.harness.record.harvest import MAX_EXIT_B, read_harvest
from tunebench.harness.verify import look_through
from tunebench.reports.results.files import pack, sha256_file, unpack

Edit = Callable[[dict, dict], object]


@pytest.fixture
def forged(tmp_path: Path) -> Callable[[Path, Edit], set[str]]:
    """Function that changes the first record and its exit record in a copy, makes the copy's checksums anew, and
    returns the codes of the findings."""

    def forge(run: Path, edit: Edit) -> set[str]:
        copy = tmp_path / "forged"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        rows = [json.loads(line) for line in (copy / "reps.jsonl").read_text().splitlines()]
        path = copy / rows[0]["exit"]
        exit_record = json.loads(unpack(path.read_bytes()))
        edit(rows[0], exit_record)
        path.write_bytes(pack(json.dumps(exit_record).encode()))
        (copy / "reps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        manifest = json.loads((copy / "run.json").read_text())
        manifest["files"] = {name: sha256_file(copy / name) for name in manifest["files"]}
        (copy / "run.json").write_text(json.dumps(manifest))
        return {discrepancy.code for discrepancy in look_through(copy).findings}

    return forge


def counted(when: str, **numbers: int) -> Edit:
    return lambda _, exit_record: exit_record["counters"][when].update(numbers)


TRIPPED = {"tripped_c": 99.0, "limit_c": 90.0}
#: A change of the board's exit record, or of the record, and the finding that it must give.
FORGED: tuple[tuple[str, Edit, str], ...] = (
    ("pages were swapped", counted("after", pswpin=1 << 40), "verdict"),
    ("the watchdog tripped", lambda _, exit_record: exit_record.update(watchdog=TRIPPED), "verdict"),
    ("it slept", counted("after", boottime_ns=1 << 62), "verdict"),
    ("the sampler stood still", lambda _, exit_record: exit_record["sampler"].update(max_gap_s=9.0), "verdict"),
    ("a clock drifted", lambda row, _: row["seen"]["exchanges"][0][1].update(offset_s=9.0), "verdict"),
    ("a check failed", lambda row, _: row["seen"].update(check_failed="cache on and off disagree"), "verdict"),
    ("tuning was lost", lambda row, _: row["seen"].update(tuning_faults=["governor is not set"]), "verdict"),
    ("a reason without ground", lambda row, _: row["reasons"].append({"code": "swapped", "message": "x"}), "verdict"),
    ("another length", lambda row, _: row.update(process_s=9.0), "exit-record"),
    ("another temperature", lambda row, _: row["conditions"].update(temp_max_c=20.0), "exit-record"),
    ("another's record", lambda _, exit_record: exit_record.update(rep_id="other"), "exit-record"),
    ("it ended otherwise", lambda _, exit_record: exit_record.update(outcome="deadline"), "exit-record"),
    ("no exit record any more", lambda row, _: row.update(exit=None), "exit-record"),
    ("not of its schema", lambda _, exit_record: exit_record.update(outcome="great"), "exit-record"),
)  # fmt: skip


@pytest.mark.slow
def test_every_verdict_of_a_run_comes_out_again_and_what_was_changed_is_found(
    campaign, lab, sleep_suite, forged
):
    run = campaign(lab("here"), sleep_suite(["a"], blocks=1)).path
    looked = look_through(run)
    assert (looked.findings, looked.notes) == ([], [])
    assert forged(run, lambda *_: None) == set()
    for change, edit, code in FORGED:
        assert code in forged(run, edit), change


@pytest.mark.slow
def test_a_run_of_before_is_read_and_what_cannot_be_judged_again_is_said(campaign, lab, sleep_suite):
    run = campaign(lab("here"), sleep_suite(["a"], blocks=1)).path
    row = json.loads((run / "reps.jsonl").read_text())
    shutil.rmtree(run / "exit")
    del row["exit"], row["seen"]
    (run / "reps.jsonl").write_text(json.dumps({**row, "schema": "tunebench.rep/1.1"}) + "\n")
    manifest = json.loads((run / "run.json").read_text())
    manifest["files"] = {name: sha256_file(run / name) for name in manifest["files"] if "exit/" not in name}
    (run / "run.json").write_text(json.dumps(manifest))
    looked = look_through(run)
    assert looked.findings == []
    assert len(looked.notes) == 1
    assert "1 of 1 records" in looked.notes[0]
    assert "throttling" in looked.notes[0]


EXIT = {"schema": "tunebench.exit/1", "rep_id": "r", "outcome": "ok", "process_s": 1.0, "unknown": [1, 2]}


def kept(exit_record: object) -> bytes | None:
    return read_harvest({"exit.json": json.dumps(exit_record).encode()}).exit_kept


def test_an_exit_record_is_kept_as_it_came_with_what_we_do_not_know_yet():
    assert kept(EXIT) == json.dumps(EXIT).encode()


def test_the_token_of_a_lease_that_was_taken_over_is_not_kept():
    lease = {"owner": {"user": "eve", "token": "hers"}, "rep_id": "x"}
    stored = kept({**EXIT, "lease_taken_over_from": lease})
    assert b"hers" not in stored
    assert json.loads(stored)["lease_taken_over_from"] == {"owner": {"user": "eve"}, "rep_id": "x"}


@pytest.mark.parametrize("wrong", [{**EXIT, "outcome": "great"}, {**EXIT, "padding": "x" * MAX_EXIT_B}, []])
def test_what_is_no_exit_record_or_a_huge_one_is_not_kept(wrong):
    assert kept(wrong) is None
