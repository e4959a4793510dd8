"""Spaces of suites that are written for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunebench.harness.config.suite import load_suite
from tunebench.harness.search.space import Space, space_of

METHODS = """[suite]
name = "methods"
blocks = 2
bases = 2

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["ft-all", "lora-all", "skip2-lora"]

[search]
rank = [4, 1]
epochs = [2, 5, 10]
"""
CHAINS = """[suite]
name = "chains"

[compress]
tune = { epochs = 4 }

[[transform]]
id = "half"
kind = "prune"
how = "structured"
ratio = 0.5

[[transform]]
id = "int8"
kind = "quantize"
how = "static"

[[transform]]
id = "svd"
kind = "factorize"
how = "svd"

[[workload]]
dataset = "digits"
model = "cnn"
runtime = "onnxruntime"
chains = { "float" = ["tune"], "pruned" = ["half", "tune"], "both" = ["half", "tune", "int8"], "svd" = ["svd", "tune"] }

[search]
chain = ["float", "pruned", "both"]
ratio = [0.3, 0.6]
epochs = [1, 3]
"""


@pytest.fixture
def space(tmp_path: Path) -> Callable[..., Space]:
    """Function (text of a suite, old -> new) -> its space."""

    def read(text: str, **changed: str) -> Space:
        for old, new in changed.items():
            text = text.replace(old, new)
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return space_of(load_suite(str(path)))

    return read
