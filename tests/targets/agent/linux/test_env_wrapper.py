"""Interpreters that are whole commands: ``docker exec ...`` and ``env -i ...`` pass neither environment nor folder on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from tunebench.targets.agent.linux import env_wrapper

PROGRAM = (
    "import json, os, sys; from tunebench import marks; "
    "print(json.dumps({'cwd': os.getcwd(), 'path0': os.environ['PYTHONPATH'].split(os.pathsep)[0],"
    "'threads': os.environ.get('OMP_NUM_THREADS'), 'job': os.environ['TUNEBENCH_JOB'], 'home': os.environ.get('HOME'),"
    "'secret': os.environ.get('BOARD_ONLY'), 'argv': sys.argv}))"
)


@pytest.fixture
def fake_docker(tmp_path):
    """Behaves like ``docker exec -i NAME CMD``: an environment, a session and a folder of its own."""
    path = tmp_path / "fake-docker"
    path.write_text(
        '#!/bin/sh\n[ "$1 $2 $3" = "exec -i l4t" ] || exit 125\nshift 3\ncd /\n'
        'exec env -i HOME=/root-of-the-container PATH=/usr/bin:/bin setsid -w "$@"\n'
    )
    path.chmod(0o755)
    return [str(path), "exec", "-i", "l4t", sys.executable]


@pytest.fixture
def full_board(make_board):
    """With the whole payload, so that ``workloads`` can be imported."""
    from tunebench.harness.artifacts.gather import build_payload

    board = make_board()
    payload = build_payload()
    board.sync([payload])
    return board, payload


@pytest.mark.parametrize("kind", ["docker", "env"])
def test_a_whole_command_gets_all_that_a_plain_interpreter_gets(full_board, make_job, fake_docker, kind):
    board, payload = full_board
    words = fake_docker if kind == "docker" else ["env", "-i", "HOME=/root-of-the-container", sys.executable]
    job = make_job(
        argv=[*words, "-c", PROGRAM, "more"],
        interpreter_words=len(words),
        env={"OMP_NUM_THREADS": "3"},
        blobs={"payload": payload.name},
    )
    board.start(job)
    assert board.wait("rep-1", 20.0) == "done"
    files = board.harvest("rep-1").files
    board.clean("rep-1")
    assert json.loads(files["exit.json"])["outcome"] == "ok", files["log.txt"]
    said = json.loads(files["log.txt"])
    assert said["cwd"] == said["job"] + "/out"
    assert said["path0"].endswith(payload.name)
    assert said["threads"] == "3"
    assert said["home"] == "/root-of-the-container"
    assert said["argv"] == ["-c", "more"]


def test_the_probe_asks_through_the_whole_command(make_board, fake_docker):
    (interpreter,) = make_board().probe([[*fake_docker, "-S"]]).interpreters
    assert interpreter.ok is True
    assert interpreter.python == "%d.%d.%d" % sys.version_info[:3]  # noqa: UP031


def test_a_plain_interpreter_carries_nothing():
    argv = ["python3", "-m", "tunebench.workloads.run"]
    job = {"paths": {"payload": "/p"}, "deadline_s": 5}
    assert env_wrapper.carried(job, argv, {}, "/") == argv
    assert env_wrapper.carried({**job, "interpreter_words": 1}, argv, {}, "/") == argv


def become(settings, *argv):
    command = [sys.executable, "-c", env_wrapper.BECOME, json.dumps(settings), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)


def test_a_folder_that_is_not_mounted_is_named(tmp_path):
    settings = {"env": {}, "cwd": "/", "paths": ["/", "/not/mounted"], "deadline_s": 5}
    done = become(settings, "-c", "print('ran')")
    assert done.returncode == 1
    assert "/not/mounted. Mount the board's working directory at the same path" in done.stderr
    assert "ran" not in done.stdout


@pytest.mark.slow
def test_what_the_supervisor_cannot_reach_ends_by_itself(tmp_path):
    settings = {"env": {"PYTHONPATH": "/"}, "cwd": "/", "paths": [], "deadline_s": 1}
    assert become(settings, "-c", "import time; time.sleep(15)").returncode == -signal.SIGALRM


def test_counters_are_told_of_behind_a_command_that_keeps_open_files():
    """As ``nice -n 5 python3``; what closes them (docker exec) is found out where the window is marked."""
    job = {"paths": {"payload": "/p"}, "deadline_s": 5, "interpreter_words": 4}
    argv = ["nice", "-n", "5", "python3", "-m", "x"]
    settings = json.loads(env_wrapper.carried(job, argv, {"TUNEBENCH_PMU": "told"}, "/")[6])
    assert settings["env"]["TUNEBENCH_PMU"] == "told"
