"""ncnn's files of our own: what the format asks for, and what it computes in 8 bits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.workloads.compress.networks import SMALL, case, network, samples
from tests.workloads.compress.test_forms import outputs
from tests.workloads.compress.test_tflite_writer import static
from tunebench.workloads import artefact
from tunebench.workloads.compress.deployed import FORMS
from tunebench.workloads.compress.forms.folding import folded
from tunebench.workloads.compress.forms.ncnn_writer import ncnn_files
from tunebench.workloads.compress.state import Array, Numbers, State, TransformError
from tunebench.workloads.deploy import ncnn_net


@pytest.mark.parametrize("model", [*sorted(SMALL), "odd"])
def test_every_value_is_made_once_and_read_once_and_every_weight_is_stored(model):
    param, weights = ncnn_files(case(model))
    magic, counts, *lines = param.decode().splitlines()
    assert magic == "7767517"
    made, read, stored = Counter[str](), Counter[str](), 0
    for line in lines:
        kind, _, n_in, n_out, *rest = line.split()
        read.update(rest[: int(n_in)])
        made.update(rest[int(n_in) : int(n_in) + int(n_out)])
        keys = dict(key.split("=") for key in rest[int(n_in) + int(n_out) :])
        if kind in ("Convolution", "ConvolutionDepthWise", "InnerProduct"):
            size = int(keys["2" if kind == "InnerProduct" else "6"])
            stored += 4 + 4 * (size + int(keys["0"]))
    assert counts == f"{len(lines)} {len(made)}"
    assert set(made.values()) == set(read.values()) == {1}
    assert set(made) - set(read) == {"logits"}
    assert stored == len(weights)


def whole_numbers(values: Array, largest: float) -> Array:
    """Return values in steps of a 127th of the largest."""
    return np.clip(np.round(values * (127 / largest)), -127, 127).astype(np.int32)


def by_hand(state: State, x: Array) -> Array:
    """Return what an MLP in 8 bits gives, by integers of numpy."""
    source = "input"
    for node in state.graph.nodes:
        weight, bias = folded(state, node)
        of_x = max(map(abs, state.numbers.ranges[source]))
        of_rows = np.abs(weight).max(1)
        sums = whole_numbers(x, of_x) @ whole_numbers(weight, of_rows[:, None]).T
        x = sums * (of_x / 127 * of_rows / 127) + bias
        x, source = (np.maximum(x, 0) if node.act == "relu" else x), node.name
    return x


@pytest.mark.torch
def test_8_bits_are_what_integers_give_by_hand():
    state = static(network("mlp"))
    x = samples(state)
    assert np.abs(outputs("ncnn", state, x) - by_hand(state, x)).max() < 1e-5


@pytest.mark.torch
@pytest.mark.parametrize("model", ["resnet-small", "mobilenetv3-tiny", "shufflenetv2-small"])
def test_8_bits_stay_near_their_float_parent_and_every_weighted_layer_computes_in_them(model):
    from tunebench.workloads.compress.train import logits_of

    state = network(model)
    x, form = samples(state), static(state)
    wanted = logits_of(state, x)
    assert np.abs(outputs("ncnn", form, x) - wanted).max() < 0.1 * np.abs(wanted).max() + 0.02
    assert len(ncnn_files(form)[1]) < 0.3 * len(ncnn_files(state)[1])
    raw = artefact.encode("deployed", {}, dict(FORMS["ncnn"](form, "model")))
    share = ncnn_net.profiled(artefact.decode(bytearray(raw)), 1, "", [])
    weighted = [node for node in state.graph.nodes if node.op in ("conv", "linear")]
    assert round(share.nodes["int8"] * share.n_nodes) == len(weighted)
    assert (share.time, set(share.nodes)) == ({}, {"int8", "float32"})


def test_what_calibration_has_not_seen_is_refused():
    ranges = {"input": (0.0, 1.0)}
    with pytest.raises(TransformError, match="calibration has not seen node 'layer0'"):
        ncnn_files(replace(network("mlp"), numbers=Numbers("int8-static", ranges=ranges)))


def test_numbers_that_ncnn_is_not_written_in_are_refused():
    with pytest.raises(TransformError, match="float32 and int8-static here, this chain ends in float16"):
        ncnn_files(replace(network("mlp"), numbers=Numbers("float16")))
