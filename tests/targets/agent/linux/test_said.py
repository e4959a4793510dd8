"""What a program said last, and the lines of it that say why."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tunebench.targets.agent.linux.said import why


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one\ntwo\n\n", "two"),
        ("Traceback (most recent call last):\n  File x\nValueError: no data\n", "ValueError: no data"),
        ("x" * 400, "x" * 300),
    ],
)
def test_the_last_line_says_why(text, reason):
    assert why(text) == reason


def test_a_python_with_a_wrong_home_is_told_with_that_home(tmp_path, monkeypatch):
    """As some print it, and others (3.7, 3.13) leave it to the environment."""
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))
    done = subprocess.run([sys.executable, "-c", "pass"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no Python frame" in done.stderr.splitlines()[-1] or "encodings" in done.stderr
    reason = why(done.stderr)
    assert reason.startswith("Fatal Python error")
    assert "encodings" in reason
    assert f"PYTHONHOME = '{tmp_path}/nowhere'" in reason
    lines = [line for line in done.stderr.splitlines() if "configuration:" not in line and " = " not in line]
    assert f"PYTHONHOME = '{tmp_path}/nowhere'" in why("\n".join(lines))
