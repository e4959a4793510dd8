"""Blocks added to a finished run, on real loopback boards: seeds go on, records stay, what was left out stays out."""

from __future__ import annotations

import json

import pytest

from tunebench.harness.campaign.extension import finished_run
from tunebench.harness.campaign.session import Request, exit_code, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.harness.verify import audit
from tunebench.reports.results import RunReader
from tunebench.reports.summary import summarise


@pytest.fixture
def request_of(tmp_path):
    """Function (inventory, suite, **fields) -> request for a campaign below tmp_path/results."""

    def make(inventory, suite, **fields):
        loaded = load_inventory(inventory)
        values = {"out": tmp_path / "results", "command": ["tunebench", "run"], **fields}
        return Request(load_suite(str(suite)), loaded.boards, loaded.lab.name, **values)

    return make


@pytest.fixture
def extend(request_of):
    """Function (inventory, suite, blocks) -> session and outcome of a campaign that adds blocks."""

    def run(inventory, suite, blocks=0, **fields):
        session = open_session(request_of(inventory, suite, add_blocks=blocks, **fields))
        outcome = session.campaign(_Silent()).run()
        session.close(outcome)
        return session, outcome

    return run


class _Silent:
    def note(self, board_id, message):
        pass

    left_out = started = finished = ended = note


def test_added_blocks_go_on_with_the_seeds_and_leave_the_records_as_they_were(
    campaign, lab, sleep_suite, extend
):
    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=1)
    path = campaign(inventory, suite).path
    before = (path / "reps.jsonl").read_bytes()
    session, outcome = extend(inventory, suite, 2)
    assert session.writer.path == path
    assert (path / "reps.jsonl").read_bytes().startswith(before)
    reader = RunReader(path)
    assert [(rep.block, rep.seed) for rep in reader.repetitions] == [(0, 0)] * 2 + [(1, 1)] * 2 + [(2, 2)] * 2
    assert len({rep.rep_id for rep in reader.repetitions}) == 6
    assert (reader.manifest.blocks, reader.plan_view.earlier_blocks) == (3, (1,))
    assert exit_code(outcome, session.writer, session.plan) == 0
    codes = {finding.code for finding in audit(path)}
    assert codes == {"no-control"}  # the suite of these tests has none
    assert summarise(reader).run.earlier_blocks == (1,)


def test_what_cannot_be_extended_is_refused_and_nothing_is_touched(campaign, lab, sleep_suite, request_of):
    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=1)
    with pytest.raises(UsageError, match=r"--add-blocks: no run of suite 'sleep' below .*; `.*` begins one"):
        open_session(request_of(inventory, suite, add_blocks=1))
    path = campaign(inventory, suite).path
    manifest = (path / "run.json").read_bytes()
    with pytest.raises(UsageError, match=r"(?s)cannot be extended.*suite.cells.*start a new run: `"):
        open_session(request_of(inventory, sleep_suite(["a", "b"], blocks=1, sleep_s=0.06), add_blocks=1))
    suite = sleep_suite(["a", "b"], blocks=1)
    with pytest.raises(UsageError, match="has 1 block, and 1000 are the most"):
        open_session(request_of(inventory, suite, add_blocks=1000))
    assert (path / "run.json").read_bytes() == manifest
    assert not (path / "earlier").exists()
    with (path / "reps.jsonl").open("a") as file:
        file.write("\n")
    with pytest.raises(UsageError, match=r"no run of suite|damaged run"):
        open_session(request_of(inventory, suite, add_blocks=1))


def test_an_unfinished_run_is_told_to_be_resumed(campaign, lab, sleep_suite, request_of):
    inventory, suite = lab("here"), sleep_suite(["a"], blocks=1)
    path = campaign(inventory, suite).path
    (path / "run.json").unlink()
    with pytest.raises(UsageError, match=r"has not ended yet; `.* --resume` ends it"):
        open_session(request_of(inventory, suite, add_blocks=1))
    with pytest.raises(UsageError, match="has not ended yet"):
        finished_run(path, "sleep", ("tunebench", "run"))


@pytest.mark.slow
def test_an_extension_that_was_cut_is_resumed_to_its_own_end(
    campaign, lab, sleep_suite, extend, request_of, monkeypatch
):
    from tunebench.harness.campaign import board_run as module

    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=1)
    path = campaign(inventory, suite).path
    real, calls = module.run_repetition, []

    def cut(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise module.Interrupted
        return real(*arguments, **options)

    monkeypatch.setattr(module, "run_repetition", cut)
    extend(inventory, suite, 2)
    assert not RunReader(path).complete
    assert len(RunReader(path).repetitions) == 3
    monkeypatch.setattr(module, "run_repetition", real)
    session, _ = extend(inventory, suite, resume=True)
    reader = RunReader(path)
    assert session.writer.path == path
    assert reader.complete
    assert [rep.block for rep in reader.repetitions] == [0, 0, 1, 1, 2, 2]
    assert {finding.code for finding in audit(path)} == {"no-control"}
    # And once more, from the run's own directory.
    extend(inventory, suite, 1, out=path)
    assert RunReader(path).plan_view.earlier_blocks == (1, 3)
    assert {finding.code for finding in audit(path)} == {"no-control"}


@pytest.mark.slow
def test_a_board_that_was_out_of_reach_measures_all_its_blocks_later(campaign, lab, sleep_suite, extend):
    inventory, suite = lab("here", "there"), sleep_suite(["a", "b"], blocks=1)
    ran = campaign(inventory, suite)
    records = [rep for rep in ran.reader.repetitions if rep.board_id == "here"]
    # A run as it ends when a board cannot be reached: its repetitions are skipped for good.
    path = ran.path
    lines = [rep.to_line() for rep in records]
    (path / "reps.jsonl").write_text("".join(lines))
    manifest = json.loads((path / "run.json").read_text())
    manifest["skipped"] = [{"board_id": "there", "reason": "there: no answer"}]
    manifest["counts"] = {"degraded": 2}
    gone = [name for name in manifest["files"] if "there" in name]
    for name in gone:
        (path / name).unlink()
    from tunebench.reports.results.files import sha256_file

    manifest["files"] = {name: sha256_file(path / name) for name in manifest["files"] if name not in gone}
    (path / "run.json").write_text(json.dumps(manifest))
    assert RunReader(path).verify() == []
    extend(inventory, suite, 1)
    reader = RunReader(path)
    blocks = {
        board: [rep.block for rep in reader.repetitions if rep.board_id == board]
        for board in ("here", "there")
    }
    assert blocks == {"here": [0, 0, 1, 1], "there": [0, 0, 1, 1]}
    assert reader.manifest.skipped == []


@pytest.mark.slow
def test_a_changed_record_of_before_is_found_by_the_audit(campaign, lab, sleep_suite, extend):
    inventory, suite = lab("here"), sleep_suite(["a", "b"], blocks=1)
    path = campaign(inventory, suite).path
    extend(inventory, suite, 1)
    rows = (path / "reps.jsonl").read_text().splitlines()
    value = json.loads(rows[0])
    value["wall_s"] = value["wall_s"] / 2
    (path / "reps.jsonl").write_text("\n".join([json.dumps(value), *rows[1:]]) + "\n")
    manifest = json.loads((path / "run.json").read_text())
    from tunebench.reports.results.files import sha256_file

    manifest["files"]["reps.jsonl"] = sha256_file(path / "reps.jsonl")
    (path / "run.json").write_text(json.dumps(manifest))
    assert "not-appended" in {finding.code for finding in audit(path)}
    (path / "earlier" / "1.run.json").unlink()
    assert "missing-file" in {finding.code for finding in audit(path)}
