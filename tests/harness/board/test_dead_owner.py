"""Whether a lease's owner is dead: told for processes of this host and boot alone; real processes, really killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tunebench.harness.board.dead_owner import dead_holder, is_dead
from tunebench.harness.board.environment import owner
from tunebench.harness.processes import this_process
from tunebench.targets.client.replies import Owner
from tunebench.targets.errors import ConditionError

TELL = (
    "from tunebench.harness.board.environment import owner; import json, sys, time\n"
    "print(json.dumps(owner('t').stored()), flush=True); time.sleep(60)"
)


def begun() -> tuple[subprocess.Popen[str], Owner]:
    """Start a process that tells who it is as a holder of leases, and lives on."""
    process = subprocess.Popen([sys.executable, "-c", TELL], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Owner.model_validate_json(process.stdout.readline())


@pytest.fixture(scope="module")
def killed() -> Owner:
    """A process that lived, was not dead then, and was killed and reaped."""
    process, lived = begun()
    assert not is_dead(lived)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    return lived


def test_a_killed_process_of_this_host_is_dead(killed):
    assert is_dead(killed)
    refused = ConditionError("leased", "lease", holder=killed.stored())
    assert dead_holder(refused) == killed


@pytest.mark.parametrize(
    "differs",
    [
        {"host": "another-host"},
        {"boot_id": "00000000-0000-4000-8000-000000000000"},
        {"boot_id": None},
        {"boot_id": "unknown"},
        {"pid_ns": "pid:[1]"},
        {"pid_ns": None},
        {"pid": None},
        {"pid": 0},
        {"pid": 1},
        {"pid": -1},
        {"pid": 2**70},
        {"pid": "4711"},
        {"pid": True},
    ],
)
def test_what_is_not_certainly_a_process_of_here_is_never_dead(killed, differs):
    assert not is_dead(killed.model_copy(update=differs))


def test_a_number_that_is_in_use_again_is_not_dead(killed):
    """This very process has the number now: what began at another time, we rather wait for."""
    assert not is_dead(killed.model_copy(update={"pid": os.getpid()}))


def test_without_a_boot_of_our_own_nobody_is_dead(killed, monkeypatch):
    monkeypatch.setattr("tunebench.targets.agent.workdir.boot_id", lambda: "unknown")
    assert this_process().boot_id is None
    assert not is_dead(killed)
    assert not is_dead(killed.model_copy(update={"boot_id": None}))


def test_a_refusal_that_names_nobody_or_nonsense_has_no_dead_holder():
    for holder in (
        None,
        {},
        {"pid": [1], "host": {"a": 1}},
        {"user": "me", "host": socket.gethostname(), "pid": 99},
    ):
        assert dead_holder(ConditionError("leased", "lease", holder=holder)) is None


def test_a_zombie_that_nobody_reaps_is_dead():
    process, lived = begun()
    process.send_signal(signal.SIGKILL)  # and not waited for
    for _ in range(200):
        if is_dead(lived):
            break
        time.sleep(0.02)
    assert Path(f"/proc/{lived.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    assert is_dead(lived)
    assert not is_dead(lived.model_copy(update={"started_ticks": 1})), (
        "another process's zombie tells nothing"
    )
    process.communicate(timeout=10)


def test_a_process_in_a_namespace_of_numbers_of_its_own_is_never_dead(tmp_path):
    """As in a container of this host: same boot, same host name, and a number that is free out here."""
    told = tmp_path / "told"
    code = (
        "from tunebench.harness.board.environment import owner\n"
        f"open({str(told)!r}, 'w').write(owner('t').model_dump_json())"
    )
    with suppress(FileNotFoundError):
        inside = subprocess.run(
            ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
        )
        if inside.returncode == 0:
            contained = Owner.model_validate_json(told.read_text())
            assert contained.boot_id == this_process().boot_id
            free = subprocess.Popen(["true"])
            free.wait()
            assert not is_dead(contained.model_copy(update={"pid": free.pid}))
            return
    pytest.skip("unshare --pid is not there, or this account may not")


def test_who_takes_leases_tells_enough_to_be_found_dead():
    me = owner("token")
    assert (me.boot_id, me.pid_ns) == (this_process().boot_id, this_process().pid_ns)
    assert isinstance(me.started_ticks, int) and not is_dead(me)
