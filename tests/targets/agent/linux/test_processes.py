"""Processes of a job are found and ended, and no others."""

from __future__ import annotations

import subprocess
import sys
import time

from tunebench.targets.agent.linux import processes


def test_processes_are_found_by_their_job_and_by_nothing_else(tmp_path):
    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleep, env={processes.JOB_VARIABLE: str(tmp_path)}, start_new_session=True)
    other = subprocess.Popen(sleep, env={processes.JOB_VARIABLE: str(tmp_path) + "-2"})
    try:
        deadline = time.monotonic() + 5
        while processes.of_job(str(tmp_path)) != [ours.pid] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert processes.of_job(str(tmp_path)) == [ours.pid]
        processes.kill_all(str(tmp_path), 0.2)
        assert ours.wait(5) == -9
        assert other.poll() is None
    finally:
        for child in (ours, other):
            child.kill()
            child.wait()
