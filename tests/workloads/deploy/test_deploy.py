"""A network in a runtime as a board runs it: from the payload alone, in a process of its own, with every way to fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workloads.compress.networks import network, samples
from tests.workloads.compress.test_chain import HALF, INT8, TUNE
from tunebench.workloads import artefact
from tunebench.workloads.compress.deployed import encoded
from tunebench.workloads.compress.state import Numbers
from tunebench.workloads.deploy import RUNTIMES
from tunebench.workloads.deploy.child import simulated
from tunebench.workloads.deploy.model import Share
from tunebench.workloads.deploy.onnx_runtime import share_of
from tunebench.workloads.deploy.parent import died
from tunebench.workloads.prepare.artefacts import SHIPPED

KILLED_AT_IMPORT = "import os, signal\nos.kill(os.getpid(), signal.{})\n"


@dataclass
class Ran:
    """A job that ended."""

    returncode: int
    output: str
    result: dict[str, Any]
    out: Path


@pytest.fixture
def infer(tmp_path: Path, payload: Path):
    """Function (artefact's bytes, runtime=..., before=folder on the path, **workload) -> Ran."""

    def run(raw: bytes, *, runtime: str = "onnxruntime", before: Path | None = None, **workload: Any) -> Ran:
        folder = tmp_path / "job"
        (folder / "out").mkdir(parents=True)
        (tmp_path / "weights.tbx").write_bytes(raw)
        paths = {"data": str(SHIPPED / "digits.tbx"), "weights": str(tmp_path / "weights.tbx")}
        spec = {"runtime": runtime, "threads": 1, "calls": 20, **workload}
        (folder / "job.json").write_text(json.dumps({"workload": spec, "paths": paths}))
        path = os.pathsep.join(str(entry) for entry in (before, payload) if entry is not None)
        env = {**os.environ, "PYTHONPATH": path, "TUNEBENCH_JOB": str(folder), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [sys.executable, "-m", "tunebench.workloads.run"],
            cwd=folder / "out", env=env, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        result = json.loads((folder / "out" / "result.json").read_text())
        return Ran(ended.returncode, ended.stderr, result, folder / "out")

    return run


def deployed(numbers: str = "float32", runtime: str = "onnxruntime") -> bytes:
    """Return the artefact of a small network."""
    state = network("cnn")
    ranges = dict.fromkeys(["input", *(node.name for node in state.graph.nodes)], (-3.0, 3.0))
    steps = {"float32": [TUNE], "float16": [TUNE, HALF], "int8-static": [TUNE, INT8]}[numbers]
    return encoded(
        replace(state, numbers=Numbers(numbers, ranges=ranges)), state, runtime, steps, {"seed": 0}
    )


#: runtime -> import name, and the forms of numbers that are tried
TRIED = {
    "onnxruntime": ("onnxruntime", ["float32", "float16", "int8-static"]),
    "ncnn": ("ncnn", ["float32", "int8-static"]),
    "litert": ("ai_edge_litert", ["int8-static"]),
}


@pytest.mark.parametrize(
    ("runtime", "numbers"), [(runtime, kind) for runtime, (_, kinds) in TRIED.items() for kind in kinds]
)
def test_a_network_is_timed_from_the_payload_alone(infer, runtime, numbers):
    pytest.importorskip(
        TRIED[runtime][0], reason=f"the runtime itself: pip install {RUNTIMES[runtime].install}"
    )
    ran = infer(deployed(numbers, runtime), runtime=runtime)
    assert ran.returncode == 0, ran.output
    inference = ran.result["inference"]
    assert 0 < inference["p50_s"] <= inference["p90_s"] <= inference["p99_s"]
    assert inference["rss_start_b"] < inference["rss_import_b"] <= inference["rss_load_b"]
    assert inference["installed_b"] > 10_000_000
    assert inference["version"]
    assert inference["os_threads"] >= 1
    assert len((ran.out / "preds.jsonl").read_text().splitlines()) == inference["n_items"] == 447
    assert [path.name for path in ran.out.iterdir() if "profile" in path.name] == []
    if numbers == "float32":
        assert inference["parent_agreement"] is None
        assert inference["simulated"] is False
    else:
        assert inference["parent_items"] == 447
        assert inference["parent_agreement"] > 0.5
        assert inference["claimed_node_share"] is not None
        assert (inference["claimed_time_share"] is None) is (runtime != "onnxruntime")
    if numbers == "float16":
        assert inference["simulated"] is True
        assert "float16" in inference["simulated_reason"]


def test_a_window_that_is_repeated_holds_rounds_of_calls(infer):
    pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")
    ran = infer(deployed(), repeat={"min_s": 0.3, "lead_s": 0.05, "tail_s": 0.05, "max_n": 9})
    marks = json.loads((ran.out / "marks.json").read_text())
    start_ns, end_ns = marks["window_ns"]
    assert ran.result["repeats"] == len(ran.result["repeats_s"]) > 1
    assert sum(ran.result["repeats_s"]) == pytest.approx((end_ns - start_ns) / 1e9, rel=0.05)


@pytest.mark.parametrize(
    ("signal", "words"), [("SIGILL", "instructions that the CPU does not have"), ("SIGSEGV", "")]
)
def test_a_runtime_that_dies_at_its_import_is_an_outcome(infer, tmp_path, signal, words):
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying" / "onnxruntime.py").write_text(KILLED_AT_IMPORT.format(signal))
    ran = infer(deployed(), before=tmp_path / "dying")
    assert ran.returncode == 2
    assert ran.result["outcome"] == "failed"
    assert ran.result["reason"].startswith(f"runtime onnxruntime died of {signal} while it was imported")
    assert words in ran.result["reason"]
    assert "Traceback" not in ran.output


def test_a_runtime_that_is_not_there_is_told_with_the_line_that_brings_it(infer, tmp_path):
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "onnxruntime.py").write_text("raise ModuleNotFoundError('onnxruntime')\n")
    ran = infer(deployed(), before=tmp_path / "missing")
    assert ran.returncode == 2
    assert f"{sys.executable} -m pip install onnxruntime" in ran.result["reason"]


def test_a_runtime_that_fails_otherwise_is_told_in_one_line(infer, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "onnxruntime.py").write_text("raise RuntimeError('libfoo is too old')\n")
    ran = infer(deployed(), before=tmp_path / "broken")
    assert (
        ran.result["reason"] == "runtime 'onnxruntime' fails at its import: RuntimeError: libfoo is too old"
    )
    assert "Traceback" not in ran.output


def damaged(raw: bytes) -> bytes:
    """Return an artefact with one byte changed."""
    return raw[:-100] + bytes([raw[-100] ^ 1]) + raw[-99:]


def without_network() -> bytes:
    """Return an artefact whose ONNX file is none."""
    made = artefact.decode(bytearray(deployed()))
    return artefact.encode("deployed", made.meta, {"model": artefact.Tensor("uint8", (5,), b"hello")})


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (damaged(deployed()), "damaged: the data do not have the SHA-256"),
        (without_network(), "cannot load the network"),
        ((SHIPPED / "digits-cnn.tbx").read_bytes(), "an artefact of kind 'weights'"),
    ],
)
def test_a_corrupted_artefact_is_told(infer, raw, words):
    pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")
    ran = infer(raw)
    assert ran.returncode == 2
    assert words in ran.result["reason"]
    assert "Traceback" not in ran.output


@pytest.mark.torch
def test_a_frozen_trace_gives_what_the_network_gives(infer):
    pytest.importorskip("torch", reason="torch is not installed")
    from tunebench.workloads.compress.train import logits_of
    from tunebench.workloads.deploy.torch_script import load

    state = network("cnn")
    raw = encoded(state, state, "torch", [TUNE], {})
    model = load(artefact.decode(bytearray(raw)), "model", 1)
    assert model is not None
    x = samples(state, 3)
    given = [model.call(model.prepare(item.reshape(-1).tolist(), state.graph.shape)) for item in x]
    assert np.abs(np.array(given) - logits_of(state, x)).max() < 1e-4


@pytest.mark.parametrize(
    ("kind", "model_b", "share", "decided"),
    [
        ("tune", 100, None, False),
        ("prune", 89, None, False),
        ("prune", 90, None, True),
        ("quantize", 30, 0.51, False),
        ("quantize", 30, 0.49, True),
        ("quantize", 30, None, None),
        ("quantize", 95, 1.0, True),
    ],
)
def test_what_is_compressed_in_name_only_is_decided_by_what_was_measured(kind, model_b, share, decided):
    facts = {
        "chain": [{"id": "it", "kind": kind}], "model_b": model_b, "dense_b": 100,
        "claimed": "int8" if kind == "quantize" else None,
    }  # fmt: skip
    measured = None if share is None else Share({"int8": share}, {"int8": share}, 3)
    answer, reason = simulated(facts, measured)
    assert answer is decided
    assert (reason is None) is (answer is False)


@pytest.mark.parametrize(("nodes", "decided"), [(0.6, False), (0.4, True)])
def test_a_runtime_without_times_is_judged_by_its_nodes(nodes, decided):
    facts = {"chain": [{"id": "it", "kind": "quantize"}], "model_b": 30, "dense_b": 100, "claimed": "int8"}
    answer, reason = simulated(facts, Share({}, {"int8": nodes}, 5))
    assert answer is decided
    assert reason == ("40% of the nodes compute in int8" if decided else None)


def test_first_calls_and_conversions_are_no_share_of_a_type():
    def event(name: str, op: str, kind: str, dur: int) -> dict[str, Any]:
        args = {"op_name": op, "input_type_shape": [{kind: [1]}]}
        return {"cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "args": args}

    call = [
        event("q", "QuantizeLinear", "float", 1),
        event("c", "QLinearConv", "uint8", 6),
        event("s", "Softmax", "float", 3),
    ]
    first = [{**kernel, "dur": 1000} for kernel in call]
    share = share_of([*first * 5, *call * 3, {"cat": "Session", "name": "model_run", "dur": 9}])
    assert share is not None
    assert share.time == pytest.approx({"conversion": 0.1, "int8": 0.6, "float32": 0.3})
    assert share.n_nodes == 3
    assert share_of([]) is None


def test_every_signal_has_words():
    assert died("ncnn", 64, "load") == "runtime ncnn died of SIGRTMAX while it loaded the network"
    assert "for want of memory" in died("torch", 9, "calls")


def test_a_runtime_that_runs_nowhere_is_told_without_a_start(infer):
    ran = infer(deployed(), runtime="executorch")
    assert ran.returncode == 2
    assert ran.result["reason"] == RUNTIMES["executorch"].nowhere
