"""What was acknowledged survives: a writer killed at any moment loses nothing that it had stored."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tunebench.reports.results import RunReader, RunWriter

RUN_ID = "20261121T074500Z-a1b2"

CHILD = """
import sys
from pathlib import Path
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunWriter

record = Repetition.model_validate_json(sys.stdin.readline())
writer = RunWriter.open(Path(sys.argv[1]))
for i in range(100_000):
    stored = writer.append(record.model_copy(update={"rep_id": f"r{i}"}), trace=b"t" * 5000, log=b"l")
    print(stored.rep_id, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", RUN_ID, {}) as writer:
        path = writer.path
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdin.write(make_record().to_line())
    child.stdin.flush()
    reported = [child.stdout.readline().strip() for _ in range(20)]
    os.kill(child.pid, signal.SIGKILL)
    reported += child.stdout.read().split()
    child.wait(timeout=10)

    with RunWriter.open(path) as resumed:
        assert set(reported) <= resumed.done_rep_ids
        resumed.append(make_record(rep_id="after"))
    reader = RunReader(path)
    assert [rep.rep_id for rep in reader.repetitions][-1] == "after"
    assert all(reader.log(rep) == "l" for rep in reader.repetitions[:-1])


def test_a_line_torn_at_any_byte_costs_only_itself(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", RUN_ID, {}) as writer:
        writer.append(make_record(rep_id="r0"))
        writer.append(make_record(rep_id="r1"))
    records = writer.path / "reps.jsonl"
    data = records.read_bytes()
    first = data.index(b"\n") + 1
    for cut in range(first, len(data), 7):
        records.write_bytes(data[:cut])
        assert [rep.rep_id for rep in RunReader(writer.path).repetitions] == ["r0"]
    records.write_bytes(data[: first + 100])
    with RunWriter.open(writer.path) as resumed:
        assert resumed.done_rep_ids == {"r0"}
    assert records.read_bytes() == data[:first]


def test_a_half_written_side_file_is_neither_read_nor_listed(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", RUN_ID, {}) as writer:
        writer.append(make_record(rep_id="r0"), log=b"x")
        (writer.path / "log" / ".r1.txt.gz.part").write_bytes(b"half")
        manifest = writer.finish(
            suite="s", tunebench="0", started_utc="a", ended_utc="b", boards=[], blocks=1
        )
    assert not any(name.endswith(".part") for name in manifest.files)
    assert RunReader(writer.path).verify() == []


@pytest.mark.parametrize("name", ["plan.json", "run.json"])
def test_json_files_are_replaced_whole(demo_run, name):
    assert json.loads((demo_run / name).read_text())
    assert not list(demo_run.rglob("*.part"))


MANY = """
import sys
from pathlib import Path
from tunebench.reports.records import Repetition
from tunebench.reports.results import RunWriter

record = Repetition.model_validate_json(sys.stdin.readline())
with RunWriter.open(Path(sys.argv[1])) as writer:
    for i in range(100):
        writer.append(record.model_copy(update={"rep_id": f"r{i}"}), log=b"l")
    writer.finish(suite="s", tunebench="0", started_utc="a", ended_utc="b", boards=[], blocks=1)
"""


def test_readers_beside_a_writer_always_see_whole_records_and_never_fewer(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", RUN_ID, {}) as writer:
        path = writer.path
    child = subprocess.Popen(
        [sys.executable, "-c", MANY, str(path)], stdin=subprocess.PIPE, text=True, close_fds=True
    )
    child.stdin.write(make_record().to_line())
    child.stdin.close()
    readers = []
    while not readers or not readers[-1].complete:
        assert child.poll() in (None, 0)
        readers.append(RunReader(path))
        assert all(readers[-1].log(rep) == "l" for rep in readers[-1].repetitions[-3:])
    child.wait(timeout=10)
    sizes = [len(reader.repetitions) for reader in readers]
    assert sizes == sorted(sizes)
    assert sizes[-1] == 100
    assert readers[-1].verify() == []


def test_zeros_that_a_power_cut_left_for_a_line_are_cut_off_with_a_warning(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", RUN_ID, {}) as writer:
        writer.append(make_record(rep_id="r0"))
    records = writer.path / "reps.jsonl"
    whole = records.read_bytes()
    records.write_bytes(whole + bytes(500) + b'"wall_s":1.0}\n')
    with RunWriter.open(writer.path) as resumed:
        assert "torn last line" in resumed.warnings[0]
        assert resumed.done_rep_ids == {"r0"}
    assert records.read_bytes() == whole
