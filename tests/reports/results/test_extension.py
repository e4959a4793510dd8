"""Blocks added to a finished run: what was recorded stays, byte for byte, whenever the power is cut."""

import hashlib
import json
import shutil

import pytest

from tests.reports.campaigns import Campaign
from tunebench.reports.formatting.privacy import Anonymiser
from tunebench.reports.results import ResultsError, RunReader, RunWriter
from tunebench.reports.results.export import export_run, merge
from tunebench.reports.results.files import sha256_file
from tunebench.reports.summary import summarise


@pytest.fixture
def finished(tmp_path):
    """A finished run of three blocks."""
    return Campaign().write(tmp_path / "results")


def longer_plan(path):
    """The run's plan with one more repetition."""
    plan = json.loads((path / "plan.json").read_text())
    plan["repetitions"].append({"rep_id": "later"})
    plan["extended"] = [{"from_blocks": 3, "at_utc": "2026-11-22T00:00:00Z"}]
    plan["suite"]["blocks"] = 4
    return plan


def end(writer):
    return writer.finish(
        suite="demo",
        tunebench="0",
        started_utc="2026-11-21T07:45:00Z",
        ended_utc="2026-11-22T07:45:00Z",
        boards=["host"],
        blocks=4,
    )


def add(path, make_record, **fields):
    """Add one repetition to a finished run and end it again."""
    with RunWriter.extend(path, longer_plan(path)) as writer:
        first = RunReader(path).repetitions[0]
        values = {"rep_id": "later", "run_id": first.run_id, "lab": first.lab, "block": 3, **fields}
        writer.append(make_record(**values), log=b"hello")
        writer.write_env(RunReader(path).env("host", "before"), "after")
        end(writer)
    return RunReader(path)


def test_records_are_appended_and_every_checksum_holds(finished, make_record):
    before = (finished / "reps.jsonl").read_bytes()
    files = json.loads((finished / "run.json").read_text())["files"]
    reader = add(finished, make_record)
    assert (finished / "reps.jsonl").read_bytes().startswith(before)
    assert reader.complete
    assert reader.verify() == []
    assert reader.repetitions[-1].rep_id == "later"
    assert reader.plan_view.earlier_blocks == (3,)
    assert (reader.manifest.blocks, reader.plan_view.suite.blocks) == (4, 4)
    for name, expected in files.items():
        if name != "reps.jsonl" and not name.endswith("after.json") and name != "plan.json":
            assert sha256_file(finished / name) == expected


def test_what_was_replaced_is_kept_and_the_old_checksums_hold_for_it(finished, make_record):
    run, plan = (finished / "run.json").read_bytes(), (finished / "plan.json").read_bytes()
    after = (finished / "env" / "host.after.json").read_bytes()
    reader = add(finished, make_record)
    assert (finished / "earlier" / "1.run.json").read_bytes() == run
    assert (finished / "earlier" / "1.plan.json").read_bytes() == plan
    assert (finished / "earlier" / "1.host.after.json").read_bytes() == after
    (manifest,) = reader.earlier_manifests
    assert manifest.files["plan.json"] == hashlib.sha256(plan).hexdigest()


def test_a_run_may_be_extended_again(finished, make_record):
    add(finished, make_record)
    reader = add(finished, make_record, rep_id="later.2")
    assert [manifest.blocks for manifest in reader.earlier_manifests] == [3, 4]
    assert reader.verify() == []


def test_stores_that_hold_a_run_before_and_after_are_told_apart(finished, make_record, tmp_path):
    before = tmp_path / "before"
    shutil.copytree(tmp_path / "results", before)
    add(finished, make_record)
    messages = []
    assert merge([before], tmp_path / "results", progress=messages.append) == []
    assert "blocks were added to it" in messages[0]
    with pytest.raises(ResultsError, match="as it was before blocks were added; remove it"):
        merge([tmp_path / "results"], before)


def test_a_copy_holds_what_was_set_aside_too(finished, make_record, tmp_path):
    add(finished, make_record)
    copy = RunReader(export_run(finished, tmp_path / "copy"))
    assert copy.verify() == []
    assert len(copy.earlier_manifests) == 1
    hidden = RunReader(export_run(finished, tmp_path / "public", Anonymiser(b"salt")))
    assert (hidden.verify(), hidden.plan_view.earlier_blocks) == ([], (3,))


@pytest.mark.parametrize(("had", "warned"), [(3, False), (6, False), (7, True), (12, True)])
def test_the_report_warns_where_a_verdict_had_been_possible_before(finished, make_record, had, warned):
    """Four methods against ft-all but its control: three comparisons, from seven blocks on."""
    add(finished, make_record)
    plan = json.loads((finished / "plan.json").read_text())
    plan["extended"] = [{"from_blocks": had}]
    (finished / "plan.json").write_text(json.dumps(plan))
    codes = {caution.code for caution in summarise(RunReader(finished, check=False)).cautions}
    assert ("added-blocks" in codes) == warned


def test_an_unfinished_run_is_resumed_and_not_extended(finished):
    (finished / "run.json").unlink()
    with pytest.raises(ResultsError, match="not complete"):
        RunWriter.extend(finished, longer_plan(finished))
    with RunWriter.open(finished):
        pass  # the lock was given back


def test_a_run_that_another_process_writes_is_left_alone(finished):
    with RunWriter.open(finished), pytest.raises(ResultsError, match="another process"):
        RunWriter.extend(finished, longer_plan(finished))
    assert RunReader(finished).complete


class PowerCut(BaseException):
    """The end of everything at this instant."""


def test_a_cut_at_any_step_leaves_a_run_that_can_be_ended_and_extended(tmp_path, make_record, monkeypatch):
    """A fake for the one thing that cannot be had: each call that changes a file may be the last one."""
    from tunebench.reports.results import writer as module

    step = 0
    while True:
        path = Campaign(run_id=f"20261121T074500Z-{step:04d}").write(tmp_path / "results")
        records = (path / "reps.jsonl").read_bytes()
        calls = 0

        def last_one(real, at=step):
            def call(*arguments):
                nonlocal calls
                calls += 1
                if calls > at:
                    raise PowerCut
                return real(*arguments)

            return call

        with monkeypatch.context() as patched:
            for name in ("write_durable", "make_folder", "sync_folder"):
                patched.setattr(module, name, last_one(getattr(module, name)))
            try:
                RunWriter.extend(path, longer_plan(path)).close()
                cut = False
            except PowerCut:
                cut = True
        assert (path / "reps.jsonl").read_bytes() == records
        if not (path / "run.json").exists():
            reader = RunReader(path)
            assert not reader.complete
            assert len(reader.repetitions) == len(records.splitlines())
            with RunWriter.open(path) as writer:
                end(writer)
        assert RunReader(path).verify() == []
        assert add(path, make_record).verify() == []
        if not cut:
            break
        step += 1
    assert step >= 5
