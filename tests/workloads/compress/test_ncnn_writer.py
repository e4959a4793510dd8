"""ncnn's files of our own: what the format asks for, and that ncnn computes what torch does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.workloads.compress.networks import SMALL, network, samples
from tests.workloads.compress.test_transforms import applied
from tunebench.workloads import artefact
from tunebench.workloads.compress.deployed import FORMS
from tunebench.workloads.compress.forms.ncnn_writer import ncnn_files
from tunebench.workloads.compress.state import Numbers, State, TransformError
from tunebench.workloads.deploy import ncnn_net
from tunebench.workloads.models.graph import Builder, weight_shapes


def outputs(state: State, x: np.ndarray) -> np.ndarray:
    """Return what ncnn computes."""
    raw = artefact.encode("deployed", {}, dict(FORMS["ncnn"](state, "model")))
    model = ncnn_net.load(artefact.decode(bytearray(raw)), "model", 1)
    assert model is not None
    prepared = [model.prepare(item.reshape(-1).tolist(), state.graph.shape) for item in x]
    twice = [[model.call(sample) for sample in prepared] for _ in range(2)]
    assert twice[0] == twice[1], "a call changes its sample"
    return np.array(twice[0])


def odd() -> State:
    """Return a network of the ops that no small classifier has, and of every activation."""
    build = Builder("odd", "classify", (1, 9, 9))
    scaled = build.normalise("scaled", "input", ((0.3, 0.5), (0.4, 0.6), (0.5, 0.7)))
    again = build.normalise("again", scaled, ((0.1, 0.9), (0.2, 0.8), (0.3, 0.7)))
    padded = build.pad("padded", again, (0, 1, 2, 3))
    first = build.conv("first", padded, 8, 3, 2, act="silu")
    deep = build.conv("deep", first, 8, 3, 2, groups=8, act="relu6")
    pooled = build.maxpool("pooled", first, 3, 2, padding=1)
    both = build.concat("both", deep, pooled)
    part = build.slice("part", both, 3, 6)
    other = build.slice("other", both, 10, 6)
    total = build.add("total", part, other, act="relu6")
    build.linear("head", total, 5)
    graph = build.graph("head")
    random = np.random.default_rng(3)
    return State(
        graph,
        {
            name: (np.abs(values) + 0.5 if name.endswith("variance") else 0.4 * values).astype(np.float32)
            for name, shape in weight_shapes(graph)
            for values in (random.standard_normal(shape),)
        },
    )


@pytest.mark.torch
@pytest.mark.parametrize("model", [*sorted(SMALL), "odd"])
def test_ncnn_computes_what_torch_does(model):
    pytest.importorskip("ncnn", reason="the runtime itself: pip install ncnn")
    from tunebench.workloads.compress.train import logits_of

    state = odd() if model == "odd" else network(model)
    x = samples(state)
    assert np.abs(outputs(state, x) - logits_of(state, x)).max() < 1e-4


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "how"), [("prune", "structured"), ("factorize", "svd"), ("factorize", "cp")]
)
def test_ncnn_computes_what_torch_does_with_a_changed_network(kind, how):
    pytest.importorskip("ncnn", reason="the runtime itself: pip install ncnn")
    from tunebench.workloads.compress.train import logits_of

    state = applied(network("resnet-small"), kind, how)
    x = samples(state, 3)
    assert np.abs(outputs(state, x) - logits_of(state, x)).max() < 1e-4


@pytest.mark.parametrize("model", [*sorted(SMALL), "odd"])
def test_every_value_is_made_once_and_read_once_and_every_weight_is_stored(model):
    state = odd() if model == "odd" else network(model)
    param, weights = ncnn_files(state)
    assert (param, weights) == ncnn_files(odd() if model == "odd" else network(model))
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


def test_what_ncnn_is_not_written_in_is_refused():
    state = network("mlp")
    with pytest.raises(TransformError, match="float32 only here, this chain ends in float16"):
        ncnn_files(replace(state, numbers=Numbers("float16")))
    node = state.graph.nodes[0]
    for other, words in ((node._replace(op="attention"), "attention"), (node._replace(act="gelu"), "gelu")):
        changed = state.graph._replace(nodes=(other, *state.graph.nodes[1:]))
        with pytest.raises(TransformError, match=rf"layer0.*{words}"):
            ncnn_files(replace(state, graph=changed))
