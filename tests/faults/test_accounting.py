"""The matrix' own accounting finds what is missing, doubled or spoilt, so that a clean table means something."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.faults.accounting import Account, audit, count_work, look_at_logs, read_ledger
from tests.faults.kinds import ALL
from tests.faults.relay import Relay
from tests.faults.scene import Fault

PLAN = {
    "repetitions": [
        {"rep_id": f"run.board.{n:04d}", "board_id": "board", "label": label, "task": "work"}
        for n, label in enumerate("ab")
    ]
}


def record(number: int, outcome: str = "ok", reason: str | None = None, attempt: int = 1):
    suffix = f".try{attempt}" if attempt > 1 else ""
    return SimpleNamespace(
        rep_id=f"run.board.{number:04d}{suffix}", outcome=outcome, outcome_reason=reason, attempt=attempt
    )


def skip(label: str | None = None, reason: str = "why"):
    return SimpleNamespace(board_id="board", label=label, task="work", reason=reason)


class Costly(Fault):
    spoils = frozenset({"killed"})
    destroys = True
    may_skip = True


def counted(records, skips=(), fault=None):
    account = Account()
    audit(PLAN, records, skips, fault or Fault(), account)
    return account.lost, account.doubled


def test_a_whole_run_is_neither_lost_nor_doubled():
    assert counted([record(0), record(1)]) == (0, 0)


@pytest.mark.parametrize(
    ("records", "lost", "doubled"),
    [
        ([record(0)], 1, 0),
        ([], 2, 0),
        ([record(0), record(1), record(1)], 0, 1),
        ([record(0), record(1), record(1, attempt=2)], 0, 1),
        ([record(0), record(1), record(7)], 0, 1),
        ([record(0), record(1, "killed", "the workload was killed by SIGKILL")], 1, 0),
        ([record(0), record(1, "lost", "gone"), record(1, attempt=2)], 1, 0),
    ],
)
def test_what_no_fault_excuses_is_counted(records, lost, doubled):
    assert counted(records) == (lost, doubled)


def test_a_fault_excuses_what_it_must_cost_and_no_more():
    records = [record(0), record(1, "killed", "by SIGKILL")]
    assert counted(records, fault=Costly()) == (0, 0)
    assert counted([record(0, "killed", "so"), records[1]], fault=Costly()) == (1, 0)
    assert counted([record(0), record(1, "failed", "so")], fault=Costly()) == (1, 0)
    assert counted([record(0), record(1, "killed")], fault=Costly()) == (1, 0), "no reason"
    again = [record(0), record(1, "lost", "the board rebooted"), record(1, attempt=2)]
    assert counted(again, fault=Costly()) == (0, 0)


def test_a_slot_may_stay_lost_only_if_both_attempts_are_known_to_be_destroyed():
    fault = Costly()
    lost = [record(0), record(1, "lost", "died"), record(1, "lost", "died", attempt=2)]
    fault.destroyed = frozenset({"run.board.0001"})
    assert counted(lost, fault=fault) == (1, 0)
    fault.destroyed = frozenset({"run.board.0001", "run.board.0001.try2"})
    assert counted(lost, fault=fault) == (0, 0)
    assert counted([record(0), record(1, "lost", "died")], fault=fault) == (1, 0)


def test_what_is_skipped_needs_a_reason_and_a_fault_that_may_cost_a_board():
    assert counted([record(0)], [skip("b")]) == (1, 0)
    assert counted([record(0)], [skip("b")], Costly()) == (0, 0)
    assert counted([], [skip()], Costly()) == (0, 0)
    assert counted([record(0)], [skip("b", "")], Costly()) == (1, 0)
    assert counted([record(0)], [skip("a")], Costly()) == (1, 0)


def test_work_that_was_done_twice_is_found_in_the_ledger(tmp_path):
    (tmp_path / "ledger").write_text("begin r.0\nend r.0\nbegin r.1\nbegin r.1\nend r.1\nbegin r.1.try2\n")
    ledger = read_ledger(tmp_path / "ledger")
    assert ledger["begin", "r.1"] == 2
    account = Account()
    count_work(ledger, account)
    assert account.doubled == 1
    assert read_ledger(tmp_path / "none") == Counter()


def test_faults_have_names_of_their_own():
    names = [fault.name for fault in ALL]
    assert len(set(names)) == len(names)
    assert all(fault.name and fault.family for fault in ALL)


@pytest.mark.parametrize(
    ("outcome", "log", "greeted", "unlogged"),
    [
        ("ok", "hello from x", True, 0),
        ("killed", None, True, 1),
        ("lost", "", True, 1),
        ("deadline", None, False, 0),  # killed before it printed its first line
    ],
)
def test_a_repetition_whose_workload_began_must_have_a_log(outcome, log, greeted, unlogged):
    account, repetition = Account(), record(0, outcome, "why")
    # a fake: of a store with one record
    reader = SimpleNamespace(repetitions=[repetition], log=lambda _: log)
    look_at_logs(reader, Counter({("begin", repetition.rep_id): int(greeted)}), Fault(), account)
    assert account.unlogged == unlogged


@pytest.fixture
def echo():
    """A relay in front of a server that sends back what it gets."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    def answer(peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            while data := peer.recv(1000):
                peer.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    relay = Relay(server.getsockname()[1])
    yield relay
    relay.close()
    server.close()


def test_the_relay_can_be_cut_and_fall_silent_and_flip_one_bit(echo):
    with socket.create_connection(("127.0.0.1", echo.port), 5) as peer:
        echo.corrupt_at(5)
        peer.sendall(b"hello")
        assert peer.recv(100) == b"hello"
        assert not echo.has_corrupted
        peer.sendall(b"world")
        assert peer.recv(100) == b"gorld"
        assert echo.has_corrupted
        echo.freeze()
        peer.settimeout(0.2)
        peer.sendall(b"silence")
        with pytest.raises(TimeoutError):
            peer.recv(100)
        echo.thaw()
        peer.settimeout(5)
        assert peer.recv(100) == b"silence"
        echo.unplug()
        assert peer.recv(100) == b""
    with socket.create_connection(("127.0.0.1", echo.port), 5) as peer:
        assert peer.recv(100) == b""
    echo.plug_in()
    with socket.create_connection(("127.0.0.1", echo.port), 5) as peer:
        peer.sendall(b"again")
        assert peer.recv(100) == b"again"


def test_a_workload_that_began_beside_another_on_its_board_is_doubled():
    account = Account()
    count_work({("begin", "run.board.0000"): 1, ("beside", "run.board.0000"): 1}, account)
    assert account.doubled == 1 and "while another ran on the board" in account.findings[0]
