"""Skip adapters on torch: the same as written out by hand, kept as without keeping, shipped and put back."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.nn.functional as F  # noqa: E402

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.harness.cli import params  # noqa: E402
from tunebench.workloads import updates  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.network import Network, load_weights, places  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.methods import plan as plans  # noqa: E402
from tunebench.workloads.methods.skips import blocks  # noqa: E402
from tunebench.workloads.methods.table import UnsupportedMethod  # noqa: E402
from tunebench.workloads.models import graph_of  # noqa: E402
from tunebench.workloads.models.graph import INPUT  # noqa: E402
from tunebench.workloads.run import correctness  # noqa: E402
from tunebench.workloads.updates import Form, Values, safetensors  # noqa: E402

pytestmark = pytest.mark.torch
MODELS = ["resnet-small", "squeezenet-small", pytest.param("mobilenetv2-small", marks=pytest.mark.slow)]


def by_hand(task, grid, count):
    """Losses of SGD on pairs (A, B) of each block, from the base network alone."""
    graph = graph_of(task.plan.graph.name, task.plan.graph.shape, task.n_classes)
    base = Network(graph)
    load_weights(base, task.weights)
    base.eval()
    twin, names = Session(task), blocks(graph)[-count:]
    pairs = []
    for name in names:
        a = getattr(twin.model, f"skip_{name}_a").weight.detach().clone().requires_grad_(True)
        b = torch.zeros(task.n_classes, a.shape[0], requires_grad=True)
        pairs.append((a, b))
    losses = []
    for rows in (rows for epoch in twin.batches for rows in epoch):
        with torch.no_grad():
            *features, scores = base.run({INPUT: twin._batch(rows)}, names + graph.outputs)
        for feature, (a, b) in zip(features, pairs, strict=True):
            pooled = F.adaptive_avg_pool2d(feature, min(grid, feature.shape[-1])).flatten(1)
            scores = scores + task.spec.scale * pooled @ a.T @ b.T
        loss = F.cross_entropy(scores, twin.goal.y[rows])
        trained = [item for pair in pairs for item in pair]
        for item, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            item.data.sub_(task.spec.lr * gradient)
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("grid", "count", "scale"), [("1x1", 7, 1.0), ("2x2", 3, 0.5)])
def test_losses_are_those_of_adapters_written_out_by_hand(small, model, grid, count, scale):
    task = small("skip2-lora", model, epochs=4, lr=0.1, scale=scale, skip_grid=grid, skip_blocks=count)
    losses = losses_of(Session(task))
    assert losses == pytest.approx(by_hand(task, int(grid[0]), count), rel=1e-4, abs=1e-6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("keys", [{}, {"skip_grid": "2x2", "skip_blocks": 2}])
def test_keeping_changes_no_loss_and_the_kept_bytes_are_those_predicted(small, monkeypatch, model, keys):
    monkeypatch.setattr(correctness, "STEPS", 12)
    task = small("skip2-lora", model, lr=0.1, **keys)
    outcome = correctness.check(task)
    assert outcome["passed"] and outcome["max_activation_diff"] == 0.0, outcome
    session = Session(task)
    session.train_epochs(0, 2)
    kept_b = sum(item.numel() * 4 for item in session.cache.values())
    assert kept_b == memory.predict(session.plan, 6, task.n_train).cache_b == session.facts()["cache_b"]
    assert session.facts()["cache_hit_ratio"] == 0.5
    without = losses_of(Session(small("skip-lora", model, lr=0.1, **keys)))
    assert losses_of(Session(task)) == pytest.approx(without, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_the_trunk_stays_bit_identical_and_what_trains_is_what_was_counted(small, model):
    session = Session(small("skip2-lora", model, lr=0.1))
    before = [item.clone() for _, item in places(session.model)]
    assert sum(item.numel() for item in session.trained) == plans.counts(session.plan).trainable
    losses_of(session)
    for first, (name, item) in zip(before, places(session.model), strict=True):
        assert torch.equal(first, item), name
    assert all(bool((item != 0).any()) for item in session.trained)


def test_before_the_first_step_the_scores_are_the_base_models(small):
    session = Session(small("skip2-lora", "resnet-small"))
    plain = Session(small("ft-all", "resnet-small"))
    assert session.evaluate().predictions == plain.evaluate().predictions


def test_autograd_keeps_what_was_predicted(small):
    session = Session(small("skip2-lora", "resnet-small"))
    session.train_epochs(0, 1)
    rows, own, seen = session.batches[0][0], set(), {}
    own = {item.untyped_storage().data_ptr() for item in session.model.parameters()}
    given = {name: values.index_select(0, rows) for name, values in session.cache.items()}

    def note(item):
        if item.untyped_storage().data_ptr() not in own:
            seen[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        return item

    with torch.autograd.graph.saved_tensors_hooks(note, lambda item: item):
        loss = session.goal.loss(session.model.run(given, session.plan.graph.outputs), rows)
    del loss
    assert sum(seen.values()) == pytest.approx(memory.predict(session.plan, len(rows)).saved_b, rel=0.05)


@pytest.mark.parametrize("form", updates.FORMS)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_every_form_gives_the_network_that_left(small, form, scale):
    session = Session(small("skip2-lora", "resnet-small", lr=0.1, scale=scale))
    losses_of(session)
    made, task = session.export(), session.task
    raw, entry = updates.make(made, Form(form, "float32", False), "skip2-lora", "a" * 64)
    shapes = {name: item.shape for name, item in updates.chosen(made, form).items()}
    assert shapes == plans.update_shapes(session.plan, form)
    if form == "adapter":
        assert entry.tensor_b == plans.counts(session.plan).update_b
        assert len(raw) == params.file_b(session.plan, "skip2-lora")
    base = {name: Values(item.shape, item.array()) for name, item in task.weights.tensors.items()}
    rebuilt = updates.rebuild(base, safetensors.decode(raw))
    other = Network(session.plan.graph)
    with torch.no_grad():
        for name, place in places(other):
            place.copy_(torch.tensor(rebuilt.pop(name).data).reshape(place.shape))
        for name, item in rebuilt.items():
            getattr(other, name.partition(".")[0]).weight.copy_(torch.tensor(item.data).reshape(item.shape))
        other.eval()
        x = session.images["test"].to(torch.float32).div_(255.0)
        wanted, arrived = session.model(x)[0], other(x)[0]
    assert float((arrived - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_a_restart_gives_the_same_losses_again(small):
    session = Session(small("skip2-lora", "resnet-small", lr=0.1))
    session.hold_start()
    first = losses_of(session)
    session.restart()
    assert losses_of(session) == first


@pytest.mark.parametrize(("keys", "kept"), [
    ({}, {"skip_pooled", "classifier"}), ({"head": "trained"}, {"skip_pooled", "pool"}),
    ({"batchnorm": "reestimated", "optimizer": "adamw", "clip": 1.0, "lora_plus": 4.0}, {"skip_pooled", "classifier"}),
])  # fmt: skip
def test_keys_of_training_are_honoured_kept_and_shipped(small, monkeypatch, keys, kept):
    monkeypatch.setattr(correctness, "STEPS", 8)
    task = small("skip2-lora", "resnet-small", lr=0.01, **keys)
    assert set(task.plan.cached) == kept and correctness.check(task)["passed"]
    session = Session(task)
    session.train_epochs(0, 2)
    made = session.export()
    shapes = {name: item.shape for name, item in updates.chosen(made, "adapter").items()}
    assert shapes == plans.update_shapes(session.plan, "adapter")
    assert ("classifier.weight" in shapes) == ("head" in keys)
    assert sum(ratio == 4.0 for ratio in session.optimizer.ratios) == ("lora_plus" in keys)


def test_affine_that_trains_in_the_trunk_cannot_be_kept_and_goes_without_a_cache(small):
    with pytest.raises(UnsupportedMethod, match=r"'skip2-lora' caches activations.*skip-lora"):
        small("skip2-lora", "resnet-small", batchnorm="affine")
    losses = losses_of(Session(small("skip-lora", "resnet-small", lr=0.1, batchnorm="affine", epochs=4)))
    assert losses[-1] < losses[0]
