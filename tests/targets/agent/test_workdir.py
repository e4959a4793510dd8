"""The agent's files: written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunebench.targets.agent import workdir


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = str(tmp_path / "x.json")
    workdir.write_json(path, {"a": 1}, durable=True)
    with pytest.raises(ValueError, match="JSON"):
        workdir.write_json(path, {"a": float("nan")})
    assert workdir.read_json(path) == {"a": 1}


def test_a_disk_without_room_is_not_littered_with_halves(tmp_path):
    """The limit on a file's size stands for a full disk: a write fails in the middle of the file."""
    code = (
        "import resource, signal, sys; from tunebench.targets.agent import workdir\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "workdir.write_json(sys.argv[1], {'long': 'x' * 10000})\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(workdir.__file__)))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file.json")],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "OSError" in done.stderr
    assert list(tmp_path.iterdir()) == []
