"""Starting and ending an emulated board: whose process it is, what is said when something is missing or fails."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tunebench.harness.cli.app import app
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.targets.virtual.qemu import machine
from tunebench.targets.virtual.qemu.errors import EmulationError, InUseError, MissingError
from tunebench.targets.virtual.qemu.image import Image
from tunebench.targets.virtual.qemu.machine import EmulatedBoard, State

#: Stands in for QEMU: goes to the background under its own command line, writes its pid, and never answers.
FAKE_QEMU = """#!{python}
import os, sys, time
words = sys.argv
if os.fork():
    sys.exit(0)
os.setsid()
with open(words[words.index("-pidfile") + 1], "w") as file:
    file.write(str(os.getpid()))
for descriptor in (0, 1, 2):
    os.close(descriptor)
time.sleep({life_s})
"""


@pytest.fixture
def fake_image(tmp_path):
    """The files of an image, without content."""
    folder = tmp_path / "image"
    folder.mkdir()
    for name in ("disk.img", "vmlinuz", "initrd.img", "board.dtb", "id_ed25519"):
        (folder / name).write_bytes(b"")
    (folder / "host_key.pub").write_text("ssh-ed25519 AAAA board\n")
    return Image(folder)


@pytest.fixture
def fake_qemu(tmp_path, monkeypatch):
    """Put a program in QEMU's place."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "qemu-system-aarch64"
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(script: str = "", life_s: float = 60) -> None:
        path.write_text(script or FAKE_QEMU.format(python=sys.executable, life_s=life_s))
        path.chmod(0o755)

    return write


@pytest.fixture
def board(tmp_path):
    made = EmulatedBoard(tmp_path / "state", "emu-1")
    yield made
    made.down(lambda _: None, hard=True)


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_board_nobody_can_log_in_to_is_told_and_can_be_ended(board, fake_image, fake_qemu):
    fake_qemu()
    with pytest.raises(EmulationError, match=r"no login within 0 s .* still running") as failed:
        board.up(fake_image, lambda _: None, boot_s=0.0)
    assert "serial.log" in str(failed.value)
    state = board.state()
    assert is_alive(state.pid)
    assert board.status().login is False
    assert board.down(lambda _: None, hard=True) is True
    assert not is_alive(state.pid)
    assert board.state() is None
    assert board.down(lambda _: None, hard=True) is False


@pytest.mark.slow
def test_a_qemu_that_ends_while_booting_is_told(board, fake_image, fake_qemu):
    fake_qemu(life_s=0.5)
    with pytest.raises(EmulationError, match="QEMU has ended"):
        board.up(fake_image, lambda _: None, boot_s=30.0)


def test_what_qemu_says_is_handed_on(board, fake_image, fake_qemu):
    fake_qemu("#!/bin/sh\necho 'Could not set up host forwarding rule' >&2\nexit 1\n")
    with pytest.raises(EmulationError, match="starting QEMU: Could not set up host forwarding rule"):
        board.up(fake_image, lambda _: None, port=4711)


def test_a_process_that_was_given_the_same_number_is_not_ours(board):
    """After a reboot of the host the recorded id may be anybody's."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        board.folder.mkdir()
        state = State("emu-1", "raspi3b", other.pid, 2222, "/image", "2026-11-21T00:00:00Z")
        (board.folder / "state.json").write_text(json.dumps(state.__dict__))
        (board.folder / "qemu.pid").write_text(str(other.pid))
        assert board.state() is None
        assert board.status().running is False
        assert board.down(lambda _: None, hard=True) is False
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_two_boards_on_one_machine_have_their_own_process_and_port(tmp_path, fake_image, fake_qemu, board):
    fake_qemu()
    second = EmulatedBoard(tmp_path / "state-2", "emu-2")
    for emulated_board in (board, second):
        with pytest.raises(EmulationError, match="no login"):
            emulated_board.up(fake_image, lambda _: None, boot_s=0.0)
    try:
        first_state, second_state = board.state(), second.state()
        assert first_state.pid != second_state.pid
        assert first_state.port != second_state.port
        board.down(lambda _: None, hard=True)
        assert is_alive(second_state.pid)
    finally:
        second.down(lambda _: None, hard=True)


def test_a_board_that_is_up_is_left_as_it_is_and_another_machine_is_refused(board, fake_image, fake_qemu):
    fake_qemu()
    with pytest.raises(EmulationError, match="no login"):
        board.up(fake_image, lambda _: None, boot_s=0.0)
    pid = board.state().pid
    assert board.up(fake_image, lambda _: None).pid == pid
    with pytest.raises(InUseError, match=r"is up as raspi3b .* start another beside it"):
        board.up(fake_image, lambda _: None, machine="virt")


def test_each_run_has_a_fresh_card_unless_told_to_go_on_with_the_last(board, fake_image, fake_qemu):
    fake_qemu()
    for keep, expected in ((False, b""), (True, b"written by the guest"), (False, b"")):
        with pytest.raises(EmulationError, match="no login"):
            board.up(fake_image, lambda _: None, keep_disk=keep, boot_s=0.0)
        assert board.disk.read_bytes() == expected
        board.disk.write_bytes(b"written by the guest")
        board.down(lambda _: None, hard=True)


def test_without_qemu_the_package_is_named(board, fake_image, monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    with pytest.raises(MissingError, match=r"apt-get install --no-install-recommends qemu-system-arm"):
        board.up(fake_image, lambda _: None)


@pytest.mark.parametrize(("name", "kind"), [("raspi3b", "raspberry-pi"), ("virt", "linux")])
def test_the_inventory_it_writes_is_one_with_a_pinned_key(board, fake_image, tmp_path, name, kind):
    state = State("emu-1", name, 1, 2222, str(fake_image.path), "2026-11-21T00:00:00Z")
    path = tmp_path / "lab.toml"
    path.write_text(board.inventory_text(state))
    (entry,) = load_inventory(path).boards
    assert (entry.id, entry.kind, entry.emulated, entry.gates) == ("emu-1", kind, True, "warn")
    assert (entry.host, entry.port, entry.user) == ("127.0.0.1", 2222, "bench")
    assert (entry.key, entry.host_keys) == (str(fake_image.key), "verify")
    assert entry.known_hosts == str(board.known_hosts)
    assert entry.timeouts.command_s >= 60


def test_the_commands_end_with_the_documented_codes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = CliRunner()
    seen = run.invoke(app, ["emulate", "raspi3b", "status", "--json"])
    assert seen.exit_code == 4
    assert json.loads(seen.stdout)["up"] is False
    ended = run.invoke(app, ["emulate", "raspi3b", "down"])
    assert (ended.exit_code, "was not up" in ended.stdout) == (0, True)
    wrong = run.invoke(app, ["emulate", "raspi3b", "status", "--name", "../other"])
    assert isinstance(wrong.exception, UsageError)
    missing = run.invoke(app, ["emulate", "raspi3b", "up"])
    assert isinstance(missing.exception, UsageError)
    assert "qemu-system-arm" in str(missing.exception) or "build" in str(missing.exception)


def test_a_board_whose_start_command_was_killed_can_still_be_ended(board, fake_image, fake_qemu, tmp_path):
    fake_qemu()
    code = (
        "from pathlib import Path; from tunebench.targets.virtual.qemu.image import Image;"
        " from tunebench.targets.virtual.qemu.machine import EmulatedBoard;"
        f" EmulatedBoard(Path({str(board.folder)!r}), 'emu-1').up(Image(Path({str(fake_image.path)!r})), lambda _: None)"
    )
    up = subprocess.Popen([sys.executable, "-c", code])
    end_s = time.monotonic() + 20
    while board.state() is None:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    os.kill(up.pid, signal.SIGKILL)
    up.wait()
    pid = board.state().pid
    assert board.down(lambda _: None, hard=True) is True
    assert not is_alive(pid)
