"""A shaped link: its rate and its delay, both ways, and a real board behind it."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tunebench.targets.errors import TargetError
from tunebench.targets.transport.traffic_shaping import PROFILES, Profile, ShapedLink

FAST = Profile("test", up_bit_s=8e6, down_bit_s=16e6, rtt_s=0.02)


@pytest.fixture
def echo():
    """Port of a server that reads a number of bytes and answers with as many as it was told to."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                while line := stream.readline():
                    wanted, answer = (int(word) for word in line.split())
                    stream.read(wanted)
                    stream.write(b"x" * answer)
                    stream.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(2)


def exchange_s(sock, sent_b, answer_b):
    began = time.monotonic()
    sock.sendall(b"%d %d\n" % (sent_b, answer_b) + b"y" * sent_b)
    left = answer_b
    while left:
        left -= len(sock.recv(65536))
    return time.monotonic() - began


def test_an_empty_link_takes_its_round_trip(echo):
    with ShapedLink(FAST) as link, link.dial("127.0.0.1", echo, 5.0) as sock:
        exchange_s(sock, 0, 1)
        assert 0.02 <= min(exchange_s(sock, 0, 1) for _ in range(5)) < 0.1
        assert link.dialled == 1


@pytest.mark.parametrize(("sent_b", "answer_b", "up"), [(200_000, 1, False), (1, 100_000, True)])
def test_bytes_take_what_the_rate_says(echo, sent_b, answer_b, up):
    with ShapedLink(FAST) as link, link.dial("127.0.0.1", echo, 5.0) as sock:
        seconds = exchange_s(sock, sent_b, answer_b)
    least_s = FAST.least_s(max(sent_b, answer_b), up=up)
    assert least_s == pytest.approx(0.12)
    assert 0.98 * least_s <= seconds < 2.0 * least_s + 0.2


def test_a_link_does_not_save_up_what_it_did_not_carry(echo):
    with ShapedLink(FAST) as link, link.dial("127.0.0.1", echo, 5.0) as sock:
        time.sleep(0.2)
        assert exchange_s(sock, 100_000, 1) >= 0.98 * FAST.least_s(100_000, up=False)


def test_the_end_of_a_stream_passes_and_threads_end(echo):
    with ShapedLink(FAST) as link:
        sock = link.dial("127.0.0.1", echo, 5.0)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(10) == b""
        sock.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "tunebench-shaped"]


def test_a_host_that_is_not_there_is_told_as_without_a_proxy():
    with ShapedLink(FAST) as link, pytest.raises(ConnectionRefusedError):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        link.dial("127.0.0.1", port, 2.0)


def test_profiles_are_ordered_from_fast_to_slow():
    rates = [profile.up_bit_s for profile in PROFILES.values()]
    assert rates == sorted(rates, reverse=True)
    assert list(PROFILES) == ["lan", "wifi", "lte", "250k", "50k"]
    assert PROFILES["250k"].least_s(31_250, up=True) == pytest.approx(1.15)


def test_a_board_is_used_over_a_shaped_link(board, tmp_path):
    """Same host keys, same agent, nothing synced again: only the TCP connection is another."""
    jobs = tmp_path / "work dir" / "jobs" / "rep-1" / "updates"
    jobs.mkdir(parents=True)
    (jobs / "index.json").write_text('{"files": []}')
    with ShapedLink(FAST) as link, board.beside(link.dial) as other:
        assert link.dialled == 1
        with other.updates("rep-1") as channel:
            assert channel.listed()["files"] == []
        assert other.ssh.channels_opened == 1


def test_a_link_that_is_cut_is_an_error_and_no_hang(board):
    link = ShapedLink(FAST)
    with link, board.beside(link.dial) as other:
        link.close()
        with pytest.raises(TargetError):
            other.probe()
