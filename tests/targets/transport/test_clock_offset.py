"""The clock exchange bounds the true offset over any link; two of them bound it in between."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.errors import ReplyError
from tunebench.targets.payload import make_payload
from tunebench.targets.transport.clock_offset import ClockLine, Offset, exchange
from tunebench.targets.transport.endpoint import Timeouts
from tunebench.targets.virtual.loopback import LoopbackServer

JITTER_S = 0.05


class JitterProxy:
    """A TCP link that delays every message by 0 to 50 ms, each direction on its own; order is kept."""

    def __init__(self, port: int, seed: int) -> None:
        self._target = port
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                for a, b in ((near, far), (far, near)):
                    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pump, args=(a, b), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._random.uniform(0, JITTER_S))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


class ShiftedBoard:
    """Answers pings as the agent does, on a clock that is shifted and runs at another rate."""

    def __init__(self, shift_s: float, ppm: float = 0.0) -> None:
        self.shift_s, self.rate = shift_s, 1 + ppm * 1e-6
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def clock_s(self, host_s: float) -> float:
        """The board's time at a time of the host."""
        return self.rate * host_s - self.shift_s

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    now_ns = int(self.clock_s(time.monotonic_ns() / 1e9) * 1e9)
                    connection.sendall(
                        json.dumps({"pong": json.loads(line)["ping"], "t_ns": now_ns}).encode() + b"\n"
                    )
            self._listener.close()


class JsonTalk:
    """The host's end of a line-wise JSON link."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self._socket.makefile("rb")

    def send_message(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def read_message(self, timeout_s: float) -> dict[str, Any]:
        self._socket.settimeout(timeout_s)
        return json.loads(self._lines.readline())

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _trial(seed: int) -> tuple[float, float]:
    """Make one exchange over a jittery link with a board whose clock is known; return (error, bound) in seconds."""
    shift_s = random.Random(seed).uniform(-1e6, 1e6)
    board = ShiftedBoard(shift_s)
    proxy = JitterProxy(board.port, seed)
    talk = JsonTalk(proxy.port)
    try:
        offset = exchange(talk, n=4)
    finally:
        talk.close()
        proxy.close()
    return abs(offset.offset_s - shift_s), offset.bound_s


def test_the_true_offset_lies_within_the_bound_in_each_of_200_exchanges_over_a_jittery_link():
    with ThreadPoolExecutor(max_workers=20) as pool:
        trials = list(pool.map(_trial, range(200)))
    wrong = [(error, bound) for error, bound in trials if error > bound]
    assert wrong == []
    # A bound that is always far too wide would be worth nothing; one of half its width would be wrong.
    assert max(error / bound for error, bound in trials) > 0.5
    assert sorted(bound for _, bound in trials)[100] < JITTER_S


@pytest.mark.slow
def test_two_exchanges_bound_the_offset_in_between_and_the_drift():
    board = ShiftedBoard(-4000.0, ppm=150.0)
    proxy = JitterProxy(board.port, 5)
    talk = JsonTalk(proxy.port)
    before = exchange(talk, n=4)
    time.sleep(0.3)
    between_s = time.monotonic()
    time.sleep(0.3)
    after = exchange(talk, n=4)
    talk.close()
    proxy.close()
    line = ClockLine(before, after)
    board_s = board.clock_s(between_s)
    assert abs(line.host_s(board_s) - between_s) <= line.bound_s(board_s)
    assert line.bound_s(board_s) <= max(before.bound_s, after.bound_s)
    assert abs(line.drift_ppm + 150.0) <= line.drift_bound_ppm
    assert line.problem() is None


def test_an_answer_to_another_ping_is_refused():
    class Liar:
        def send_message(self, message: dict[str, Any]) -> None:
            pass

        def read_message(self, timeout_s: float) -> dict[str, Any]:
            return {"pong": 7, "t_ns": 1}

    with pytest.raises(ReplyError, match="expected the pong to ping 0"):
        exchange(Liar())


def test_interpolating_between_exchanges_needs_their_times():
    with pytest.raises(ValueError, match="needs the time of each exchange"):
        ClockLine(Offset(1.0, 0.1), Offset(1.0, 0.1)).host_s(5.0)


@pytest.fixture
def jittery_board(tmp_path: Path):
    """A board behind a real SSH server of this machine, over a link that jitters; its true offset is zero."""
    with LoopbackServer(Timeouts()) as server:
        proxy = JitterProxy(server.endpoint.port, 3)
        spec = BoardSpec(
            id="far",
            host="127.0.0.1",
            user=server.endpoint.user,
            port=proxy.port,
            key_file=server.endpoint.key_file,
            known_hosts=str(tmp_path / "known_hosts"),
            host_keys="accept-new",
            ssh_config="",
            python=sys.executable,
            workdir=str(tmp_path / "work"),
        )
        with Board(spec) as board:
            board.sync([make_payload()])
            yield board
        proxy.close()


def _exchanges(board: Board, count: int, pings: int) -> list[Offset]:
    with board._agent("start") as duplex:
        return [exchange(duplex, pings) for _ in range(count)]


@pytest.mark.slow
def test_over_real_ssh_with_jitter_the_agents_clock_is_bounded(jittery_board):
    for offset in _exchanges(jittery_board, 10, 2):
        assert abs(offset.offset_s) <= offset.bound_s
        assert offset.bound_s < 0.2


@pytest.mark.slow
def test_over_real_ssh_with_jitter_the_agents_clock_is_bounded_200_times(jittery_board):
    offsets = _exchanges(jittery_board, 200, 2)
    assert [offset for offset in offsets if abs(offset.offset_s) > offset.bound_s] == []
    assert max(abs(offset.offset_s) / offset.bound_s for offset in offsets) > 0.4


class SimulatedBoard:
    """Answers pings from a clock that is ``ahead_s`` ahead, after the given delays."""

    def __init__(self, ahead_s: float, delays_s: list[tuple[float, float]]) -> None:
        self._ahead_ns = int(ahead_s * 1e9)
        self._delays_s = delays_s
        self._reply: dict = {}

    def send_message(self, message: dict) -> None:
        there_s, self._back_s = self._delays_s[message["ping"]]
        time.sleep(there_s)
        self._reply = {"pong": message["ping"], "t_ns": time.monotonic_ns() + self._ahead_ns}

    def read_message(self, timeout_s: float) -> dict:
        time.sleep(self._back_s)
        return self._reply


def test_the_exchange_with_the_shortest_round_trip_bounds_the_offset():
    board = SimulatedBoard(100.0, [(0.05, 0.001), (0.002, 0.002), (0.001, 0.06)])
    offset = exchange(board, 3)
    assert abs(offset.offset_s + 100.0) <= offset.bound_s
    assert offset.bound_s < 0.02


def test_a_pong_to_another_ping_is_refused():
    class Confused(SimulatedBoard):
        def read_message(self, timeout_s: float) -> dict:
            return {"pong": 7, "t_ns": 1}

    with pytest.raises(ReplyError, match="pong"):
        exchange(Confused(0, [(0, 0)]), 1)
