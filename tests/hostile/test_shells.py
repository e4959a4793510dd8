"""Accounts with shells and interpreters of their own: whatever they print besides, the work is done."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tunebench.targets.payload import make_payload
from tunebench.targets.virtual.loopback import LoopbackServer

from .conftest import SHORT, program

CHATTY = {
    "a motd": 'echo "Welcome to the lab!"; exec /bin/sh "$@"',
    "a motd of half a megabyte": 'yes motd | head -c 500000; exec /bin/sh "$@"',
    "an echo of the command": 'echo "$@"; exec /bin/sh "$@"',
    "a trace of the command": 'exec /bin/sh -x "$@"',
    "a farewell": '/bin/sh "$@"; echo bye',
    "colours": 'printf "\\033[32mok\\033[0m\\n"; printf "\\033[31mno\\033[0m\\n" >&2; exec /bin/sh "$@"',
    "bytes that are no text": 'printf "\\377\\376\\n"; exec /bin/sh "$@"',
}


def _works(connect, **changes) -> None:
    board = connect(**changes)
    payload = make_payload()
    assert board.sync([payload]).uploaded_names == (payload.name,)
    assert board.sync([payload]).uploaded_names == ()
    assert board.wait("never-seen", 1) == "unknown"
    assert board.probe().boot_id


@pytest.mark.parametrize("habit", CHATTY)
def test_a_login_shell_that_talks_does_no_harm(connect, tmp_path, habit):
    shell = program(tmp_path / "shell", f"#!/bin/sh\n{CHATTY[habit]}\n")
    with LoopbackServer(SHORT, shell=shell) as server:
        _works(connect, at=server)


@pytest.mark.parametrize("name", ["fish", "tcsh", "csh", "zsh", "dash", "bash"])
def test_a_login_shell_of_another_kind_does_no_harm(connect, name, tmp_path):
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"no {name} on this machine")
    with LoopbackServer(SHORT, shell=shell) as server:
        _works(connect, at=server, workdir=str(tmp_path / "it's a $HOME, isn't it"))


def test_a_python_that_prints_a_banner_does_no_harm(connect, tmp_path: Path):
    banner = f'#!/bin/sh\necho "Python, activated."; echo "deprecated" >&2\nexec {sys.executable} "$@"\n'
    _works(connect, python=program(tmp_path / "python3", banner))


def test_the_error_of_a_shell_that_never_starts_the_command_quotes_what_it_printed(connect, tmp_path):
    from tunebench.targets.errors import BoardError

    shell = program(tmp_path / "shell", "#!/bin/sh\necho This account is currently not available.; exit 1\n")
    with LoopbackServer(SHORT, shell=shell) as server, pytest.raises(BoardError, match="not available"):
        connect(at=server).sync([make_payload()])
