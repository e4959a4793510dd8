"""The files of a user who measures a method of their own on this machine: an inventory, a suite, the method."""

from __future__ import annotations

import sys
from pathlib import Path

SUITE = """
[suite]
name = "mine"
blocks = 1
aa = false
instrumented = false
baseline = "mine"

[[workload]]
label = "mine"
task = "mine"
command = ["python3", "train.py"]
files = ["train.py"]
"""

TRAIN = """
import time

from tunebench import marks

marks.window_start()
time.sleep(0.05)
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


def write_lab(folder: Path) -> None:
    """Write ``lab.toml``: this machine as the board ``here``, with a Python that has no torch to import."""
    (folder / "lab.toml").write_text(
        f'[[board]]\nid = "here"\nkind = "loopback"\nworkdir = "{folder}/work"\n'
        f'interpreter = ["{sys.executable}", "-S"]\n'
    )


def write_suite(folder: Path) -> None:
    """Write ``mine.toml``, one repetition of a method that sleeps, and the method."""
    (folder / "mine.toml").write_text(SUITE)
    (folder / "train.py").write_text(TRAIN)
