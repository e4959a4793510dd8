"""Equal content, equal bytes, equal name."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tunebench.targets.agent.protocol import SENTINEL
from tunebench.targets.agent.transfer import receive
from tunebench.targets.payload import Blob, deterministic_zip, make_payload, package_files, without_docstrings


def test_equal_files_give_equal_bytes_whatever_their_order():
    first = deterministic_zip({"b.py": b"2", "a.py": b"1"})
    second = deterministic_zip({"a.py": b"1", "b.py": b"2"})
    assert first == second
    assert first != deterministic_zip({"a.py": b"1", "b.py": b"3"})
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
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


DOCUMENTED = b'''"""A module,

of two lines."""
X = """no docstring"""


class A: "a class"  # noqa


def f():
    """A function \xc3\xa9."""


async def g():
    r"""Another
    one."""; return "x"  # kept
'''


def test_docstrings_are_emptied_and_lines_keep_their_numbers():
    bare = without_docstrings(DOCUMENTED)
    expected = [b'""', b"", b"", b'X = """no docstring"""', b"", b"", b'class A: ""  # noqa']
    assert bare.split(b"\n")[:7] == expected
    assert b'    ""; return "x"  # kept' in bare
    assert bare.count(b"\n") == DOCUMENTED.count(b"\n")
    assert without_docstrings(bare) == bare


def test_the_payload_is_the_agents_code_line_by_line():
    agent = Path(receive.__file__).parents[1]
    with zipfile.ZipFile(io.BytesIO(make_payload().read())) as archive:
        for path in sorted(agent.rglob("*.py")):
            shipped = archive.read("tunebench/targets/agent/" + path.relative_to(agent).as_posix())
            tree = ast.parse(path.read_bytes())
            for node in ast.walk(tree):
                body = getattr(node, "body", None)
                first = body[0] if isinstance(body, list) and body else None
                if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                    first.value.value = ""
            numbered = [(type(node), node.lineno) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
            again = ast.parse(shipped)
            assert ast.dump(again) == ast.dump(tree), path
            assert numbered == [
                (type(node), node.lineno) for node in ast.walk(again) if isinstance(node, ast.stmt)
            ]


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
