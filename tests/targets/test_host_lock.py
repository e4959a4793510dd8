"""Locks of this host between real processes: one at a time, told who holds it, given back by SIGKILL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tunebench.targets import host_lock
from tunebench.targets.host_lock import HostLock, Wait

HOLD = (
    "import sys, time\n"
    "sys.argv = ['/usr/bin/tunebench', 'run', '-s', 'my suite']\n"
    "from tunebench.targets.host_lock import HostLock\n"
    "assert HostLock({name!r}).take('it') is None\n"
    "print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of locks of the test's own; other processes are given it by :func:`holding`."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(host_lock, "FOLDERS", (str(tmp_path),))
    return tmp_path


@pytest.fixture
def holding(folder):
    """Start a process that holds a lock."""
    begun = []

    def start(name: str) -> subprocess.Popen[str]:
        code = f"import tunebench.targets.host_lock as l; l.FOLDERS = ({str(folder)!r},)\n" + HOLD.format(
            name=name
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        return process

    yield start
    for process in begun:
        process.kill()
        process.communicate(timeout=10)


def test_the_second_is_told_who_holds_it_with_which_command_and_since_when(holding):
    first = holding("a board")
    sentence = HostLock("a board").take("loopback board")
    assert sentence is not None
    assert sentence.startswith(f"loopback board is in use by process {first.pid} of ")
    assert f"since {time.strftime('%Y-')}" in sentence and sentence.endswith("(tunebench run -s 'my suite')")
    assert HostLock("another board").take("board") is None


def test_who_waits_gets_it_as_soon_as_the_holder_is_killed(holding):
    first = holding("a meter")
    notes: list[str] = []
    threading.Timer(0.4, first.send_signal, (signal.SIGKILL,)).start()
    begun_s = time.monotonic()
    lock = HostLock("a meter")
    assert lock.take("meter", Wait(20.0, notes.append)) is None
    assert 0.3 < time.monotonic() - begun_s < 3.0
    assert len(notes) == 1 and notes[0].startswith("waiting: meter is in use by process")
    lock.give()


def test_patience_ends_and_so_does_a_wait_that_is_stopped(holding):
    holding("x")
    assert "waited 0 s" in str(HostLock("x").take("it", Wait(0.3)))
    assert "the wait was stopped" in str(HostLock("x").take("it", Wait(60.0, pause=lambda _: True)))


def test_threads_of_one_process_share_it_until_the_last_gives_it_back(folder):
    first, second = HostLock("x"), HostLock("x")
    assert first.take("it") is None and second.take("it") is None
    first.give()
    first.give()
    assert len(list(folder.glob("tunebench-*.lock"))) == 1
    code = f"import tunebench.targets.host_lock as l; l.FOLDERS = ({str(folder)!r},); print(l.HostLock('x').take('it'))"

    def ask() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False
        ).stdout

    assert f"process {os.getpid()} of" in ask()
    second.give()
    assert list(folder.glob("tunebench-*.lock")) == [], "nothing is left in the folder"
    assert ask() == "None\n"


def test_never_two_holders_while_many_take_and_give(folder):
    """Eight processes, each 60 times: the file is removed under those who wait for it."""
    code = (
        f"import os, tunebench.targets.host_lock as l; l.FOLDERS = ({str(folder)!r},)\n"
        "for _ in range(60):\n"
        "    lock = l.HostLock('x')\n"
        "    assert lock.take('it', l.Wait(60.0, pause=lambda s: __import__('time').sleep(0.0005))) is None\n"
        f"    fd = os.open({str(folder / 'inside')!r}, os.O_CREAT | os.O_EXCL)\n"
        "    os.close(fd)\n"
        f"    os.unlink({str(folder / 'inside')!r})\n"
        "    lock.give()\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(8)]
    assert [process.communicate(timeout=60)[1] for process in processes] == [b""] * 8


@pytest.mark.parametrize(
    "content", ["", "nonsense", "[]", '{"pid": 1}', "[" * 3000, json.dumps({"pid": "\x1b[2J" * 900})]
)
def test_a_file_that_says_nothing_or_nonsense_is_a_nameless_command(holding, folder, content):
    holding("x")
    (file,) = folder.glob("tunebench-*.lock")
    file.write_text(content)
    assert HostLock("x").take("it") == "it is in use by another command of this host"


def test_what_the_file_says_cannot_command_a_terminal(holding, folder):
    holding("x")
    (file,) = folder.glob("tunebench-*.lock")
    file.write_text(
        json.dumps({"pid": 1, "user": "eve\x1b[2J", "since": "now\nboard: fine", "command": "\u202etac"})
    )
    sentence = HostLock("x").take("it")
    assert sentence is not None and sentence.isprintable() and "\\x1b[2J" in sentence


def test_a_link_or_a_pipe_in_its_place_is_not_used_and_stops_nobody(folder, tmp_path):
    probe = HostLock("x")
    probe.take("it")
    (file,) = folder.glob("tunebench-*.lock")
    probe.give()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    file.symlink_to(victim)
    assert HostLock("x").take("it") is None
    assert victim.read_text() == "precious"
    file.unlink()
    os.mkfifo(file)
    assert HostLock("x").take("it") is None


def test_without_a_folder_for_all_accounts_commands_go_on_without_a_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(host_lock, "FOLDERS", (str(tmp_path / "none"), str(tmp_path)))
    lock = HostLock("x")
    assert lock.take("it") is None
    lock.give()
    assert list(tmp_path.iterdir()) == []
