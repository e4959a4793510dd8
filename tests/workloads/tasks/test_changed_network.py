"""Start weights that a transform has changed: methods apply to the network that the artefact describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.workloads.compress.networks import context
from tests.workloads.compress.test_chain import PRUNE
from tests.workloads.small_sets import small_set
from tunebench.workloads import artefact
from tunebench.workloads.compress import TRANSFORMS
from tunebench.workloads.compress.deployed import start_weights
from tunebench.workloads.compress.state import State
from tunebench.workloads.methods.memory import predict
from tunebench.workloads.models import graph_of
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.graph_json import GraphError, from_json, to_json
from tunebench.workloads.prepare import artefacts
from tunebench.workloads.tasks import spec, task

SVD = ("factorize", "svd")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> artefact.Artefact:
    """A small set of images."""
    path: Path = tmp_path_factory.mktemp("small") / "data.tbx"
    artefacts.write_data(small_set("classify"), path)
    return artefact.read(str(path))


def dense(data: artefact.Artefact) -> State:
    """Return a network for the set, with made-up weights."""
    graph = graph_of("resnet-small", tuple(data.meta["shape"]), data.meta["n_classes"])
    random = np.random.default_rng(0)
    tensors = {
        name: (
            np.abs(random.standard_normal(shape)) * 0.1 + 0.5 * name.endswith((".gamma", ".variance"))
        ).astype("f")
        for name, shape in weight_shapes(graph)
    }
    return State(graph, tensors)


def made(data: artefact.Artefact, state: State, method: str) -> task.Task:
    """Return the task of a method that begins from a network."""
    weights = artefact.decode(bytearray(start_weights(state, [PRUNE], {})))
    wanted = {"method": method, "model": "resnet-small", "batch": 6, "epochs": 1, "lr": 0.005, "rank": 2}
    return task.make_task(spec.parse(wanted), data, weights)


@pytest.mark.parametrize("method", ["ft-all", "ft-bias", "lora-last", "lora-all", "lorae"])
def test_a_pruned_network_has_fewer_parameters_and_a_smaller_predicted_step(data, method):
    state = dense(data)
    pruned = TRANSFORMS["prune", "structured"].load().apply(state, PRUNE.keys, context(state))
    before, after = (made(data, network, method).plan for network in (state, pruned))
    assert after.graph.n_params < before.graph.n_params
    assert predict(after, 6).total_b < predict(before, 6).total_b


@pytest.mark.torch
def test_methods_train_a_network_that_no_function_builds(data):
    pytest.importorskip("torch", reason="torch is not installed")
    from tunebench.workloads.engines.pytorch.networks import Session
    from tunebench.workloads.engines.session import no_mark

    state = dense(data)
    factorised = TRANSFORMS[SVD].load().apply(state, {"keep": 0.5}, context(state))
    session = Session(made(data, factorised, "ft-all"))
    assert np.isfinite(session.train_epoch(0, no_mark))
    assert session.facts()["params_total"] == factorised.n_params


def test_a_network_of_another_task_is_refused(data):
    state = dense(data)
    other = state.graph._replace(shape=(1, 8, 8))
    with pytest.raises(artefact.ArtefactError, match="a network to classify from inputs of"):
        made(data, State(other, state.tensors), "ft-all")


@pytest.mark.parametrize("broken", [None, {}, {"nodes": 3}, {"nodes": [{"name": "a"}]}])
def test_a_damaged_description_is_told(broken):
    with pytest.raises(GraphError, match="description is damaged"):
        from_json(broken)
    whole = to_json(graph_of("mlp", (4,), 2))
    for change in ({"outputs": ["nowhere"]}, {"nodes": whole["nodes"][1:]}):
        with pytest.raises(GraphError, match="description is damaged"):
            from_json({**whole, **change})
