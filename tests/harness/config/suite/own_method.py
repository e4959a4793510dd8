"""A suite file with a method of one's own beside built-in ones, and what a changed one is refused with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError

OWN = """
[suite]
name = "mine"
blocks = 2
epochs = 4
baseline = "ft-all"

[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "skip2-lora"]

[[workload]]
dataset = "digits"
model = "mlp"
label = "my-method"
module = "my_ft.py"
files = ["my_ft.py"]
params = { depth = 2 }
"""


def write(tmp_path: Path, text: str, files: tuple[str, ...] = ("my_ft.py",)) -> str:
    for name in files:
        (tmp_path / name).write_text("pass\n")
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def refused(tmp_path: Path, text: str, files: tuple[str, ...] = ("my_ft.py",)) -> str:
    with pytest.raises(UsageError) as caught:
        load_suite(write(tmp_path, text, files))
    return str(caught.value)
