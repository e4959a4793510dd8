"""Virtual environments on a board: what is asked, what is built, and what a cut-off build leaves."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from tunebench.targets.client.venv_replies import BuildState
from tunebench.targets.errors import BlobError, ConditionError, InterpreterError, TargetError
from tunebench.targets.payload import Blob
from tunebench.targets.transport.endpoint import Timeouts

NONE = {
    "python": [sys.executable],
    "pip": False,
    "label": "python",
    "downloads": [],
    "installs": [],
    "expect": "python",
}


@pytest.fixture
def board(make_board):
    return make_board()


def facts(board, python=(sys.executable,), name="no-torch"):
    return board.venv_facts(python, name)


def build(board, recipe=NONE, name="no-torch", progress=None):
    return board.build_venv(name, recipe, progress)


@pytest.fixture
def slow_python(tmp_path):
    """A Python whose ``-m venv`` waits until it is let; it counts how often it was asked."""
    path = tmp_path / "fake-slow-python"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *venv*) echo x >> {tmp_path}/asked\n'
        f'while [ ! -e {tmp_path}/go ]; do sleep 0.02; done;; esac\nexec {sys.executable} "$@"\n'
    )
    path.chmod(0o755)
    return path


def test_a_board_says_what_decides_on_an_environment(board, tmp_path):
    reply = facts(board)
    python = reply.python
    assert python.short == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert python.bits in (32, 64)
    assert (python.venv, python.ensurepip) == (True, True)
    assert reply.state == BuildState()
    assert (reply.building, reply.wheels) == (False, [])
    assert reply.disk_free_b > 0
    assert reply.venv.endswith("/venvs/no-torch")


def test_a_python_that_is_none_is_told_apart_from_one_that_is_not_there(board):
    with pytest.raises(InterpreterError, match="cannot start /no/such/python"):
        facts(board, ["/no/such/python"])
    with pytest.raises(InterpreterError, match="/bin/echo is no Python that works"):
        facts(board, ["/bin/echo"])


def test_an_environment_name_that_could_lead_to_another_folder_is_refused(board):
    for name in ("../evil", "", "A", "x" * 60, None):
        with pytest.raises(TargetError, match="environment name"):
            facts(board, name=name)


def test_an_environment_is_built_once_and_its_steps_are_told(board):
    events = []
    ended = build(board, progress=events.append)
    assert ended.ok is True, ended
    assert [event.title for event in events if event.event == "step"] == [
        "virtual environment",
        "look whether it works",
    ]
    reply = facts(board)
    assert reply.state.complete == "python"
    assert reply.state.interpreter.executable == reply.venv + "/bin/python"
    events.clear()
    assert build(board, progress=events.append).ok is True
    assert next(event for event in events if event.event == "step").done_before is True


@pytest.mark.slow
def test_an_environment_that_was_broken_since_is_made_anew(board):
    build(board)
    python = facts(board).venv + "/bin/python"
    os.remove(python)
    events = []
    assert build(board, progress=events.append).ok is True
    assert [event.done_before for event in events if event.event == "step"] == [False, False]
    assert os.path.exists(python)


class _HostDied(Exception):
    pass


def test_a_build_goes_on_when_the_link_breaks_and_the_next_run_follows_it(board, slow_python, tmp_path):
    recipe = {**NONE, "python": [str(slow_python)]}

    def die(event):
        raise _HostDied

    with pytest.raises(_HostDied):
        build(board, recipe, progress=die)
    board.reconnect()
    assert facts(board).building is True
    with pytest.raises(ConditionError, match="another build of no-torch"):
        build(board, NONE)
    (tmp_path / "go").write_text("")
    assert build(board, recipe).ok is True
    assert (tmp_path / "asked").read_text() == "x\n"


def test_a_build_that_was_killed_goes_on_with_the_step_it_was_at(board, slow_python, tmp_path):
    recipe = {**NONE, "python": [str(slow_python)]}

    def kill(event):
        if event.event == "begun":
            while not (tmp_path / "asked").exists():
                time.sleep(0.01)
            os.kill(event.pid, signal.SIGKILL)

    ended = build(board, recipe, progress=kill)
    assert (ended.ok, ended.kind) == (False, "died")
    assert facts(board).building is False
    (tmp_path / "go").write_text("")
    assert build(board, recipe).ok is True
    assert (tmp_path / "asked").read_text() == "x\nx\n"


def test_a_step_that_fails_says_what_the_program_said(board, tmp_path):
    fake = tmp_path / "fake-python-that-cannot-make-environments"
    fake.write_text("#!/bin/sh\necho 'ensurepip is not available' >&2\nexit 1\n")
    fake.chmod(0o755)
    ended = build(board, {**NONE, "python": [str(fake)]})
    assert (ended.ok, ended.kind) == (False, "environment")
    assert "ensurepip is not available" in ended.reason


@pytest.mark.slow
def test_an_environment_is_built_on_python_3_6(make_board, python36):
    board = make_board(python=python36)
    assert facts(board, [python36]).python.tag == "cp36"
    ended = build(board, {**NONE, "python": [python36]})
    assert ended.ok is True, ended
    assert ended.interpreter.python.startswith("3.6.")


def make_wheel(folder, name):
    """A real wheel of an empty module."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)


@pytest.mark.slow
def test_a_build_whose_download_failed_goes_on_with_that_download(make_board, tmp_path):
    board = make_board(timeouts=Timeouts())
    options = ["--no-index", "--find-links", str(tmp_path)]
    recipe = {
        **NONE,
        "pip": True,
        "label": "2 wheels",
        "downloads": [{"what": name, "args": options} for name in ("tbone==1.0", "tbtwo==1.0")],
        "installs": ["tbone==1.0", "tbtwo==1.0"],
    }
    make_wheel(tmp_path, "tbone")
    ended = build(board, recipe, "two")
    assert (ended.ok, ended.kind) == (False, "download")
    assert "tbtwo" in ended.reason
    assert facts(board, name="two").wheels == ["tbone-1.0-py3-none-any.whl"]
    make_wheel(tmp_path, "tbtwo")
    events = []
    assert build(board, recipe, "two", events.append).ok is True
    before = {event.title: event.done_before for event in events if event.event == "step"}
    assert before == {
        "virtual environment": True,
        "download tbone==1.0": True,
        "download tbtwo==1.0": False,
        "install torch 2 wheels": False,
        "look whether it works": False,
    }
    python = facts(board, name="two").venv + "/bin/python"
    assert subprocess.run([python, "-c", "import tbone, tbtwo"], check=False).returncode == 0


# -- wheels in chunks -----------------------------------------------------------------------------


def join(board, file, data, chunks, sha256=None):
    entry = {
        "file": file,
        "sha256": sha256 or hashlib.sha256(data).hexdigest(),
        "chunks": [chunk.name for chunk in chunks],
    }
    board.join_wheels("no-torch", [entry])


def test_chunks_become_the_wheel_and_leave_the_store(board):
    data = os.urandom(5000)
    chunks = [Blob.of_bytes(data[at : at + 2000], ".chunk") for at in range(0, 5000, 2000)]
    board.sync(chunks)
    join(board, "x-1-py3-none-any.whl", data, chunks)
    assert facts(board).wheels == ["x-1-py3-none-any.whl"]
    assert board.sync(chunks).uploaded_b == 5000  # they were not kept


def test_a_missing_chunk_or_another_content_asks_to_push_again(board):
    data = b"abc"
    chunk = Blob.of_bytes(data, ".chunk")
    with pytest.raises(BlobError, match="is not on the board; push it again"):
        join(board, "x-1-py3-none-any.whl", data, [chunk])
    board.sync([chunk])
    with pytest.raises(BlobError, match="another SHA-256"):
        join(board, "x-1-py3-none-any.whl", data, [chunk], sha256="0" * 64)
    assert facts(board).wheels == []


def test_a_wheel_goes_nowhere_but_into_the_wheelhouse(board):
    for file in ("../x-1.whl", "x.tar.gz", "a/b-1.whl", ".whl"):
        with pytest.raises(TargetError, match="is no wheel of chunks"):
            join(board, file, b"", [])
