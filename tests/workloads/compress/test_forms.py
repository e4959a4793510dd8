"""Every form in which networks are written: its runtime computes what torch does; what it lacks is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from tests.workloads.compress.networks import CASES, case, network, samples, with_node
from tunebench.workloads import artefact
from tunebench.workloads.compress.deployed import FORMS
from tunebench.workloads.compress.state import State, TransformError
from tunebench.workloads.deploy import RUNTIMES

WRITTEN = ("onnxruntime", "ncnn", "litert")
PAIRS = [(runtime, name) for runtime in WRITTEN for name in CASES]


def imported(runtime: str) -> ModuleType:
    """Return the module that runs a runtime's files; skips where the runtime is not installed."""
    about = RUNTIMES[runtime]
    pytest.importorskip(about.packages[0], reason=f"the runtime itself: pip install {about.install}")
    return about.load()


def outputs(runtime: str, state: State, x: np.ndarray) -> np.ndarray:
    """Return what a runtime computes, one sample a call; each call is made twice."""
    load: Callable[..., object] = imported(runtime).load
    raw = artefact.encode("deployed", {}, dict(FORMS[runtime](state, "model")))
    model = load(artefact.decode(bytearray(raw)), "model", 1)
    assert model is not None
    prepared = [model.prepare(item.reshape(-1).tolist(), state.graph.shape) for item in x]
    twice = [[model.call(sample) for sample in prepared] for _ in range(2)]
    assert twice[0] == twice[1], "a call changes its sample"
    return np.array(twice[0])


@pytest.mark.torch
@pytest.mark.parametrize(("runtime", "name"), PAIRS)
def test_a_runtime_computes_what_torch_does(runtime, name):
    from tunebench.workloads.compress.train import logits_of

    imported(runtime)
    state = case(name)
    x = samples(state, 4)
    assert np.abs(outputs(runtime, state, x) - logits_of(state, x)).max() < 1e-4


@pytest.mark.parametrize("runtime", WRITTEN)
@pytest.mark.parametrize("name", ["odd", "mobilenetv3-tiny", "shufflenetv2-small"])
def test_equal_networks_give_equal_bytes(name, runtime):
    once, again = (FORMS[runtime](CASES[name](), "model") for _ in range(2))
    assert once == again


@pytest.mark.parametrize("runtime", WRITTEN)
@pytest.mark.parametrize("fields", [{"op": "attention"}, {"act": "gelu"}])
def test_what_a_form_lacks_is_refused_by_its_name(runtime, fields):
    with pytest.raises(TransformError, match=f"'layer0'.*{next(iter(fields.values()))}.*written are"):
        FORMS[runtime](with_node(network("mlp"), **fields), "model")


def test_a_network_of_several_outputs_is_refused():
    state = network("mlp")
    two = State(state.graph._replace(outputs=("layer1", "layer2")), state.tensors)
    for runtime in WRITTEN:
        with pytest.raises(TransformError, match="'mlp' has 2 outputs; a runtime's rows have one"):
            FORMS[runtime](two, "model")
