"""A network that is cut: both parts together give what the whole gives; what comes from a board is not trusted."""

from __future__ import annotations

import itertools
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workloads.compress.networks import network, samples
from tests.workloads.compress.test_chain import HALF, TUNE
from tests.workloads.deploy.test_deploy import infer  # noqa: F401 - a fixture
from tunebench.workloads import artefact
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.compress.deployed import encoded, remote_parts
from tunebench.workloads.compress.parts import Parts, cut_parts
from tunebench.workloads.compress.remote_parts import BadTensor, RemoteParts
from tunebench.workloads.compress.state import Numbers, State, TransformError
from tunebench.workloads.deploy import frames
from tunebench.workloads.deploy.device_parts import DeviceParts, crossings_of, timed_parts
from tunebench.workloads.deploy.subject import Subject
from tunebench.workloads.models.cuts import cut_points
from tunebench.workloads.prepare.artefacts import SHIPPED

ort = pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")


def data_of(state: State, dtype: str = "float32", n: int = 3) -> Artefact:
    """Return test samples of a network's shape."""
    values = samples(state, n)
    kept = (values * 255).astype("uint8") if dtype == "uint8" else values.astype("<f4")
    tensors = {
        "test_x": artefact.Tensor(dtype, kept.shape, kept.tobytes()),
        "test_y": artefact.Tensor("int32", (n,), np.zeros(n, "<i4").tobytes()),
    }
    return artefact.decode(artefact.encode("data", {}, tensors))


def cut(
    state: State, data: Artefact, wanted: str = "auto", runtime: str = "onnxruntime"
) -> tuple[bytes, bytes]:
    """Return what the board gets, and what the host keeps."""
    parts: Parts = cut_parts(state, wanted, data)
    return encoded(state, state, runtime, [TUNE], {}, parts=parts), remote_parts(parts, {})


def device(raw: bytes, data: Artefact, runtime: str = "onnxruntime") -> DeviceParts:
    """Load the board's parts in this process."""
    from tunebench.workloads.deploy import RUNTIMES

    return DeviceParts(Subject(runtime, RUNTIMES[runtime].load(), artefact.decode(raw), 1, ""), data)


@pytest.mark.parametrize(
    ("name", "dtype", "runtime"),
    [
        ("resnet-small", "uint8", "onnxruntime"),
        ("squeezenet-small", "float32", "onnxruntime"),
        ("mlp", "float32", "onnxruntime"),
        pytest.param("cnn", "float32", "torch", marks=pytest.mark.torch),
    ],
)
def test_cut_at_any_place_the_outputs_are_those_of_the_whole(name, dtype, runtime):
    if runtime == "torch":
        pytest.importorskip("torch", reason="torch is not installed")
    state = network(name)
    data = data_of(state, dtype)
    for wanted in cut_points(state.graph)[:-1]:
        raw, kept = cut(state, data, wanted, runtime)
        parts, remote = device(raw, data, runtime), RemoteParts(artefact.decode(kept), 1)
        assert [row.cut for row in parts.crossings] == [wanted, state.graph.outputs[0]]
        for at in range(2):
            crossed, whole = parts.run(wanted, at), np.frombuffer(parts.run(parts.whole, at), "<f4")
            assert len(crossed) == parts.crossings[0].size_b
            outputs = np.frombuffer(remote.outputs(wanted, crossed), "<f4")
            np.testing.assert_allclose(outputs, whole, atol=2e-4 * max(1.0, float(np.abs(whole).max())))
            assert len(whole) == 10
            assert np.ptp(whole) > 0


def test_pixels_cross_as_they_are_and_are_scaled_by_the_host():
    state = network("resnet-small")
    data = data_of(state, "uint8")
    raw, kept = cut(state, data)
    first = crossings_of(artefact.decode(raw))[0]
    assert (first.cut, first.dtype, first.size_b) == ("input", "uint8", 784)
    remote = RemoteParts(artefact.decode(kept), 1)
    values = remote.values("input", bytes(range(256)) * 3 + bytes(16))
    assert values.shape == (1, 1, 28, 28)
    assert values.dtype == np.float32
    assert values.ravel()[255] == 1.0
    assert values.ravel()[51] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (b"", "0 bytes crossed at 'layer0', expected 4096"),
        (bytes(4100), "4100 bytes crossed"),
        (np.full(1024, np.nan, "<f4").tobytes(), "not finite"),
        (np.full(1024, np.inf, "<f4").tobytes(), "not finite"),
    ],
)
def test_a_tensor_that_is_not_what_the_cut_has_is_refused(tensor, message):
    state = network("cnn")
    _, kept = cut(state, data_of(state))
    with pytest.raises(BadTensor, match=message):
        RemoteParts(artefact.decode(kept), 1).outputs("layer0", tensor)


def test_only_what_ends_in_float32_is_cut():
    state = network("cnn")
    narrow = State(state.graph, state.tensors, numbers=Numbers("float16"))
    with pytest.raises(TransformError, match="this chain ends in float16"):
        cut_parts(narrow, "auto", data_of(state))


def test_a_damaged_description_is_told():
    state = network("cnn")
    raw = encoded(state, state, "onnxruntime", [TUNE, HALF], {"partition": {"cuts": [{"cut": "x"}]}})
    with pytest.raises(artefact.ArtefactError, match=r"meta\.partition is damaged"):
        crossings_of(artefact.decode(raw))


def test_each_part_is_timed_and_energy_repetitions_have_windows():
    state = network("cnn")
    data = data_of(state)
    parts = device(cut(state, data)[0], data)
    timed = timed_parts(parts, 10, {})
    assert [row["cut"] for row in timed] == ["input", "layer0", "layer1", "layer2"]
    assert [row["calls"] for row in timed] == [10] * 4
    assert all(row["window_ns"] is None for row in timed)
    assert timed[0]["device_s"] < timed[-1]["device_s"]
    with_windows = timed_parts(parts, 10, {"min_s": 0.05})
    for row in with_windows:
        start_ns, end_ns = row["window_ns"]
        assert 0.05e9 <= end_ns - start_ns < 1e9
        assert row["calls"] * row["device_s"] < (end_ns - start_ns) / 1e9 * 1.5
    ends = [row["window_ns"] for row in with_windows]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))


# -- the board's program, from the payload alone ----------------------------------------------------------------------


class Board:
    """The board's program: requests in, frames out."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def ask(self, **request: Any) -> None:
        self.send(json.dumps(request).encode() + b"\n")

    def send(self, content: bytes) -> None:
        self.process.stdin.write(content)
        self.process.stdin.flush()

    def frame(self) -> tuple[int, bytes]:
        head = frames.unframed(self.process.stdout.read(frames.HEAD_B))
        return head.kind, self.process.stdout.read(head.size_b)

    def told(self) -> dict[str, Any]:
        kind, content = self.frame()
        assert kind == frames.TEXT, content
        return frames.facts_of(content)


@pytest.fixture
def serve(tmp_path: Path, payload: Path) -> Iterator[Callable[..., Board]]:
    """Function (artefact's bytes) -> the board's program with it; runs in a process of its own."""
    running: list[subprocess.Popen[bytes]] = []

    def start(raw: bytes) -> Board:
        folder = tmp_path / "job"
        folder.mkdir()
        (tmp_path / "weights.tbx").write_bytes(raw)
        paths = {"data": str(SHIPPED / "digits.tbx"), "weights": str(tmp_path / "weights.tbx")}
        spec = {"runtime": "onnxruntime", "threads": 1}
        (folder / "job.json").write_text(json.dumps({"workload": spec, "paths": paths}))
        env = {**os.environ, "PYTHONPATH": str(payload), "TUNEBENCH_JOB": str(folder), "OMP_NUM_THREADS": "1"}
        argv = [sys.executable, "-m", "tunebench.workloads.deploy.serve_parts"]
        running.append(
            subprocess.Popen(argv, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        return Board(running[-1])

    yield start
    for process in running:
        process.kill()
        process.communicate()


def test_the_boards_program_sends_what_crosses_and_takes_the_outputs(serve):
    state = network("cnn")
    raw, kept = cut(state, artefact.read(str(SHIPPED / "digits.tbx")))
    board, remote = serve(raw), RemoteParts(artefact.decode(kept), 1)
    assert board.told() == {"cuts": ["input", "layer0", "layer1", "layer2"], "samples": 32}
    for name in ("input", "layer0", "layer1"):
        board.ask(do="call", cut=name, at=3)
        kind, tensor = board.frame()
        assert kind == frames.TENSOR
        board.send(remote.outputs(name, tensor))
        times = board.told()
        assert 0 <= times["device_s"] < times["total_s"] < 60
    board.ask(do="call", cut="layer2", at=3)
    assert board.told()["total_s"] > 0
    board.ask(do="echo", at=0, size_b=1000)
    assert board.frame() == (frames.TENSOR, bytes(1000))
    board.send(bytes(40))
    assert board.told()["total_s"] > 0
    board.ask(do="whole", at=3)
    assert len(board.frame()[1]) == 40
    board.ask(do="end")
    assert board.process.wait(30) == 0


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"do": "call", "cut": "../x", "at": 0}, "no cut '../x' here"),
        ({"do": "call", "cut": "layer0", "at": 32}, "there are 32 samples"),
        ({"do": "echo", "at": 0, "size_b": 10**12}, "an echo of"),
        ({"do": "exec", "at": 0}, "'do' must be"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(serve, request_, message):
    state = network("cnn")
    board = serve(cut(state, artefact.read(str(SHIPPED / "digits.tbx")))[0])
    board.told()
    board.ask(**request_)
    kind, content = board.frame()
    assert kind == frames.FAULT
    assert message in content.decode()
    assert board.process.wait(30) == 2


def test_a_network_that_is_not_cut_has_nothing_to_serve(serve):
    state = network("cnn")
    board = serve(encoded(state, state, "onnxruntime", [TUNE], {}))
    kind, content = board.frame()
    assert (kind, content) == (frames.FAULT, b"this job's network is not cut")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"HTTP/1.1 ", "no frame"),
        (frames.framed(9, b"")[: frames.HEAD_B], "no frame"),
        (struct.pack("<4sBI", frames.MAGIC, frames.TENSOR, frames.MAX_TENSOR_B + 1), "a frame of"),
        (struct.pack("<4sBI", frames.MAGIC, frames.TEXT, frames.MAX_TEXT_B + 1), "a frame of"),
    ],
)
def test_a_frame_of_another_form_or_size_is_refused(raw, message):
    with pytest.raises(frames.FrameError, match=message):
        frames.unframed(raw)


def test_a_repetition_tells_the_times_of_its_parts(infer):  # noqa: F811 - the fixture
    state = network("cnn")
    ran = infer(cut(state, artefact.read(str(SHIPPED / "digits.tbx")))[0])
    assert ran.returncode == 0, ran.output
    assert [row["cut"] for row in ran.result["parts"]] == ["input", "layer0", "layer1", "layer2"]
    assert all(row["calls"] == 20 for row in ran.result["parts"])
