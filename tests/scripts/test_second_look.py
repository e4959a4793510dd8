"""The test run itself: what failed beside others must pass alone, and real failures stay failures."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "second_look.py"
ONCE = """
from pathlib import Path
def test_it():
    seen = Path("seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""


def look(folder, source):
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return subprocess.run(
        [sys.executable, SCRIPT, "-q", "-p", "no:tunebench"],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("under_tox", [False, True])
def test_a_test_that_passes_alone_is_named(tmp_path, monkeypatch, under_tox):
    monkeypatch.delenv("TOX_ENV_DIR", raising=False)
    if under_tox:
        monkeypatch.setenv("TOX_ENV_DIR", str(tmp_path / "tox"))
    done = look(tmp_path, ONCE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "second look: passed alone: test_it.py::test_it" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def test_it(): assert False", 1),
        ("def test_it(): assert False\n" + "".join(f"def test_{i}(): assert False\n" for i in range(5)), 1),
        ("", 5),
    ],
)
def test_a_test_that_fails_alone_too_fails_the_run(tmp_path, source, code):
    assert look(tmp_path, source).returncode == code
