"""Files of a repetition that are meant to harm: each is a named fault, none an exception."""

from __future__ import annotations

import json

import pytest

from tunebench.harness.record.harvest import read_harvest, trace_bytes
from tunebench.targets.agent import protocol
from tunebench.targets.agent import protocol as agent_protocol

HEAD = b'{"schema":"tunebench.samples/1","period_s":0.2,"channels":[{"id":"x"}]}\n'


@pytest.mark.parametrize(
    "samples",
    [
        HEAD + b"[" * 100_000 + b"\n[1,2]\n",
        HEAD + b"[1,NaN]\n[2,1]\n",
        HEAD + b"[1,1e999]\n[2,1]\n",
        HEAD + b"[1," + b"9" * 400 + b"]\n[2,1]\n",
        HEAD + b"[" + b"9" * 4000 + b",1]\n[2,1]\n",
        HEAD + b"[true,1]\n[2,1]\n",
        HEAD.replace(b"0.2", b"9" * 1000),
        HEAD.replace(b"[{", b"[5,{"),
        HEAD + b"[1,1]\n" * 1_000_001,
        b"\n",
        b"",
    ],
    ids=[
        "deep",
        "nan",
        "inf",
        "wide",
        "wide time",
        "bool",
        "wide period",
        "channel",
        "rows",
        "blank",
        "empty",
    ],
)
def test_samples_that_could_trip_later_code_are_a_fault(samples, bounded):
    with bounded(10, 256):
        got = read_harvest({"samples.jsonl": samples})
    assert [fault.split(":")[0] for fault in got.faults] == ["samples.jsonl"]
    assert trace_bytes(got) is None


@pytest.mark.parametrize("name", ["exit.json", "out/result.json", "out/marks.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500 + b"1" + b"}" * 500,
        b'{"schema": "tunebench.exit/1", "schema": "tunebench.result/1"}',
        b'{"schema": "\\ud800"}',
        b"\xff\xfe{}",
        b"\0" * 1000,
        b" " * (protocol.MAX_LINE_B + 1),
        b"{}",
    ],
    ids=["lists", "objects", "key twice", "surrogate", "no text", "zeros", "long", "no schema"],
)
def test_a_record_that_could_trip_later_code_is_a_fault(name, content):
    got = read_harvest({name: content})
    assert len(got.faults) == 1
    assert got.faults[0].startswith(name)
    assert len(got.faults[0]) < 500


def test_texts_of_a_record_are_made_printable():
    record = {
        "schema": "tunebench.exit/1",
        "rep_id": "r",
        "outcome": "failed",
        "reason": "\x1b[2J\x07",
        "missing": {"power\x1b": "\u202e"},
        "warnings": [{"code": "x", "message": "\x9b2J"}],
    }
    exit_record = read_harvest({"exit.json": json.dumps(record).encode()}).exit_record
    assert exit_record is not None
    assert exit_record.reason == "\\x1b[2J\\x07"
    assert exit_record.missing == {"power\\x1b": "\\u202e"}
    assert [(notice.code, notice.message) for notice in exit_record.warnings] == [("x", "\\x9b2J")]


def test_what_honest_boards_send_is_read():
    text = json.dumps({"a": [1.5, -(2**63), 2**64 - 1, None, True, "\U0001f600", {"b": [[]]}]})
    assert agent_protocol.loads(text) == json.loads(text)
