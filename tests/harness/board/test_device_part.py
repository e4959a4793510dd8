"""A board that lies about what crosses: whatever it sends, one clear error and nothing believed."""

from __future__ import annotations

import pytest

from tunebench.harness.board.device_part import DevicePartChannel
from tunebench.targets.errors import LinkError, ReplyError
from tunebench.workloads.deploy import frames
from tunebench.workloads.deploy.device_parts import Crossing

POOL = Crossing("pool", (4,), "float32")
TENSOR = frames.framed(frames.TENSOR, bytes(16))


class DuplexStub:
    """Say what a board would, whatever is asked; stands for a board that lies, which cannot be had."""

    def __init__(self, *said: bytes) -> None:
        self.said, self.sent, self.closed = b"".join(said), b"", False

    def send(self, data, timeout_s=None):
        self.sent += data

    def read_exact(self, n, timeout_s=None):
        if len(self.said) < n:
            raise LinkError(f"the stream ended after {len(self.said)} of {n} bytes")
        data, self.said = self.said[:n], self.said[n:]
        return data

    def close(self):
        self.closed = True


def times(**facts: object) -> bytes:
    return frames.framed(frames.TEXT, frames.text_of(**facts))


def channel(*said: bytes) -> DevicePartChannel:
    return DevicePartChannel(DuplexStub(*said), "pi", 1.0)


def call(*said: bytes):
    return channel(*said).call(POOL, 0, lambda tensor: bytes(8))


def test_a_call_is_told_by_its_parts():
    called = call(TENSOR, times(device_s=0.2, total_s=0.5))
    assert called.device_s == 0.2
    assert called.remote_s < 0.1
    assert called.transfer_s == pytest.approx(0.3 - called.remote_s)
    assert called.outputs == bytes(8)


def test_nothing_crosses_where_nothing_is_left():
    stub = DuplexStub(times(device_s=0.2, total_s=0.2))
    called = DevicePartChannel(stub, "pi", 1.0).call(POOL, 0, None)
    assert (called.transfer_s, called.outputs) == (0.0, b"")
    assert stub.sent.count(b"\n") == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([b"GET / HTTP"], "no frame of a partition"),
        ([frames.framed(frames.TENSOR, bytes(20))], "20 bytes, expected kind 0 and 16 bytes"),
        ([times(device_s=0.0)], "expected kind 0"),
        ([TENSOR, times(device_s=0.1)], "total_s"),
        ([TENSOR, times(device_s=-1, total_s=1)], "device_s"),
        ([TENSOR, frames.framed(frames.TEXT, b'{"total_s": NaN}')], "total_s"),
        ([TENSOR, frames.framed(frames.TEXT, b"[1]")], "no object"),
        ([TENSOR, frames.framed(frames.TEXT, b"\xff")], "no JSON"),
        ([TENSOR, TENSOR], "expected kind 1"),
        ([frames.framed(frames.FAULT, b"no cut\x1b[2J")], r"the board's part: no cut\\x1b\[2J"),
    ],
)
def test_what_is_not_of_the_agreed_form_is_refused(said, message):
    with pytest.raises(ReplyError, match=message):
        call(*said)


def test_a_board_with_other_cuts_is_refused():
    told = frames.framed(frames.TEXT, frames.text_of(samples=3, cuts=["input"]))
    assert channel(told).ready(["input"]) == 3
    with pytest.raises(ReplyError, match="other cuts"):
        channel(told).ready(["input", "pool"])
    with pytest.raises(ReplyError, match="samples"):
        channel(frames.framed(frames.TEXT, frames.text_of(samples=0, cuts=[]))).ready([])


def test_the_channel_is_ended_and_closed():
    stub = DuplexStub()
    with DevicePartChannel(stub, "pi", 1.0):
        pass
    assert b'"end"' in stub.sent
    assert stub.closed
