"""Equal content, equal bytes, equal name."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tunebench.targets.agent.protocol import SENTINEL
from tunebench.targets.agent.transfer import receive
from tunebench.targets.payload import Blob, deterministic_zip, make_payload, package_files


def test_equal_files_give_equal_bytes_whatever_their_order():
    one = deterministic_zip({"b.py": b"2", "a.py": b"1"})
    two = deterministic_zip({"a.py": b"1", "b.py": b"2"})
    assert one == two
    assert one != deterministic_zip({"a.py": b"1", "b.py": b"3"})
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert archive.namelist() == ["a.py", "b.py"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("name", ["/abs", "../up", "a/../../b", ""])
def test_names_that_leave_the_archive_are_refused(name):
    with pytest.raises(ValueError, match="relative"):
        deterministic_zip({name: b""})


def test_the_payload_holds_the_agent_and_what_is_added_but_nothing_of_the_host():
    payload = make_payload({"tunebench/workloads/__init__.py": b""})
    assert payload.role == "payload"
    assert payload.name == payload.sha256 + ".zip"
    with zipfile.ZipFile(io.BytesIO(payload.read())) as archive:
        names = set(archive.namelist())
    assert {
        "__main__.py",
        "tunebench/targets/__init__.py",
        "tunebench/targets/agent/cli.py",
        "tunebench/workloads/__init__.py",
    } <= names
    assert (
        not {
            "tunebench/targets/transport/ssh.py",
            "tunebench/targets/client/board.py",
            "tunebench/targets/client/connection.py",
        }
        & names
    )


def test_the_payload_runs_by_itself(tmp_path):
    path = tmp_path / "blobs" / "payload.zip"
    path.parent.mkdir()
    path.write_bytes(make_payload().read())
    command = [sys.executable, "-I", "-S", str(path), "wait", "--rep", "none", "--timeout-s", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == SENTINEL + '{"state": "unknown"}\n'
    usage = subprocess.run([*command[:4], "dance"], capture_output=True, text=True, check=False)
    assert (usage.returncode, "usage" in usage.stderr) == (2, True)


def test_package_files_leave_out_what_is_excluded(tmp_path):
    for name in ("run.py", "prepare.py", "datasets/har.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    files = package_files(tmp_path, "workloads", ["datasets/*", "prepare.py"])
    assert files == {"workloads/run.py": b"run.py"}


def test_a_blob_has_either_data_or_a_path(tmp_path):
    with pytest.raises(ValueError, match="either"):
        Blob("a", "b")
    path = tmp_path / "x.tbx"
    path.write_bytes(b"123")
    assert Blob.of_file(path) == Blob(
        Blob.of_bytes(b"123", ".tbx").name, Blob.of_bytes(b"123", "").sha256, path=path
    )
    assert Blob.of_file(path).size_b == Blob.of_bytes(b"123", ".tbx").size_b == 3


def test_the_receiver_stands_alone_and_speaks_the_same_protocol():
    assert receive.SENTINEL == SENTINEL
    assert "targets" not in Path(receive.__file__).read_text().replace('"""', "").split("import", 1)[1]
