"""The receiver's own files: a full file system does not stay full, what is a day old or left by a dead one goes."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from tunebench.targets.agent.transfer import receive

NAME = "a" * 64 + ".tbx"


def test_what_a_full_file_system_has_taken_of_a_blob_is_removed(tmp_path):
    part = receive.Part(str(tmp_path / f"{NAME}.part.{os.getpid()}"))
    Path(part.path).unlink()
    Path(part.path).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        receive.store(str(tmp_path), {"name": NAME, "sha256": "a" * 64}, part, io.BytesIO(b"x" * 3_000_000))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size_b", "age_s", "tidy", "stays"),
    [
        (receive.RESUMABLE_B, 60, False, True),
        (receive.RESUMABLE_B - 1, 60, False, False),
        (receive.RESUMABLE_B, receive.STALE_S + 60, False, False),
        (receive.RESUMABLE_B, 60, True, False),
    ],
    ids=["worth a question", "too short", "a day old", "an empty manifest"],
)
def test_a_part_of_a_dead_writer_stays_for_a_day_if_an_upload_can_go_on_from_it(
    tmp_path, ended_pid, size_b, age_s, tidy, stays
):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    part = blobs / f"{NAME}.part.{ended_pid}"
    part.write_bytes(bytes(size_b))
    os.utime(part, (time.time() - age_s,) * 2)
    receive.prepare(str(tmp_path), tidy)
    assert part.exists() == stays


@pytest.fixture
def ended_pid() -> int:
    """Return the number of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
