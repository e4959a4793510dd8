"""Output of a board: the error is clear, time and memory are bounded, no escape sequence reaches the terminal."""

from __future__ import annotations

import json

import pytest

from tunebench.targets.client.replies import StartWarning
from tunebench.targets.errors import BoardError, InterpreterError, LinkError, NoAnswerError, ReplyError
from tunebench.targets.payload import make_payload

PAYLOAD = make_payload()
BOMBS = {
    "depth": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a depth that Python itself would take": b'{"a":' * 500 + b"1" + b"}" * 500,
    "lists": b'{"a":' + b"[" * 200 + b"]" * 200 + b"}",
    "huge integer": b'{"state": ' + b"9" * 4000 + b"}",
    "integer of a million digits": b'{"state": ' + b"9" * 1_000_000 + b"}",
    "huge float": b'{"state": 1e999}',
    "not a number": b'{"state": NaN}',
    "a key twice": b'{"state": "done", "state": "running"}',
    "half a surrogate pair": b'{"state": "\\ud800"}',
    "invalid UTF-8": b'{"state": "\xff\xfe"}',
    "no object": b"[1, 2]",
    "no JSON": b"<html>",
    "wrong schema": b'{"state": {"done": true}}',
    "nothing": b"{}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_json_bomb_is_a_reply_error(liar, bounded, bomb):
    board = liar(b"@tb1 " + BOMBS[bomb] + b"\n")
    with bounded(5, 64), pytest.raises(ReplyError) as refusal:
        board.wait("rep-1", 5)
    assert len(str(refusal.value)) < 1000


FLOODS = {
    "an endless line": "exec tr '\\0' x </dev/zero",
    "endless lines": "exec yes all is well",
    "endless empty lines": "exec yes ''",
    "endless long lines": "exec yes %s" % ("x" * 60_000),
    "endless bytes that are no text": "exec tr '\\0' '\\377' </dev/zero",
    "endless errors": "exec yes no >&2",
    "ten gigabytes": "exec head -c 10000000000 /dev/zero",
    "a line that never ends": "printf '@tb1 {\"state\": \"'; exec tr '\\0' x </dev/zero",
}


@pytest.mark.slow
@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_given_up_in_time_and_memory_and_the_board_stays_reachable(liar, bounded, flood):
    board = liar(script=FLOODS[flood])
    with bounded(20, 64), pytest.raises((ReplyError, LinkError)):
        board.wait("rep-1", -8.5)  # 1.5 s of patience
    assert board.ssh.run(["echo", "still"]).stdout == b"still\n"


@pytest.mark.slow
def test_a_peer_that_trickles_is_given_up(liar, monkeypatch):
    monkeypatch.setattr("tunebench.targets.transport.channel.SLOWEST_B_PER_S", 2000.0)
    board = liar(script="while :; do printf x; sleep 0.05; done")
    with board._agent("harvest") as duplex, pytest.raises(LinkError, match="of 1000 bytes within 1 s"):
        duplex.read_exact(1000, 0.5)


@pytest.mark.parametrize(
    "said",
    [
        "printf '\\033[2J\\033]0;owned\\007all is well\\n' >&2; exit 3",
        "printf '\\033[2J\\033]0;owned\\007all is well\\n'; exit 3",
    ],
)
def test_escape_sequences_do_not_reach_the_terminal(liar, said):
    with pytest.raises(NoAnswerError) as refusal:
        liar(script=said).wait("rep-1", 5)
    assert "\\x1b[2J" in str(refusal.value)
    assert not set(str(refusal.value)) & {"\x1b", "\x07"}


def test_escape_sequences_in_a_reply_are_shown_and_not_obeyed(liar):
    text = "\x1b[31mhot\u202egnp.exe \x9b2J"
    probe = {"schema": "tunebench.probe/1", "fingerprint": {"os": {text: text}}}
    reply = liar(b"@tb1 " + json.dumps(probe).encode() + b"\n").probe()
    ((key, value),) = reply.fingerprint["os"].items()
    assert key == value == "\\x1b[31mhot\\u202egnp.exe \\x9b2J"


LIES = {
    "fingerprint": [5, ["a"], {"os": 5}, {"os": ["x"]}],
    "interpreters": [5, {"a": 1}, [5], [], [{"ok": "yes"}], [{"torch": {"a": 1}}]],
    "channels": [{"a": 1}, ["x"], [[]]],
    "missing": [["power"], {"power": 5}],
    "jobs": ["x", [5]],
    "power_mode": [{"a": 1}, 15],
    "cpu_features": [["neon"], 5],
    "undo_pending": ["no"],
    "disk_free_b": ["much", 1.5],
}


@pytest.mark.parametrize("field", LIES)
def test_a_probe_of_another_form_is_refused_by_field(liar, tmp_path, field):
    honest = {"schema": "tunebench.probe/1", "fingerprint": {}, "interpreters": [{"ok": True}]}
    board = liar()
    for lie in LIES[field]:
        (tmp_path / "said").write_bytes(b"@tb1 " + json.dumps({**honest, field: lie}).encode() + b"\n")
        with pytest.raises(ReplyError, match=f"probe: .*{field}"):
            board.probe([["python3"]])


def test_an_agents_refusal_is_cut_to_size_and_printable(liar):
    error = {"error": {"kind": "workdir", "message": "\x1b[2J" + "x" * 100_000}}
    with pytest.raises(BoardError) as refusal:
        liar(b"@tb1 " + json.dumps(error).encode() + b"\n").wait("rep-1", 5)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 2000


@pytest.mark.parametrize("missing", [5, [5], [[]], {"a": 1}, ["../../etc/passwd"], [PAYLOAD.name] * 2, None])
def test_a_sync_that_asks_for_what_we_do_not_have_is_refused(connect, tmp_path, missing):
    said = tmp_path / "said"
    said.write_bytes(b"@tb1 " + json.dumps({"workdir": "/w", "missing": missing}).encode() + b"\n")
    board = connect(python=f"sh -c 'cat {said}' --")
    with pytest.raises(ReplyError, match="unknown blobs"):
        board.sync([PAYLOAD])


@pytest.mark.parametrize("workdir", [None, 5, "", "relative", "/" + "x" * 10_000])
def test_a_sync_that_names_no_path_is_refused(connect, tmp_path, workdir):
    said = tmp_path / "said"
    said.write_bytes(b"@tb1 " + json.dumps({"workdir": workdir, "missing": []}).encode() + b"\n")
    with pytest.raises(ReplyError, match="no path"):
        connect(python=f"sh -c 'cat {said}' --").sync([PAYLOAD])


@pytest.mark.parametrize(
    "warnings", [5, "hot", {"code": "hot"}, ["hot", {"code": "hot", "message": "h"}, None]]
)
def test_warnings_of_a_wrong_form_are_left_out(liar, warnings):
    answer = {"started": True, "state": "done", "warnings": warnings, "conditions": [1]}
    reply = liar(b"@tb1 " + json.dumps(answer).encode() + b"\n").start({"rep_id": "rep-1"})
    assert all(isinstance(warning, StartWarning) for warning in reply.warnings)
    assert reply.temp_c is None


def test_a_python_that_is_no_python_is_an_interpreter_error(connect):
    with pytest.raises(InterpreterError):
        connect(python="true").sync([PAYLOAD])


@pytest.mark.parametrize("pause", ["", "sleep 0.1;"], ids=["as fast as it can", "now and then"])
def test_a_board_whose_command_never_ends_is_given_up_in_time(liar, bounded, pause):
    alive = """printf '@tb1 {"progress": {"event": "alive"}}\\n'"""
    board = liar(script=f"while {alive}; do :; {pause} done")
    heard = []
    with bounded(10, 64), pytest.raises(ReplyError, match="no end in the time that it may take"):
        board.build_venv("x", {}, heard.append, within_s=1.0)
    assert heard
