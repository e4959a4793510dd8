"""What a board sends is untrusted: parsed, or named as a fault; never an exception."""

from __future__ import annotations

import gzip
import json

import pytest

from tunebench.harness.record.harvest import read_harvest, thin_events, trace_bytes
from tunebench.targets.agent.protocol import Marks

EXIT = {"schema": "tunebench.exit/1", "rep_id": "r.1", "outcome": "ok", "process_s": 1.5, "counters": {}}
RESULT = {"schema": "tunebench.result/1", "outcome": "ok", "before": 0.5, "after": 0.75}
MARKS = {
    "schema": "tunebench.marks/1",
    "clock": "CLOCK_MONOTONIC",
    "names": ["load", "finetune", "evaluate"],
    "events": [[10, 0], [20, 1], [50, 2]],
    "window_ns": [20, 50],
}
SAMPLES = (
    '{"schema":"tunebench.samples/1","period_s":0.2,"channels":[{"id":"load_1m"}]}\n[10,0.5]\n[20,null]\n'
)


def _files(**changes: object) -> dict[str, bytes]:
    files = {
        "exit.json": json.dumps(EXIT).encode(),
        "out/result.json": json.dumps(RESULT).encode(),
        "out/marks.json": json.dumps(MARKS).encode(),
        "samples.jsonl": SAMPLES.encode(),
        "log.txt": b"hello\n",
    }
    files.update({name: value for name, value in changes.items() if isinstance(value, bytes)})
    return files


def test_a_whole_harvest_is_parsed():
    harvest = read_harvest(_files())
    assert harvest.faults == ()
    assert harvest.exit_record is not None
    assert harvest.exit_record.process_s == 1.5
    assert harvest.result is not None
    assert harvest.result.after == 0.75
    assert harvest.marks is not None
    assert harvest.marks.phases_s() == {"load": 1e-8, "finetune": 3e-8}
    assert harvest.samples.rows == [[10, 0.5], [20, None]]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("exit.json", b"\xff\xfe", "exit.json"),
        ("exit.json", b"{}", "schema None"),
        ("exit.json", json.dumps({**EXIT, "outcome": "great"}).encode(), "outcome"),
        ("out/result.json", b'{"schema":"tunebench.result/1","after":NaN}', "NaN is not a JSON number"),
        ("out/result.json", json.dumps({**RESULT, "after": "<script>"}).encode(), "after"),
        ("out/result.json", json.dumps({**RESULT, "steps": -4}).encode(), "steps"),
        ("out/result.json", json.dumps({**RESULT, "engine_version": "x" * 500}).encode(), "engine_version"),
        ("out/marks.json", json.dumps({**MARKS, "events": [[20, 0], [10, 0]]}).encode(), "backwards"),
        ("out/marks.json", json.dumps({**MARKS, "window_ns": [50, 20]}).encode(), "before it starts"),
        ("out/marks.json", ("[" * 100_000).encode(), "out/marks.json"),
        ("samples.jsonl", b'{"schema":"tunebench.samples/1","channels":[{}]}\n[1,2,3]\n', "line 2"),
    ],
)
def test_what_cannot_be_read_is_a_named_fault(name, content, words):
    harvest = read_harvest({**_files(), name: content})
    assert len(harvest.faults) == 1
    assert words in harvest.faults[0]


def test_a_torn_last_sample_is_dropped():
    harvest = read_harvest({**_files(), "samples.jsonl": (SAMPLES + "[30,0.").encode()})
    assert harvest.faults == ()
    assert len(harvest.samples.rows) == 2


def test_newer_minor_versions_and_unknown_fields_are_read():
    newer = {**EXIT, "schema": "tunebench.exit/1.4", "new_field": {"a": 1}}
    harvest = read_harvest({**_files(), "exit.json": json.dumps(newer).encode()})
    assert harvest.exit_record is not None


def test_the_trace_holds_samples_and_marks():
    data = trace_bytes(read_harvest(_files()))
    assert data is not None
    header, *rows = [json.loads(line) for line in data.decode().splitlines()]
    assert header["schema"] == "tunebench.trace/1"
    assert header["window_ns"] == [20, 50]
    assert header["events"] == [[10, "load"], [20, "finetune"], [50, "evaluate"]]
    assert rows == [[10, 0.5], [20, None]]
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(data)


def test_thousands_of_marks_are_thinned_to_the_phases_around_the_window():
    events = (
        [(0, "load"), (10, "finetune")] + [(10 + i, "forward") for i in range(5000)] + [(6000, "evaluate")]
    )
    thin = thin_events(Marks((10, 6000), events))
    assert [phase for _, phase in thin] == ["load", "finetune", "evaluate"]


@pytest.mark.parametrize(
    "line", [b'{"schema": \xd3\x00', b"[0, 1]", b'[0, 1, "a", 1]', b"[null, 1, 1, 1]", b"[0, 1, [1], 1]"]
)
def test_predictions_that_nobody_can_read_are_a_fault_and_not_stored(line):
    harvest = read_harvest({**_files(), "out/preds.jsonl": b"[0, 1, 1, 0]\n" + line + b"\n"})
    assert harvest.preds is None
    assert harvest.faults[0].startswith("out/preds.jsonl: ")


def test_predictions_may_lack_what_was_not_predicted_before():
    text = b"[0, 1, null, 0]\n[1, 2, 2, 2]\n"
    harvest = read_harvest({**_files(), "out/preds.jsonl": text})
    assert (harvest.preds, harvest.faults) == (text, ())


def test_parts_of_the_exit_record_of_another_form_count_as_not_told():
    parts = {
        "watchdog": {"limit_c": "95", "tripped_c": True, "passive_trip_c": 80, "more": [1]},
        "warnings": [{"code": 7, "message": None}, {"code": "busy", "message": "x" * 5000}, {}],
        "pulses": {"before": "none", "after": {"start_ns": 1}},
        "lease_taken_over_from": {"owner": {"user": ["eve"], "pid": 2}, "expired_s": "long"},
    }
    harvest = read_harvest({**_files(), "exit.json": json.dumps({**EXIT, **parts}).encode()})
    record = harvest.exit_record
    assert (record is not None, harvest.faults) == (True, ())
    assert (record.watchdog.limit_c, record.watchdog.tripped_c, record.watchdog.passive_trip_c) == (
        None,
        None,
        80.0,
    )
    assert [(notice.code, len(notice.message)) for notice in record.warnings] == [
        (None, 4),
        ("busy", 200),
        (None, 0),
    ]
    assert (record.pulses.before, record.pulses.after) == (None, {"start_ns": 1})
    former = record.lease_taken_over_from
    assert (former.owner.user, former.owner.pid, former.expired_s) == (None, 2, None)


def test_the_trace_keeps_all_that_the_board_said_of_a_channel():
    channel = {
        "id": "vdd_in_w",
        "kind": "power",
        "scope": 3,
        "quantum": -1,
        "rate_hz": 5,
        "note": {"of": "ours"},
    }
    header = json.dumps({"schema": "tunebench.samples/1", "period_s": 0.2, "channels": [channel]})
    harvest = read_harvest({**_files(), "samples.jsonl": f"{header}\n[30,1.5]\n".encode()})
    (read,) = harvest.samples.channels
    assert (read.id, read.kind, read.scope, read.quantum, read.rate_hz) == (
        "vdd_in_w",
        "power",
        "3",
        None,
        5.0,
    )
    assert json.loads(trace_bytes(harvest).splitlines()[0])["channels"] == [channel]
