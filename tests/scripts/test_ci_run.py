"""`.ci/run` itself, with stand-ins for its parts: two beside each other, failures, and Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.ctrl_c import heed

RUN = Path(__file__).parents[2] / ".ci" / "run"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")


@pytest.fixture
def ci(tmp_path):
    """Function (parts): `.ci/run` in a folder of its own with other parts, as a process that leads its group."""
    (tmp_path / ".ci").mkdir()
    functions, _, _ = RUN.read_text(encoding="utf-8").partition("\nrm -rf .tox/junit\n")
    script = tmp_path / ".ci" / "run"

    def start(parts: str) -> subprocess.Popen[str]:
        script.write_text(f"{functions}\n{parts}\n", encoding="utf-8")
        return subprocess.Popen(
            ["bash", script],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=heed,  # noqa: PLW1509 - no threads of ours yet
        )

    return start


#: Waits for the other, so that they are surely at work together.
BESIDE = """
qemu() { echo begun; touch begun; until [ -e other ]; do sleep 0.05; done; echo done; }
other() { until [ -e begun ]; do sleep 0.05; done; touch other; echo meanwhile; }
"""


def test_parts_run_beside_each_other_and_each_has_its_output_and_its_line(ci):
    process = ci(BESIDE + "beside QEMU qemu\npart others other\njoin\npart last echo last")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert re.search(r"=== QEMU\nbegun\ndone\n=== QEMU \(beside the parts above\): ok in \d+ s", said)
    assert "=== QEMU: begins beside the next parts" in said
    assert "meanwhile" in said
    _, _, table = said.partition("=== seconds of each part")
    assert re.findall(r"%  (.*)", table) == ["others", "QEMU (beside the parts above)", "last"]
    (total,) = re.findall(r"(\d+) +all of it", table)
    assert int(total) <= 60


def test_a_part_that_fails_beside_another_fails_ci_and_shows_its_output(ci):
    breaks = "breaks() { echo before; false; echo never; }\n"
    process = ci(breaks + "beside QEMU breaks\npart other echo fine\njoin\npart last echo last")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "=== QEMU\nbefore\n=== QEMU (beside the parts above): FAILED (exit 1)" in said
    assert "never" not in said
    assert "=== other: ok" in said
    assert "=== last" not in said
    assert "all of it" in said


#: Tells that it was asked to end, as pytest does when it tears its fixtures down.
HEEDS = """python3 -c 'if True:
    import pathlib, time
    try:
        print("begun", flush=True)
        pathlib.Path("begun").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        print("torn down")
'"""


def test_a_part_that_fails_ends_the_one_beside_it_and_shows_how_far_that_came(ci):
    fails = "fails() { until [ -e begun ]; do sleep 0.05; done; return 7; }\n"
    process = ci(f"qemu() {{ {HEEDS}; }}\n{fails}beside QEMU qemu\npart other fails\njoin")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert "=== other: FAILED (exit 7)" in said
    assert "=== QEMU\nbegun\ntorn down\n=== QEMU: ended with CI" in said
    assert "all of it" in said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_the_end_of_a_job_end_both(ci, tmp_path, number, code):
    process = ci(f"qemu() {{ {HEEDS}; }}\nbeside QEMU qemu\npart other sleep 60\njoin")
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal does; the part beside has a group of its own
    said, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "torn down" in said
    assert "all of it" in said


def test_nothing_runs_beside_what_is_measured():
    """The parts' order: what stands between `beside` and `join` quotes no times."""
    parts = RUN.read_text(encoding="utf-8").partition("\nrm -rf .tox/junit\n")[2]
    together = parts.partition("\nbeside ")[2].partition("\njoin\n")[0]
    assert re.findall(r"make ([\w-]+)$", together, re.MULTILINE) == ["emulated", "faults", "check-demo"]
    assert "make bench" in parts
