"""ONNX files of our own against torch, the reference runtime and the reference checker."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.workloads.compress.networks import SMALL, network, samples
from tests.workloads.compress.test_forms import outputs
from tunebench.workloads.compress.forms.onnx_writer import onnx_bytes, trunk_bytes, uint8_of
from tunebench.workloads.compress.state import Numbers, State, TransformError
from tunebench.workloads.compress.train import logits_of, ranges_of
from tunebench.workloads.methods.skips import Skips, with_skips
from tunebench.workloads.models.graph import Builder, nodes_for, weight_shapes

torch = pytest.importorskip("torch", reason="torch is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the reference runtime: pip install onnxruntime")

pytestmark = pytest.mark.torch


def session(raw: bytes, **options: object):
    """Open a file in the reference runtime."""
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = 1
    chosen.log_severity_level = 3
    for name, value in options.items():
        setattr(chosen, name, value)
    return onnxruntime.InferenceSession(raw, chosen, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("side", [7, 8])
def test_a_trunk_gives_each_value_that_is_asked_for_also_means_over_a_grid(side):
    """7 does not part by two: torch's windows overlap then."""
    builder = Builder("grid", "classify", (1, side, side))
    builder.conv("stem", "input", 4, norm=False)
    builder.end_block("stem")
    builder.linear("classifier", builder.avgpool("pool", "stem"), 3)
    graph = with_skips(builder.graph("classifier"), 2, Skips("2x2"))
    random = np.random.default_rng(3)
    tensors = {name: random.standard_normal(shape).astype("f") for name, shape in weight_shapes(graph)}
    wanted = ("skip_stem_pool", "classifier")
    trunk = State(graph._replace(nodes=tuple(nodes_for(graph, wanted)), outputs=wanted), tensors)
    x = samples(trunk, 1)
    given = session(trunk_bytes(trunk)).run(None, {"input": x})
    stem = (torch.from_numpy(item) for item in (x, tensors["stem.weight"], tensors["stem.bias"]))
    maps = torch.relu(torch.nn.functional.conv2d(*stem, padding=1))
    assert given[0] == pytest.approx(
        torch.nn.functional.adaptive_avg_pool2d(maps, 2).reshape(1, -1).numpy(), abs=1e-5
    )
    assert given[1].shape == (1, 3)


def forms(state: State) -> dict[str, State]:
    """Return the network in every form of numbers."""
    numbers = {
        "float16": Numbers("float16"),
        "static": Numbers("int8-static", ranges=ranges_of(state, samples(state, 32))),
        "dynamic": Numbers("int8-dynamic"),
        "linear": Numbers("int8-dynamic", ops=("linear",)),
    }
    return {name: replace(state, numbers=form) for name, form in numbers.items()}


@pytest.mark.parametrize("model", ["squeezenet-small", "resnet-small", "mlp"])
def test_fewer_bits_stay_near_their_float_parent_and_take_fewer_bytes(model):
    state = network(model)
    x = samples(state)
    wanted, dense_b = logits_of(state, x), len(onnx_bytes(state))
    for name, form in forms(state).items():
        raw = onnx_bytes(form)
        assert np.abs(outputs("onnxruntime", form, x) - wanted).max() < 0.1 * np.abs(wanted).max() + 0.02, (
            name
        )
        if name in ("float16", "static", "dynamic"):
            assert len(raw) < 0.6 * dense_b, name


CONVOLVING = sorted(set(SMALL) - {"mlp"})


@pytest.mark.parametrize("model", CONVOLVING)
def test_with_fixed_scales_every_convolution_is_fused_to_whole_numbers(model, tmp_path: Path):
    """The optimised graph is what ONNX Runtime runs."""
    onnx = pytest.importorskip("onnx", reason="reads the optimised graph: pip install onnx")
    state, path = network(model), tmp_path / "optimised.onnx"
    session(onnx_bytes(forms(state)["static"]), optimized_model_filepath=str(path))
    ops = Counter(node.op_type for node in onnx.load(path).graph.node)
    nodes = Counter(node.op for node in state.graph.nodes)
    assert ops["QLinearConv"] == nodes["conv"] and "Conv" not in ops
    assert ops["QGemm"] == nodes["linear"] and "Gemm" not in ops
    # A pooling in float32 would stand between two conversions: it has its input's scale.
    assert "GlobalAveragePool" not in ops
    # Only activations that stand by themselves, and products with what they give, leave whole numbers.
    if not nodes["activate"]:
        assert ops["DequantizeLinear"] <= 1


@pytest.mark.parametrize("model", sorted(SMALL))
def test_the_reference_checker_accepts_what_is_written(model):
    onnx = pytest.importorskip("onnx", reason="the reference checker: pip install onnx")
    state = network(model)
    for form in [state, *forms(state).values()]:
        onnx.checker.check_model(onnx_bytes(form), full_check=True)


def test_what_calibration_has_not_seen_is_refused():
    state = network("mlp")
    with pytest.raises(TransformError, match="calibration has not seen"):
        onnx_bytes(replace(state, numbers=Numbers("int8-static", ranges={"input": (0.0, 1.0)})))


def test_zero_is_exact_whatever_the_range():
    for low, high in ((0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1.0, 1.0)):
        scale, zero = uint8_of(low, high)
        assert scale > 0
        assert 0 <= zero <= 255
