"""What a job prints is kept in bounds: its head and its tail."""

from __future__ import annotations

import os

import pytest

from tunebench.targets.agent.job import log as job_log
from tunebench.targets.agent.protocol import MAX_LOG_B


@pytest.mark.parametrize("size", [0, 10, MAX_LOG_B - 1, MAX_LOG_B + 1, 3 * MAX_LOG_B])
def test_captured_output_keeps_its_head_and_tail(tmp_path, size):
    reader, writer = os.pipe()
    path = tmp_path / "log.txt"
    log = job_log.Capture(str(path), reader)
    data = os.urandom(size)
    for start in range(0, size, 4096):
        os.write(writer, data[start : start + 4096])
        assert log.drain()
    os.close(writer)
    assert not log.drain()
    log.close()
    kept = path.read_bytes()
    assert len(kept) <= MAX_LOG_B
    if log.dropped_b == 0:
        assert kept == data
    else:
        assert kept[:1000] == data[:1000]
        assert kept[-job_log.TAIL_B :] == data[-job_log.TAIL_B :]
        assert f"{log.dropped_b} bytes left out".encode() in kept
