"""A board that changed during a campaign: its records are degraded when they are read; the files stay as they were."""

from __future__ import annotations

import json

import pytest

from tunebench.reports.records import BoardEnv
from tunebench.reports.results.drift import CODE
from tunebench.reports.results.reader import RunReader
from tunebench.reports.results.writer import RunWriter
from tunebench.reports.summary import summarise


@pytest.fixture
def changed(campaign, tmp_path, fake_board):
    """Write a run on two boards whose first one changed its kernel; return its directory."""
    campaign.boards = [fake_board(id="one", kind="raspberry-pi"), fake_board(id="two", kind="raspberry-pi")]
    campaign.finish = False
    campaign.invalid = {"b0-t1-m2"}
    path = campaign.write(tmp_path / "results")
    after = path / "env" / "one.after.json"
    after.write_text(after.read_text().replace("6.12.40", "6.12.41"))
    return path


def test_records_of_a_board_that_changed_are_degraded_and_name_the_key(changed):
    reader = RunReader(changed)
    ours = [rep for rep in reader.repetitions if rep.board_id == "one"]
    assert {rep.verdict for rep in ours} == {"degraded", "invalid"}
    for rep in ours:
        (reason,) = [reason for reason in rep.reasons if reason.code == CODE]
        assert "os.kernel: 6.12.40 -> 6.12.41" in reason.message
        assert reason.values == {"os.kernel": "6.12.40 -> 6.12.41"}
    summary = summarise(reader)
    assert {row.verdict for row in summary.rows if row.board_id == "one"} <= {"degraded", "invalid"}


def test_the_other_boards_records_and_those_on_disk_stay_as_they_were(changed):
    reader = RunReader(changed)
    assert {rep.verdict for rep in reader.repetitions if rep.board_id == "two"} == {"valid"}
    stored = [json.loads(line) for line in (changed / "reps.jsonl").read_text().splitlines()]
    assert not any(reason["code"] == CODE for row in stored for reason in row["reasons"])
    assert "valid" in {row["verdict"] for row in stored if row["board_id"] == "one"}


@pytest.mark.parametrize("gone", ["before", "after"])
def test_without_both_probes_nothing_is_concluded(changed, gone):
    (changed / "env" / f"one.{gone}.json").unlink()
    assert not any(reason.code == CODE for rep in RunReader(changed).repetitions for reason in rep.reasons)


def test_a_resumed_campaign_is_held_against_its_first_beginning(tmp_path):
    with RunWriter.create(tmp_path, "lab1", "run-1", {}) as writer:
        for kernel in ("6.1", "6.2"):
            env = BoardEnv(board_id="one", t_utc="x", fingerprint={"os": {"kernel": kernel}})
            writer.write_env(env, "before")
            writer.write_env(env, "after")
    reader = RunReader(writer.path)
    assert reader.env("one", "before").fingerprint["os"]["kernel"] == "6.1"
    assert reader.env("one", "after").fingerprint["os"]["kernel"] == "6.2"
