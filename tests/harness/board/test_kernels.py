"""A package whose kernels die on a board: known by a trial there, before a repetition is sent.

The package and its torch are stand-ins: a wheel for another CPU cannot be had on this one. The board, its agent and the
child in which they die are real.
"""

from __future__ import annotations

import sys
import threading

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.board.kernels import dead_kernels, kernel_of
from tunebench.harness.board.link import Link
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.targets.client.board import Board
from tunebench.targets.client.replies import Interpreter

SUITE = """
[suite]
name = "packed"
baseline = "lora-all"

[[workload]]
dataset = "spam-mail"
model = "shape:minilm-l6"
engine = "transformers"
methods = ["lora-all"]

[[workload]]
dataset = "spam-mail"
model = "shape:minilm-l6"
engine = "transformers"
quantized_base = "nf4"
methods = ["lora-all"]

[[workload]]
dataset = "spam-mail"
model = "shape:minilm-l6"
engine = "transformers"
device = "cuda"
quantized_base = "int8"
methods = ["lora-all"]
"""
DYING = """
import os, signal
class functional:
    def quantize_4bit(*_, **__):
        os.kill(os.getpid(), signal.SIGILL)
"""


@pytest.fixture
def link(lab, tmp_path):
    """Return a link to a loopback board whose interpreter has a package that dies at its first kernel."""
    (tmp_path / "torch.py").write_text(
        "linspace = lambda *_: linspace\nlinspace.reshape = linspace.to = linspace\n"
    )
    (tmp_path / "bitsandbytes.py").write_text(DYING)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    (entry,) = load_inventory(lab("here", extra=f'interpreter = "{python}"')).boards
    board = Board(entry.spec())
    try:
        board.connect()
        board.sync([build_payload()])
        yield Link(board, threading.Event(), patience_s=5.0)
    finally:
        board.close()


def test_a_kernel_that_dies_is_known_by_its_form_and_device_with_the_reason(link, tmp_path):
    path = tmp_path / "packed.toml"
    path.write_text(SUITE)
    workloads = load_suite(str(path)).workloads
    assert {kernel_of(workload) for workload in workloads} == {None, ("nf4", "cpu"), ("int8", "cuda")}
    dead = dead_kernels(link, Interpreter(ok=True, packages=["bitsandbytes"]), workloads)
    assert set(dead) == {("nf4", "cpu")}  # no CUDA: that skip has its own reason
    assert (
        "bitsandbytes does not run on cpu here; it dies in 'quantize': killed by SIGILL" in dead["nf4", "cpu"]
    )
    assert dead_kernels(link, Interpreter(ok=True, packages=[]), workloads) == {}
