"""Which boards have a wheel of a runtime: what is known before, and the one that is brought."""

from __future__ import annotations

import pytest

from tunebench.targets.boards.runtime_wheels import choose_runtime, runtime_names, runtime_wheels, why_unfit
from tunebench.targets.boards.wheels import Facts
from tunebench.workloads.deploy import RUNTIMES


@pytest.mark.parametrize(
    ("runtime", "machine", "python", "glibc", "words"),
    [
        ("onnxruntime", "armv7l", "3.11", "2.36", "no wheel for armv7l; it has for aarch64, x86_64"),
        ("onnxruntime", "aarch64", "3.8.10", "2.31", "need Python 3.10, this is 3.8"),
        ("onnxruntime", "aarch64", "3.11", "2.27", "need glibc 2.28, this board has 2.27"),
        ("onnxruntime", "aarch64", "3.11", "2.36", None),
        ("onnxruntime", None, None, None, None),
        ("onnxruntime", "aarch64", "3.11", "musl", None),
        ("litert", "armv7l", "3.11", "2.36", "no wheel for armv7l"),
        ("litert", "aarch64", "3.8", "2.31", "need Python 3.10, this is 3.8"),
        ("litert", "aarch64", "3.11", "2.26", "need glibc 2.27"),
        ("ncnn", "armv7l", "3.11", "2.36", None),
        ("ncnn", "armv7l", "3.9", "2.28", "need glibc 2.31"),
        ("ncnn", "aarch64", "3.9", "2.28", None),
        ("ncnn", "aarch64", "3.8", "2.31", "need Python 3.9, this is 3.8"),
        ("ncnn", "aarch64", "3.30", "2.36", None),
        ("torch", "riscv64", "3.11", "2.36", None),
    ],
)
def test_a_board_without_a_wheel_is_known_before(runtime, machine, python, glibc, words):
    reason = why_unfit(runtime, machine, python, glibc)
    assert (reason is None) if words is None else words in str(reason)


def test_the_wheel_for_a_board_is_that_of_its_python():
    def label(python: str, machine: str, glibc: str | None, runtime: str = "onnxruntime") -> str | None:
        row = choose_runtime(runtime, Facts(python, machine, 64, glibc))
        return None if isinstance(row, str) else row.label

    assert label("3.10", "aarch64", "2.35") == "onnxruntime 1.23.2"
    assert label("3.11", "aarch64", "2.36") == "onnxruntime 1.32.0"
    for board in (("3.11", "armv7l", "2.36"), ("3.11", "aarch64", "2.17"), ("3.11", "aarch64", None)):
        assert label(*board) is None
    assert label("3.11", "armv7l", "2.36", runtime="ncnn") == "ncnn 1.0.20261020"


def test_the_table_brings_what_each_runtime_imports_and_names_no_other():
    assert set(runtime_names()) == {name for name, about in RUNTIMES.items() if not about.nowhere} - {"torch"}
    for name in runtime_names():
        for row in runtime_wheels(name):
            assert row.imports == RUNTIMES[name].packages
            assert row.requires[0].startswith(f"{RUNTIMES[name].install}==")
            assert not row.torch
