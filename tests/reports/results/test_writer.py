"""The results directory as a writer leaves it: durable, append-only, resumable, refusing what would lose data."""

import json
import threading
from datetime import UTC, datetime

import pytest

from tunebench.reports.records import BoardEnv
from tunebench.reports.results import ResultsError, RunNotFound, RunReader, RunWriter, count, plan_sha256
from tunebench.reports.results import writer as writer_module
from tunebench.reports.results.files import file_name, pack, unpack

RUN_ID = "20261121T074500Z-a1b2"


@pytest.fixture
def rep(make_record):
    return make_record()


@pytest.fixture
def writer(tmp_path):
    with RunWriter.create(
        tmp_path, "lab1", RUN_ID, {"suite": {}}, created=datetime(2026, 11, 21, tzinfo=UTC)
    ) as opened:
        yield opened


def finish(writer):
    return writer.finish(
        suite="demo", tunebench="0.1.0", started_utc="a", ended_utc="b", boards=["host"], blocks=1
    )


def test_layout_is_lab_date_run_id(tmp_path, writer):
    assert writer.path == tmp_path / "lab1" / "2026" / "11" / "21" / RUN_ID
    assert json.loads((writer.path / "plan.json").read_text())["schema"] == "tunebench.plan/1"


def test_date_folder_is_utc_today_by_default(tmp_path):
    with RunWriter.create(tmp_path, "lab1", "r", {}) as opened:
        day = datetime.now(UTC).strftime("%Y/%m/%d")
        assert opened.path.as_posix().endswith(f"lab1/{day}/r")


def test_append_stores_side_files_then_the_line_with_their_paths(writer, rep):
    stored = writer.append(rep, trace=b"t", log=b"l", preds=b"[0,1,1,1]\n")
    assert (stored.trace, stored.log) == ("trace/r1.jsonl.gz", "log/r1.txt.gz")
    assert unpack((writer.path / stored.log).read_bytes()) == b"l"
    assert json.loads((writer.path / "reps.jsonl").read_text())["preds"] == "preds/r1.jsonl.gz"
    assert writer.done_rep_ids == {"r1"}


def test_every_line_is_synced_before_append_returns(writer, rep, monkeypatch):
    synced = []
    real = writer_module.os.fsync
    monkeypatch.setattr(writer_module.os, "fsync", lambda fd: (synced.append(fd), real(fd)))
    writer.append(rep)
    assert writer._file.fileno() in synced


def test_equal_side_files_are_equal_bytes():
    assert pack(b"x" * 100) == pack(b"x" * 100)


def test_a_repetition_is_never_stored_twice(writer, rep):
    writer.append(rep)
    with pytest.raises(ResultsError, match="r1 is stored already"):
        writer.append(rep)


def test_a_repetition_of_another_run_is_refused(writer, rep):
    with pytest.raises(ResultsError, match="belongs to run 'other'"):
        writer.append(rep.model_copy(update={"run_id": "other"}))


@pytest.mark.parametrize("rep_id", ["../x", "", "a/b", ".hidden", "x" * 200])
def test_unsafe_repetition_ids_never_become_file_names(writer, rep, rep_id):
    with pytest.raises(ResultsError, match="repetition id"):
        writer.append(rep.model_copy(update={"rep_id": rep_id}), log=b"x")


@pytest.mark.parametrize(("lab", "run_id"), [("../lab", "r"), ("lab", "a/b"), ("", "r")])
def test_unsafe_names_are_refused(tmp_path, lab, run_id):
    with pytest.raises(ResultsError, match="use 1-128 letters"):
        RunWriter.create(tmp_path, lab, run_id, {})


def test_a_run_is_created_once(tmp_path, writer):
    with pytest.raises(ResultsError, match="exists already"):
        RunWriter.create(tmp_path, "lab1", RUN_ID, {}, created=datetime(2026, 11, 21, tzinfo=UTC))


def test_a_root_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        RunWriter.create(tmp_path / "file", "lab1", "r", {})


def test_threads_append_whole_lines(writer, rep):
    def add(board):
        for i in range(25):
            writer.append(rep.model_copy(update={"rep_id": f"b{board}-{i}"}), log=b"log")

    threads = [threading.Thread(target=add, args=(board,)) for board in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(RunReader(writer.path).repetitions) == 100
    assert RunReader(writer.path).warnings == []


def test_a_second_process_may_not_write(writer):
    with pytest.raises(ResultsError, match="another process is writing"):
        RunWriter.open(writer.path)


def test_resume_knows_what_is_done_and_goes_on(writer, rep):
    writer.append(rep)
    writer.close()
    with RunWriter.open(writer.path) as again:
        assert again.done_rep_ids == {"r1"}
        again.append(rep.model_copy(update={"rep_id": "r2"}))
        assert [rep.rep_id for rep in again.repetitions()] == ["r1", "r2"]
    assert [rep.rep_id for rep in RunReader(writer.path).repetitions] == ["r1", "r2"]


def test_resume_cuts_off_a_torn_line_so_that_the_next_one_is_whole(writer, rep):
    writer.append(rep)
    writer.close()
    with (writer.path / "reps.jsonl").open("a") as file:
        file.write('{"schema": "tunebench.rep/1", "rep_')
    with RunWriter.open(writer.path) as again:
        assert "torn last line" in again.warnings[0]
        again.append(rep.model_copy(update={"rep_id": "r2"}))
    reader = RunReader(writer.path)
    assert [rep.rep_id for rep in reader.repetitions] == ["r1", "r2"]
    assert reader.warnings == []


def test_a_full_disk_leaves_no_half_line(writer, rep, monkeypatch):
    writer.append(rep)
    real = writer._file

    class Full:
        def __getattr__(self, name):
            return getattr(real, name)

        def write(self, data):
            real.write(data[:10])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_file", Full())
    with pytest.raises(ResultsError, match="No space left"):
        writer.append(rep.model_copy(update={"rep_id": "r2"}))
    monkeypatch.setattr(writer, "_file", real)
    writer.append(rep.model_copy(update={"rep_id": "r3"}))
    assert [rep.rep_id for rep in RunReader(writer.path).repetitions] == ["r1", "r3"]


def test_opening_what_is_no_run_says_so(tmp_path):
    with pytest.raises(RunNotFound, match=r"no plan.json"):
        RunWriter.open(tmp_path)


def test_opening_a_damaged_plan_names_the_file(writer):
    writer.close()
    (writer.path / "plan.json").write_text("{")
    with pytest.raises(ResultsError, match=r"plan.json: not readable as JSON"):
        RunWriter.open(writer.path)


def test_opening_a_run_that_is_not_writable_says_so(writer):
    writer.close()
    (writer.path / "reps.jsonl").unlink()
    (writer.path / "reps.jsonl").mkdir()
    with pytest.raises(ResultsError, match="cannot be written"):
        RunWriter.open(writer.path)


def test_finish_closes_the_run_for_good(writer, rep):
    writer.append(rep, log=b"x")
    manifest = finish(writer)
    assert manifest.counts["degraded"] == 1
    assert set(manifest.files) == {"plan.json", "reps.jsonl", "log/r1.txt.gz"}
    with pytest.raises(ResultsError, match="complete"):
        writer.append(rep.model_copy(update={"rep_id": "r2"}))
    with pytest.raises(ResultsError, match="complete"):
        finish(writer)
    with RunWriter.open(writer.path) as again, pytest.raises(ResultsError, match="complete"):
        assert again.complete
        again.write_env(BoardEnv(board_id="host", t_utc="x"), "before")


def test_a_closed_writer_says_how_to_go_on(writer, rep):
    writer.close()
    with pytest.raises(ResultsError, match="open the run again"):
        writer.append(rep)


def test_board_names_become_safe_file_names(writer):
    path = writer.write_env(BoardEnv(board_id="../../etc/<b>", t_utc="x"), "before")
    assert path.parent == writer.path / "env"
    assert RunReader(writer.path).env("../../etc/<b>").board_id == "../../etc/<b>"
    assert len(file_name("ä" * 500)) <= 120
    assert file_name("ä" * 500) != file_name("ä" * 501)


def test_every_repetition_falls_in_one_class(make_record):
    reps = [
        make_record(),
        make_record(outcome="oom", verdict="invalid"),
        make_record(verdict="invalid"),
        make_record(outcome="skipped", verdict="invalid"),
    ]
    assert count(reps) == {"valid": 0, "degraded": 1, "invalid": 1, "failed": 1, "skipped": 1}


def test_a_plan_hash_does_not_depend_on_itself_or_on_key_order():
    assert plan_sha256({"a": 1, "b": 2}) == plan_sha256({"b": 2, "a": 1, "sha256": "x"})
    assert plan_sha256({"a": 1}) != plan_sha256({"a": 2})


def test_missing_boards_are_noted_while_the_run_is_open_and_only_then(writer, rep):
    writer.append(rep)
    writer.note_missing("late", "no route")
    writer.note_missing("late", "refused")
    writer.note_missing("gone", "unplugged")
    assert [(skip.board_id, skip.reason) for skip in RunReader(writer.path).missing] == [
        ("late", "refused"),
        ("gone", "unplugged"),
    ]
    writer.close()
    with RunWriter.open(writer.path) as again:
        assert RunReader(writer.path).missing == [], "it is looked for anew"
        again.note_missing("gone", "unplugged")
        finish(again)
    assert RunReader(writer.path).verify() == []
    assert RunReader(writer.path).missing == []
    assert not (writer.path / "missing.json").exists()


def test_a_complete_run_is_left_as_it_is_by_who_opens_it(writer, rep):
    writer.append(rep)
    finish(writer)
    (writer.path / "missing.json").write_text("{}")
    RunWriter.open(writer.path).close()
    assert (writer.path / "missing.json").exists(), "a stranger's file is verify's to tell"
    with pytest.raises(ResultsError, match="complete"):
        RunWriter.open(writer.path).note_missing("a", "b")
