"""The results directory as a reader finds it: torn, damaged, incomplete, newer, and while it is being written."""

import json
import os
import time

import pytest

from tunebench.reports.results import ChecksumError, ResultsError, RunNotFound, RunReader, RunWriter, find_run
from tunebench.reports.results.files import pack, unpack


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def lines(run):
    return (run / "reps.jsonl").read_text().splitlines(keepends=True)


@pytest.fixture
def open_run(campaign, tmp_path):
    campaign.finish = False
    return campaign.write(tmp_path / "results")


def test_a_complete_run_verifies(demo):
    assert demo.complete
    assert demo.verify() == []
    assert demo.warnings == []
    assert demo.manifest.counts["degraded"] == len(demo.repetitions) == 19


def test_side_files_are_read_back(demo):
    rep = demo.repetitions[0]
    trace = demo.trace(rep)
    assert [channel.id for channel in trace.channels] == ["cpu_temp_c", "cpu_freq_hz", "rss_b"]
    assert trace.values[0][4] is None
    assert trace.window_ns[1] > trace.window_ns[0]
    assert demo.log(rep).startswith("epoch 1")
    assert demo.preds(rep)[0] == (0, 0, 1, 0)
    assert demo.env("host", "after").fingerprint["os"]["kernel"] == "6.12.40"
    assert demo.env("nobody") is None


def test_a_record_without_side_files_gives_none(demo):
    rep = demo.repetitions[0].model_copy(update={"trace": None, "log": None, "preds": None})
    assert (demo.trace(rep), demo.log(rep), demo.preds(rep)) == (None, None, None)


def test_an_incomplete_run_is_readable(open_run):
    reader = RunReader(open_run)
    assert not reader.complete
    assert len(reader.repetitions) == 19
    assert reader.verify() == ["run.json: missing: the run is not complete and has no checksums"]


def test_a_torn_last_line_is_left_out_with_a_warning(open_run):
    with (open_run / "reps.jsonl").open("a") as file:
        file.write('{"schema":"tunebench.rep/1","rep')
    reader = RunReader(open_run)
    assert len(reader.repetitions) == 19
    assert reader.warnings == ["reps.jsonl: line 20 is torn (32 bytes) and was left out"]


def test_a_damaged_line_costs_only_itself(open_run):
    rows = lines(open_run)
    rows[3] = "not json\n"
    rows[5] = json.dumps({**json.loads(rows[5]), "block": "three"}) + "\n"
    rows[6] = '["a list"]\n'
    (open_run / "reps.jsonl").write_text("".join(rows))
    reader = RunReader(open_run)
    assert len(reader.repetitions) == 16
    assert "line 4 was left out: not JSON" in reader.warnings[0]
    assert "line 6 was left out: block" in reader.warnings[1]
    assert "line 7 was left out: no schema" in reader.warnings[2]


def test_missing_records_are_told(open_run):
    (open_run / "reps.jsonl").unlink()
    reader = RunReader(open_run)
    assert reader.repetitions == []
    assert "missing" in reader.warnings[0]


def test_a_newer_minor_version_is_read_and_its_new_fields_ignored(open_run):
    rows = [json.loads(line) for line in lines(open_run)]
    rows[0] |= {"schema": "tunebench.rep/1.7", "colour": "blue"}
    (open_run / "reps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = json.loads((open_run / "plan.json").read_text())
    (open_run / "plan.json").write_text(json.dumps({**plan, "schema": "tunebench.plan/1.2"}))
    reader = RunReader(open_run)
    assert reader.warnings == []
    assert reader.repetitions[0].schema_ == "tunebench.rep/1.7"


def test_a_newer_major_version_is_refused_by_name(open_run):
    rows = lines(open_run)
    rows[0] = rows[0].replace("tunebench.rep/1.4", "tunebench.rep/2")
    (open_run / "reps.jsonl").write_text("".join(rows))
    assert "schema 'tunebench.rep/2'" in RunReader(open_run).warnings[0]
    plan = json.loads((open_run / "plan.json").read_text())
    (open_run / "plan.json").write_text(json.dumps({**plan, "schema": "tunebench.plan/2"}))
    with pytest.raises(ResultsError, match=r"plan.json: schema 'tunebench.plan/2', this version reads"):
        RunReader(open_run)


@pytest.mark.parametrize("name", ["reps.jsonl", "plan.json"])
def test_a_changed_record_file_is_refused_by_name(demo_run, name):
    text = (demo_run / name).read_text()
    (demo_run / name).write_text(text.replace("ft-all", "ft-alI", 1))
    with pytest.raises(ChecksumError, match=name):
        RunReader(demo_run)
    assert RunReader(demo_run, check=False).plan["run_id"]


def test_a_damaged_side_file_is_refused_by_name(demo_run):
    reader = RunReader(demo_run)
    rep = reader.repetitions[0]
    damage(demo_run / rep.trace)
    with pytest.raises(ChecksumError, match=rep.trace):
        reader.trace(rep)
    assert len(reader.verify()) == 1
    assert rep.trace in reader.verify()[0]


def test_missing_and_unlisted_files_are_told(demo_run):
    reader = RunReader(demo_run)
    rep = reader.repetitions[0]
    (demo_run / rep.log).unlink()
    (demo_run / "stray.txt").write_text("x")
    problems = reader.verify()
    assert any(rep.log in line and "missing" in line for line in problems)
    assert "stray.txt: not listed in run.json" in problems
    with pytest.raises(ResultsError, match="missing"):
        reader.log(rep)


def test_side_files_without_checksums_still_name_their_fault(open_run):
    reader = RunReader(open_run)
    rep = reader.repetitions[0]
    (open_run / rep.trace).write_bytes(b"not gzip")
    with pytest.raises(ResultsError, match="not readable as gzip"):
        reader.trace(rep)
    (open_run / rep.trace).write_bytes(pack(b'{"schema": "other/1"}\n'))
    with pytest.raises(ResultsError, match="schema 'other/1'"):
        reader.trace(rep)
    (open_run / rep.preds).write_bytes(pack(b"[1, 2]\n"))
    with pytest.raises(ResultsError, match=rep.preds):
        reader.preds(rep)
    (open_run / rep.log).unlink()
    with pytest.raises(ResultsError, match="missing, though the record names it"):
        reader.log(rep)


def test_a_record_cannot_lead_the_reader_out_of_its_directory(open_run, tmp_path):
    secret = tmp_path / "secret.gz"
    secret.write_bytes(pack(b"secret"))
    reader = RunReader(open_run)
    rep = reader.repetitions[0].model_copy(update={"log": os.path.relpath(secret, open_run)})
    with pytest.raises(ResultsError, match="outside the run's directory"):
        reader.log(rep)


def test_a_gzip_bomb_is_not_unpacked():
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        unpack(pack(b"0" * 1_000_000), limit_b=1000)
    with pytest.raises(ValueError, match="cut short"):
        unpack(pack(b"0" * 100_000)[:-12])


def test_a_damaged_manifest_is_named(demo_run):
    (demo_run / "run.json").write_text('{"schema": "tunebench.run/1"}')
    with pytest.raises(ResultsError, match=r"run.json: run_id"):
        RunReader(demo_run)


def test_a_damaged_environment_is_named(open_run):
    (open_run / "env" / "host.before.json").write_text('{"schema": "tunebench.env/1"}')
    with pytest.raises(ResultsError, match=r"host.before.json: board_id"):
        RunReader(open_run).env("host")


def test_no_run_is_not_found(tmp_path):
    with pytest.raises(RunNotFound, match="not a run's directory"):
        RunReader(tmp_path)


def test_a_reader_beside_a_writer_sees_whole_records_only(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", "20261121T074500Z-a1b2", {}) as writer:
        for i in range(5):
            writer.append(make_record(rep_id=f"r{i}"))
            assert len(RunReader(writer.path).repetitions) == i + 1


def test_find_run_takes_the_run_itself_a_file_in_it_or_any_folder_above(demo_run, tmp_path):
    assert find_run(demo_run) == demo_run
    assert find_run(demo_run / "run.json") == demo_run
    assert find_run(tmp_path / "results") == demo_run
    assert find_run(tmp_path / "results" / "lab1") == demo_run


def test_find_run_takes_the_newest(campaign, tmp_path):
    campaign.write(tmp_path)
    campaign.run_id = "20261122T074500Z-0000"
    newest = campaign.write(tmp_path)
    campaign.run_id = "20261120T074500Z-ffff"
    campaign.write(tmp_path)
    assert find_run(tmp_path) == newest


def test_find_run_says_what_it_looked_for(tmp_path):
    with pytest.raises(RunNotFound, match="does not exist"):
        find_run(tmp_path / "nowhere")
    with pytest.raises(RunNotFound, match="holds no run"):
        find_run(tmp_path)


def test_reading_a_large_run_is_quick(open_run):
    rows = lines(open_run)
    (open_run / "reps.jsonl").write_text("".join(rows * 100))
    begin = time.perf_counter()
    assert len(RunReader(open_run).repetitions) == 1900
    assert time.perf_counter() - begin < 5
