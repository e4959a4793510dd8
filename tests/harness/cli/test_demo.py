"""`make demo`, as a new user runs it: an environment of its own, real data, and a report at its end."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.demo
@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_the_demo_ends_with_a_report_of_all_five_methods(tmp_path):
    lines = []
    command = ["make", "demo", f"ARGS=--out {tmp_path / 'out'}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as demo:
        for line in demo.stdout:
            print(line, end="", flush=True)  # minutes of work show what they do
            lines.append(line.rstrip())
    assert demo.returncode == 0
    (at,) = [number for number, line in enumerate(lines) if line.startswith("Report: ")]
    farewell = [line.split()[0] for line in lines[at + 1 :]]
    assert farewell == ["demo:", "congratulations"], (
        "nothing but tox's two lines stands behind the report's path"
    )
    last = lines[at]
    page = Path(last.removeprefix("Report: ")).read_text()
    for method in ("ft-all", "lora-all", "lora-last", "skip2-lora", "lorae", "ft-all (A/A)"):
        assert any(line.startswith(f"{method} ") for line in lines)
        assert method in page
    assert "Energy not measured" in page or " J" in page
