"""Updates of fine-tuned networks: their bytes are those that were counted, and what arrives is what left."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tunebench.harness.cli import params  # noqa: E402
from tunebench.workloads import updates  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.network import Network, load_weights, places  # noqa: E402
from tunebench.workloads.methods import plan as plans  # noqa: E402
from tunebench.workloads.models.graph import INPUT  # noqa: E402
from tunebench.workloads.updates import (  # noqa: E402
    Form,
    Values,
    safetensors,
)

pytestmark = pytest.mark.torch
METHODS = ("ft-all", "ft-last", "ft-bias", "lora-last", "lora-all", "lorae", "lora-last-cached")
MODEL = "unet-small"


def trained(small, method, model=MODEL, **keys):
    session = Session(small(method, model, epochs=1, lr=0.05, **keys))
    session.train_epochs(0, 1)
    return session


def base_of(session):
    weights = session.task.weights
    return {name: Values(item.shape, item.array()) for name, item in weights.tensors.items()}


@pytest.mark.parametrize("method", METHODS)
def test_the_update_weighs_what_was_counted(small, method):
    session = trained(small, method)
    what = "adapter" if session.plan.adapters else "delta"
    made = session.export()
    raw, entry = updates.make(made, Form(what, "float32", False), method, "a" * 64)
    counted = plans.counts(session.plan)
    assert entry.tensor_b == counted.update_b == session.facts()["update_b"]
    assert entry.n_values == counted.trainable
    assert len(raw) == params.file_b(session.plan, method)
    shapes = {name: item.shape for name, item in updates.chosen(made, what).items()}
    assert shapes == plans.update_shapes(session.plan, what)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_form_gives_the_network_that_left(small, method):
    session = trained(small, method)
    made, base = session.export(), base_of(session)
    x = session.images["test"][:2].to(torch.float32).div_(255.0)
    with torch.no_grad():
        wanted = session.model.run({INPUT: x}, session.plan.graph.outputs)[0]
    for what in updates.FORMS:
        if what == "adapter" and not session.plan.adapters:
            continue
        raw, _ = updates.make(made, Form(what, "float32", False), method, "a" * 64)
        rebuilt = updates.rebuild(base, safetensors.decode(raw))
        other = Network(session.plan.graph)
        load_weights(other, session.task.weights)
        other.eval()
        with torch.no_grad():
            for name, place in places(other):
                place.copy_(torch.tensor(rebuilt[name].data).reshape(place.shape))
            output = other.run({INPUT: x}, session.plan.graph.outputs)[0]
        assert float((output - wanted).abs().max()) < 1e-4 * float(wanted.abs().max()), what


def test_what_a_method_does_not_train_is_in_no_delta(small):
    session = trained(small, "lorae")
    made, base = session.export(), base_of(session)
    for name, item in made.weights.items():
        if name not in made.changed:
            assert item.data == base[name].data, name
    assert all(made.weights[name].data != base[name].data for name in made.changed)


def test_an_export_changes_nothing(small):
    session = trained(small, "lorae")
    before = [item.detach().clone() for item in session.trained]
    first, second = session.export(), session.export()
    assert first == second
    assert all(
        torch.equal(value_before, value_after)
        for value_before, value_after in zip(before, session.trained, strict=True)
    )


@pytest.mark.slow
def test_depthwise_layers_and_a_linear_head_are_exported_too(small):
    session = trained(small, "lora-all", "mobilenetv2-small")
    made = session.export()
    assert set(made.weights) == set(base_of(session))
    raw, entry = updates.make(made, Form("adapter", "float32", False), "lora-all", "a" * 64)
    assert entry.tensor_b == plans.counts(session.plan).update_b
    rebuilt = updates.rebuild(base_of(session), safetensors.decode(raw))
    for name in made.changed:
        assert rebuilt[name].data.tolist() == pytest.approx(made.weights[name].data.tolist(), abs=1e-5)
