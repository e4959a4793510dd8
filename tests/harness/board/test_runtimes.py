"""Which runtimes a board has, by its probe: a skip that is known before anything is measured."""

from __future__ import annotations

import pytest

from tunebench.harness.board.runtimes import without_runtime
from tunebench.targets.client.replies import Interpreter, Probe


def probe(machine: str = "aarch64", libc: str = "glibc 2.36") -> Probe:
    """Return what a board told of itself."""
    return Probe(fingerprint={"hardware": {"machine": machine}, "os": {"libc": libc}})


def interpreter(python: str = "3.11.2", packages: list[str] | None = None) -> Interpreter:
    """Return a Python that starts."""
    return Interpreter(ok=True, python=python, executable="/usr/bin/python3", packages=packages)


@pytest.mark.parametrize(
    ("answer", "about", "words"),
    [
        (interpreter(packages=["numpy", "onnxruntime"]), probe(), None),
        (interpreter(packages=None), probe(), None),
        (interpreter(packages=["numpy"]), probe(), "/usr/bin/python3 -m pip install onnxruntime"),
        (interpreter(packages=["numpy", "onnxruntime"]), probe("armv7l"), "no wheel for armv7l"),
        (interpreter("3.8.10", ["numpy"]), probe(), "need Python 3.10, this is 3.8"),
        (interpreter(packages=["numpy"]), probe(libc="glibc 2.27"), "need glibc 2.28"),
        (interpreter(packages=["onnxruntime"]), probe(libc="musl"), "needs the package numpy"),
    ],
)
def test_a_runtime_that_is_not_there_is_told_with_what_would_bring_it(answer, about, words):
    reason = without_runtime("onnxruntime", answer, ["python3"], about)
    assert (reason is None) if words is None else words in str(reason)


def test_torch_as_a_runtime_needs_a_torch_that_works():
    lacking = Interpreter(
        ok=True, python="3.11.2", reason="SIGILL: this torch build does not run on this CPU"
    )
    assert "SIGILL" in str(without_runtime("torch", lacking, ["python3"], probe()))
    assert (
        without_runtime("torch", Interpreter(ok=True, python="3.11.2", torch="2.9.1"), ["python3"], None)
        is None
    )
