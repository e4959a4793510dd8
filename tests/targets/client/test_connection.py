"""Blobs on a board: uploaded once, verified, refused when they are not what they are called."""

from __future__ import annotations

import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.errors import BlobError, InterpreterError, LinkError, TargetError, WorkdirError
from tunebench.targets.payload import Blob


def workdir(board: Board) -> Path:
    return Path(board.spec.workdir)


@pytest.mark.every_server
def test_a_second_sync_uploads_nothing(board, payload):
    data = Blob.of_bytes(os.urandom(2_000_000), ".tbx", "data")
    first = board.sync([payload, data])
    assert (first.uploaded_b, first.uploaded_names, first.present_names) == (
        2_000_000,
        (data.name,),
        (payload.name,),
    )
    second = board.sync([payload, data])
    assert (second.uploaded_b, second.uploaded_names) == (0, ())
    assert (workdir(board) / "blobs" / data.name).read_bytes() == data.data


@pytest.mark.openssh_server
def test_a_corrupted_blob_is_uploaded_again(board):
    data = Blob.of_bytes(b"precious" * 1000, ".tbx")
    board.sync([data])
    stored = workdir(board) / "blobs" / data.name
    stored.write_bytes(b"precioux" * 1000)
    assert board.sync([data]).uploaded_names == (data.name,)
    assert stored.read_bytes() == data.data


@pytest.mark.openssh_server
def test_an_upload_that_does_not_match_its_hash_is_refused(board):
    lie = Blob("a" * 64 + ".tbx", "a" * 64, data=b"something else")
    with pytest.raises(BlobError, match="arrived with SHA-256"):
        board.sync([lie])
    assert not list((workdir(board) / "blobs").glob("aaaaaaaa*"))


def test_parts_of_files_whose_writer_has_died_are_removed_and_no_others(board):
    ended = ended_process()
    dead = [
        workdir(board) / name for name in (f"blobs/{'a' * 64}.zip.part.{ended}", f"lease.json.part.{ended}")
    ]
    kept = [
        workdir(board) / name
        for name in (f"blobs/{'a' * 64}.zip.part.{os.getpid()}", "notes.part.1x", "a.part.0")
    ]
    for path in (*dead, *kept):
        path.write_text("half")
    board.sync([])
    assert [path for path in dead if path.exists()] == []
    assert all(path.exists() for path in kept)
    os.utime(kept[0], (0, 0))
    board.sync([])
    assert not kept[0].exists(), "a day later the number is another process's"


def test_a_blob_from_a_file_arrives(board, tmp_path):
    path = tmp_path / "weights.tbx"
    path.write_bytes(b"w" * 5000)
    blob = Blob.of_file(path)
    assert board.sync([blob]).uploaded_b == 5000
    assert (workdir(board) / "blobs" / blob.name).read_bytes() == b"w" * 5000


def test_the_working_directory_is_private(board):
    assert workdir(board).stat().st_mode & 0o777 == 0o700


def test_an_unwritable_working_directory_is_a_workdir_error(make_board, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkdirError, match="file"):
        make_board(workdir=str(tmp_path / "file"))


def test_a_board_without_room_is_a_workdir_error(board):
    class Huge(Blob):
        size_b = 1 << 60

    with pytest.raises(WorkdirError, match=r"bytes free, \d+ needed"):
        board.sync([Huge("c" * 64 + ".tbx", "c" * 64, data=b"")])


@pytest.mark.openssh_server
@pytest.mark.parametrize(
    ("python", "said"),
    [("/no/such/python3", "no/such"), ("/bin/false", "does not run"), ("/bin/echo", "does not run")],
)
def test_a_missing_python_is_an_interpreter_error(make_board, python, said):
    with pytest.raises(InterpreterError, match=said) as refusal:
        make_board(python=python)
    message = str(refusal.value)
    assert "Set `python` of this board in the inventory" in message
    assert "base64" not in message
    assert len(message) < 600, "our own program is not quoted"


def test_an_agent_command_before_a_sync_is_a_programming_error(endpoint):
    spec = BoardSpec(
        id="b",
        host=endpoint.host,
        user=endpoint.user,
        port=endpoint.port,
        key_file=endpoint.key_file,
        known_hosts=endpoint.known_hosts,
        ssh_config="",
    )
    with Board(spec) as board, pytest.raises(TargetError, match="sync"):
        board.wait("rep-1", 1)


def test_a_job_without_its_blob_is_to_be_synced_again(board, make_job):
    job = make_job()
    job["blobs"]["data"] = "b" * 64 + ".tbx"
    with pytest.raises(BlobError, match="not on the board"):
        board.start(job)
    assert issubclass(BlobError, LinkError)


WEIGHTS = random.Random(7).randbytes(3_000_000)


def left_behind(board: Board, content: bytes, writer: int) -> Path:
    """Write what an upload of WEIGHTS by a process has left on the board."""
    name = Blob.of_bytes(WEIGHTS, ".tbx").name
    part = workdir(board) / "blobs" / f"{name}.part.{writer}"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    return part


def ended_process() -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return ended.pid


@pytest.mark.openssh_server
@pytest.mark.parametrize(
    ("left", "sent_b"),
    [
        (WEIGHTS[:2_000_000], 1_000_000),
        (WEIGHTS[:-1], 1),
        (WEIGHTS[:1_000_000], 3_000_000),
        (b"?" + WEIGHTS[1:2_000_000], 3_000_000),
        (WEIGHTS + b"?", 3_000_000),
    ],
    ids=["two thirds", "all but one byte", "too short to ask for", "damaged", "longer than the file"],
)
def test_an_upload_goes_on_from_what_another_has_left_if_that_is_the_files_beginning(board, left, sent_b):
    part = left_behind(board, left, ended_process())
    blob = Blob.of_bytes(WEIGHTS, ".tbx")
    assert board.sync([blob]).uploaded_b == sent_b
    assert part.with_name(blob.name).read_bytes() == WEIGHTS
    assert [path.name for path in part.parent.glob(f"{blob.name}*")] == [blob.name], "no part is left"


def test_what_a_living_receiver_has_is_copied_and_stays_its_own(board):
    part = left_behind(board, WEIGHTS[:2_000_000], os.getpid())
    assert board.sync([Blob.of_bytes(WEIGHTS, ".tbx")]).uploaded_b == 1_000_000
    assert part.read_bytes() == WEIGHTS[:2_000_000]


def test_an_upload_tells_how_far_it_is(board):
    steps = []
    board.sync(
        [Blob.of_bytes(random.Random(8).randbytes(40_000_000), ".tbx")], lambda *step: steps.append(step)
    )
    assert len(steps) > 30 and steps == sorted(steps)
    assert steps[-1] == (40_000_000, 40_000_000)


@pytest.mark.openssh_server
def test_two_uploads_of_one_file_at_once_leave_it_whole_and_no_part(board):
    blob = Blob.of_bytes(random.Random(9).randbytes(40_000_000), ".tbx")
    with Board(board.spec) as other, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda end: end.sync([blob]), (board, other)))
    stored = workdir(board) / "blobs"
    assert (stored / blob.name).read_bytes() == blob.data
    assert [path.name for path in stored.glob(f"{blob.name}*")] == [blob.name]
