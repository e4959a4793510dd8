"""Which runtimes a board has, by its probe: a skip that is known before anything is measured."""

from __future__ import annotations

import pytest

from tunebench.harness.board.environment import unable
from tunebench.harness.board.runtimes import without_runtime
from tunebench.harness.config.suite import load_suite
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
        (interpreter(packages=["numpy"]), probe(), "/usr/bin/python3 -m pip install onnxruntime numpy"),
        (interpreter(packages=["numpy"]), probe(), "`tunebench setup BOARD --runtime onnxruntime` brings it"),
        (interpreter(packages=["numpy", "onnxruntime"]), probe("armv7l"), "no wheel for armv7l"),
        (interpreter("3.8.10", ["numpy"]), probe(), "need Python 3.10, this is 3.8"),
        (interpreter(packages=["numpy"]), probe(libc="glibc 2.27"), "need glibc 2.28"),
        (interpreter(packages=["onnxruntime"]), probe(libc="musl"), "needs the package numpy"),
    ],
)
def test_a_runtime_that_is_not_there_is_told_with_what_would_bring_it(answer, about, words):
    reason = without_runtime("onnxruntime", answer, ["python3"], about)
    assert (reason is None) if words is None else words in str(reason)


@pytest.mark.parametrize(
    ("runtime", "packages", "machine", "words"),
    [
        ("litert", ["ai_edge_litert", "numpy"], "aarch64", None),
        ("litert", ["numpy"], "aarch64", "/usr/bin/python3 -m pip install ai-edge-litert"),
        ("litert", ["ai_edge_litert", "numpy"], "armv7l", "no wheel for armv7l"),
        ("ncnn", ["ncnn", "numpy"], "armv7l", None),
        ("ncnn", ["numpy"], "armv7l", "/usr/bin/python3 -m pip install ncnn"),
    ],
)
def test_each_runtime_is_looked_for_by_its_own_package(runtime, packages, machine, words):
    reason = without_runtime(runtime, interpreter(packages=packages), ["python3"], probe(machine))
    assert (reason is None) if words is None else words in str(reason)


def test_a_probe_looks_for_the_packages_of_every_runtime():
    from tunebench.targets.agent.environment.interpreters import _ASK
    from tunebench.workloads.deploy import RUNTIMES

    wanted = {package for name, about in RUNTIMES.items() if name != "torch" and not about.nowhere
              for package in about.packages}  # fmt: skip
    assert [package for package in sorted(wanted) if f'"{package}"' not in _ASK] == []


@pytest.mark.parametrize(
    ("packages", "machine", "words"),
    [
        (["numpy", "onnxruntime"], "aarch64", None),
        (["numpy"], "aarch64", "`tunebench setup BOARD --runtime onnxruntime` brings it"),
        (["numpy", "onnxruntime"], "armv7l", "no wheel for armv7l"),
    ],
)
def test_an_engine_whose_trunk_runs_in_a_runtime_needs_it_and_no_torch(packages, machine, words):
    rows = [row for row in load_suite("torch-free").workloads if row.engine == "onnxruntime-head"]
    assert len({row.task for row in rows}) == 2
    for row in rows:
        reason = unable(row, interpreter(packages=packages), ["python3"], probe=probe(machine))
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
