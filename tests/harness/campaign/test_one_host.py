"""Two commands of one host on the same loopback board, and the board of a command that was killed; real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import warm
from tunebench.harness.cli.release import end_lease
from tunebench.harness.config.inventory import load_inventory
from tunebench.targets.agent import workdir
from tunebench.targets.agent.job.state import running
from tunebench.targets.agent.workdir import Workdir

pytestmark = pytest.mark.slow


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``tunebench run`` as a process of its own; its standard error can be read."""
    started: list[subprocess.Popen[str]] = []

    def run(inventory: Path, suite: Path) -> subprocess.Popen[str]:
        words = [
            "-m",
            "tunebench",
            "run",
            "-i",
            inventory,
            "-s",
            suite,
            "-o",
            tmp_path / "results",
            "--no-html",
        ]
        process = warm.Popen(
            [sys.executable, *map(str, words)],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def test_a_board_of_a_killed_run_is_had_at_once_and_a_second_command_waits_its_turn(
    lab, sleep_suite, host, tmp_path
):
    """Killed in a repetition, its lease would hold for minutes; the repetition itself is waited for."""
    inventory, work = lab("here"), tmp_path / "work-here"
    place = Workdir(str(work))
    first = host(inventory, sleep_suite(["a"], blocks=3, sleep_s=3.0, name="first"))
    until(lambda: running(place))
    second = host(inventory, sleep_suite(["b"], blocks=1, name="second"))
    lines: list[str] = []
    for line in second.stderr:
        lines.append(line)
        if "waiting: loopback board is in use by process" in line:
            break
    assert f"here: waiting: loopback board is in use by process {first.pid} of" in lines[-1]
    assert "since 20" in lines[-1] and "tunebench" in lines[-1] and " run " in lines[-1]
    first.send_signal(signal.SIGKILL)
    first.wait()
    lease = workdir.read_json(place.lease)
    left_s = lease["expires_boottime_s"] - workdir.boottime_s()
    begun_s = time.monotonic()
    _, told = second.communicate(timeout=60)
    assert second.returncode == 0, told
    assert time.monotonic() - begun_s < 20 < left_s, "it did not wait for the dead run's lease"
    assert f"process {first.pid} of this host, which held the lease, is dead" in told
    assert "still runs" in told, "the dead run's repetition was not disturbed"
    assert "was taken over: that process is dead" in told
    assert not Path(place.lease).exists()


def test_release_needs_no_force_for_the_lease_of_a_killed_run(lab, sleep_suite, host, tmp_path):
    inventory, place = lab("here"), Workdir(str(tmp_path / "work-here"))
    first = host(inventory, sleep_suite(["a"], blocks=9, sleep_s=4.0))
    until(lambda: running(place))
    spec = load_inventory(inventory).boards[0].spec()
    assert end_lease(spec, force=False)[1] == 4, "as long as it lives, it does"
    first.send_signal(signal.SIGKILL)
    first.wait()
    message, code = end_lease(spec, force=False)
    assert (code, message.startswith("the lease of ")) == (0, True)
    until(lambda: not running(place))
