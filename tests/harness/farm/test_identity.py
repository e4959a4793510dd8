"""What the name of a place's owner tells of its process: a dead one of this host, boot and namespace, and nobody else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunebench.harness.farm import identity

TELL = "from tunebench.harness.farm import identity; print('/'.join(identity.new()), flush=True); input()"


@pytest.fixture(scope="module")
def ended() -> str:
    """The identity of a process that lived, was not dead then, and has ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", TELL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert identity.is_of_tunebench(owner) and identity.living_pid(owner) == process.pid
    assert not identity.is_dead(owner)
    process.communicate("\n", timeout=30)
    return owner


def test_an_ended_process_of_this_host_is_dead_and_has_no_living_number(ended):
    assert identity.is_dead(ended) and identity.living_pid(ended) is None
    mine = "/".join(identity.new())
    assert not identity.is_dead(mine) and identity.living_pid(mine) == os.getpid()
    assert mine != "/".join(identity.new()), "each is another"


def test_of_nobody_else_it_is_said(ended):
    host, _, name = ended.partition("/")
    kernel, random = name.rsplit("-", 1)[0], name.rsplit("-", 1)[1]
    others = {
        "another host": f"other/{name}",
        "another boot or container": f"{host}/{kernel}-{'0' * 8}{random[-6:]}",
        "an older version's": f"{host}/{kernel}-{random[-6:]}",
        "a person": f"{host}/ann",
        "no number": f"{host}/tunebench-x-{random}",
    }
    assert {which: owner for which, owner in others.items() if identity.is_dead(owner)} == {}
    assert not identity.is_of_tunebench(others["a person"])


def test_where_the_boot_is_not_known_nobody_is_dead(ended, monkeypatch):
    monkeypatch.setattr("tunebench.targets.agent.workdir.boot_id", lambda: "unknown")
    assert not identity.is_dead(ended) and not identity.is_dead("/".join(identity.new()))
