"""BatchNorm and the head on networks: statistics re-estimated without labels, what trains, controls, updates."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.harness.cli import params  # noqa: E402
from tunebench.workloads import updates  # noqa: E402
from tunebench.workloads.artefact import tensor  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.network import (  # noqa: E402
    Network,
    load_weights,
    norm_of,
    places,
)
from tunebench.workloads.engines.pytorch.session import to_torch  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.methods import plan as plans  # noqa: E402
from tunebench.workloads.models.graph import INPUT  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402
from tunebench.workloads.updates import Form, Values, safetensors  # noqa: E402

pytestmark = pytest.mark.torch

MODEL = "resnet-small"
STATISTICS = {"batchnorm": "reestimated"}


def changed(session):
    """Names of the tensors that are not the base's."""
    now = session.export().weights
    return {
        name for name, item in now.items() if item.data != session.task.weights.need(name).array()
    }  # fmt: skip


def by_torch(session, rows_of_batches):
    """A fresh network whose statistics torch has re-estimated: train mode, cumulative average, no labels."""
    network = Network(session.plan.graph)
    load_weights(network, session.task.weights)
    norms = [norm_of(network, node.name) for node in session.plan.graph.layers if node.norm]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    with torch.no_grad():
        for rows in rows_of_batches:
            network(session.images["finetune"][rows].float() / 255)
    return network.eval(), norms


@pytest.mark.parametrize("model", ["resnet-small", "detector-small", "unet-small"])
def test_statistics_are_those_of_torchs_cumulative_average_over_the_inputs(small, model):
    session = Session(small("reestimated", model))
    assert session.train_epochs(0, 2) == []
    _, norms = by_torch(session, session.batches[0])
    wanted = [item for norm in norms for item in (norm.running_mean, norm.running_var)]
    assert len(wanted) == len(session.statistics)
    for item, reference in zip(session.statistics, wanted, strict=True):
        assert torch.allclose(item, reference, rtol=1e-5, atol=1e-6)


def test_no_label_is_read(small):
    task = small("reestimated", MODEL)
    labels = task.data.need("finetune_y")
    other = {**task.data.tensors, "finetune_y": tensor("int32", labels.shape, [0] * labels.size)}
    sessions = [Session(task), Session(task._replace(data=task.data._replace(tensors=other)))]
    for session in sessions:
        session.begin(no_mark)
    first, second = (session.statistics for session in sessions)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_shorter_last_batch_weighs_less_and_one_of_a_single_image_joins_the_one_before(small):
    task = small("reestimated", MODEL, batch=11)
    session = Session(task)
    assert [len(rows) for rows in session.batches[0]] == [11, 1]
    session.begin(no_mark)
    whole = Session(small("reestimated", MODEL, batch=12))
    whole.begin(no_mark)
    for item, reference in zip(session.statistics, whole.statistics, strict=True):
        assert torch.allclose(item, reference, rtol=1e-4, atol=1e-6)
    uneven = Session(small("reestimated", MODEL, batch=8))  # 8 and 4
    uneven.begin(no_mark)
    stem = norm_of(uneven.model, "stem")
    with torch.no_grad():
        values = uneven.model.stem(uneven._batch(torch.arange(12)))
    assert torch.allclose(stem.running_mean, values.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "keys", "parts"),
    [
        ("lorae", {"batchnorm": "reestimated"}, {"mean", "variance"}),
        ("lorae", {"batchnorm": "affine"}, {"gamma", "beta"}),
        ("lora-last", {"batchnorm": "reestimated+affine"}, {"mean", "variance", "gamma", "beta"}),
        ("lorae", {"head": "trained"}, set()),
        ("ft-all", {"batchnorm": "reestimated"}, {"mean", "variance", "gamma", "beta"}),
        ("ft-last", {"batchnorm": "affine"}, {"gamma", "beta"}),
        ("lora-all", {"batchnorm": "reestimated+affine", "head": "trained"}, {"mean", "variance", "gamma", "beta"}),
        ("untrained", {}, None),
        ("reestimated", {}, {"mean", "variance"}),
        ("tent", {}, {"mean", "variance", "gamma", "beta"}),
    ],
)  # fmt: skip
def test_exactly_what_the_plan_says_changes(small, method, keys, parts):
    session = Session(small(method, MODEL, lr=0.05, **keys))
    session.train_epochs(0, 2)
    names = changed(session)
    assert names == set(plans.changed_names(session.plan))
    normed = {node.name for node in session.plan.graph.layers if node.norm}
    assert {name for name in names if name.rpartition(".")[2] in ("mean", "variance", "gamma", "beta")} == {
        f"{layer}.{part}" for layer in normed for part in parts or ()
    }
    if keys.get("head") == "trained":
        assert {"classifier.weight", "classifier.bias"} <= names
    facts = session.facts()
    assert facts["update_b"] == 4 * facts["params_trainable"] == plans.counts(session.plan).update_b


@pytest.mark.parametrize("model", ["mobilenetv2-small", "unet-small"])
@pytest.mark.parametrize("keys", [{"batchnorm": "affine"}, {"head": "trained"}])
def test_what_trains_is_what_is_counted_on_other_networks(small, model, keys):
    session = Session(small("lora-all", model, epochs=1, **keys))
    assert sum(item.numel() for item in session.trained) == plans.counts(session.plan).trainable
    assert all(item.requires_grad for item in session.trained)
    losses_of(session)


def test_re_estimating_comes_inside_the_window_once_and_before_the_first_step(small):
    session, seen = Session(small("ft-last-cached", MODEL, **STATISTICS)), []
    session.train_epoch(0, seen.append)
    session.train_epoch(1, seen.append)
    assert seen[:3] == ["reestimate", "gather", "cache_fill"]
    assert seen.count("reestimate") == 1
    frozen, marks = Session(small("ft-last-cached", MODEL)), []
    frozen.train_epoch(0, marks.append)
    assert "reestimate" not in marks


def test_the_cache_holds_what_the_network_with_its_new_statistics_gives(small):
    task = small("ft-last-cached", MODEL, epochs=3, **STATISTICS)
    cached, plain = Session(task), Session(task, cache=False)
    assert losses_of(cached) == pytest.approx(losses_of(plain), rel=1e-4, abs=1e-6)
    assert cached.cache_error() <= 1e-6
    assert losses_of(Session(small("ft-last-cached", MODEL, epochs=3))) != losses_of(Session(task))


@pytest.mark.parametrize(
    ("method", "keys"),
    [pytest.param("lora-last-cached", STATISTICS, marks=pytest.mark.slow), ("untrained", {}), ("reestimated", {})],
)  # fmt: skip
def test_the_correctness_gate_holds(small, method, keys):
    checked = check(small(method, MODEL, **keys))
    assert checked["passed"]
    assert (checked["steps"] > 0) == (method not in ("untrained", "reestimated"))


@pytest.mark.slow
def test_the_correctness_gate_sees_a_cache_that_was_filled_before(small, monkeypatch):
    task = small("ft-last-cached", MODEL, **STATISTICS)
    begin = Session.begin

    def late(self, mark):
        if self.cache is not None and not self.begun:
            for rows in self.batches[0]:
                self._lookup(self.cache, rows, mark)
            self.filled_epoch = 0
        begin(self, mark)

    monkeypatch.setattr(Session, "begin", late)
    assert not check(task)["passed"]


@pytest.mark.parametrize(
    ("method", "keys"),
    [("ft-all", STATISTICS), ("lora-last-cached", STATISTICS), ("lorae", {"batchnorm": "reestimated+affine"}),
     ("tent", {}), ("reestimated", {}), ("untrained", {})],
)  # fmt: skip
def test_warming_up_and_restarting_put_statistics_back(small, method, keys):
    session, cold = (Session(small(method, MODEL, **keys)) for _ in range(2))
    session.warm_up(2)
    assert not changed(session)
    session.hold_start()
    session.train_epochs(0, 2)
    session.restart()
    assert not changed(session)
    assert session.train_epochs(0, 2) == cold.train_epochs(0, 2)
    assert session.export().weights == cold.export().weights


def test_controls_evaluate_once_more_and_take_no_step(small):
    nothing, again = (Session(small(name, MODEL)) for name in ("untrained", "reestimated"))
    before = nothing.evaluate()
    for session in (nothing, again):
        assert session.steps_per_epoch() == 0
        assert session.train_epochs(0, 2) == []
        assert session.facts()["steps"] == 0
    assert nothing.evaluate() == before
    assert (nothing.changes, again.changes) == (False, True)


@pytest.mark.parametrize("model", [MODEL, pytest.param("unet-small", marks=pytest.mark.slow)])
def test_tent_lowers_the_entropy_of_predictions_without_labels(small, model):
    task = small("tent", model, epochs=8, lr=0.3 if model == "unet-small" else 0.02)
    session = Session(task)
    losses = losses_of(session)
    assert sum(losses[-4:]) < sum(losses[:4])
    # the same again, with other labels
    labels = task.data.need("finetune_y")
    other = {**task.data.tensors, "finetune_y": tensor(labels.dtype, labels.shape, [0] * labels.size)}
    assert losses_of(Session(task._replace(data=task.data._replace(tensors=other)))) == losses


def test_tents_steps_normalise_by_the_batch(small):
    session = Session(small("tent", MODEL))
    network, norms = by_torch(session, session.batches[0])
    for norm in norms:
        norm.train()
    rows = session.batches[0][0]
    with torch.no_grad():
        scores = network(session._batch(rows))[0].log_softmax(1)
    wanted = float(-(scores.exp() * scores).sum(1).mean())
    session.begin(no_mark)
    assert float(session.step(rows, no_mark)) == pytest.approx(wanted, rel=1e-5)


def test_tent_refuses_a_last_batch_of_one_image(small):
    with pytest.raises(SpecError, match="batch is 11: of 12 samples it leaves a last batch of 1"):
        small("tent", MODEL, batch=11)


FORMED = [
    ("lora-all", {"batchnorm": "reestimated", "head": "trained"}, MODEL),
    ("reestimated", {}, MODEL),
    pytest.param("lorae", {"batchnorm": "reestimated+affine"}, MODEL, marks=pytest.mark.slow),
    pytest.param("lora-all", {"head": "trained"}, "unet-small", marks=pytest.mark.slow),
    pytest.param("tent", {}, MODEL, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("method", "keys", "model"), FORMED)
def test_a_shipped_update_weighs_what_was_counted_and_restores_the_network(small, method, keys, model):
    session = Session(small(method, model, lr=0.05, **keys))
    session.train_epochs(0, 2)
    made = session.export()
    base = {name: Values(item.shape, item.array()) for name, item in session.task.weights.tensors.items()}
    content = "adapter" if session.plan.adapters else "delta"
    raw, entry = updates.make(made, Form(content, "float32", False), method, "a" * 64)
    assert entry.tensor_b == plans.counts(session.plan).update_b
    assert len(raw) == params.file_b(session.plan, method)
    x = session.images["test"][:4].to(torch.float32).div_(255.0)
    with torch.no_grad():
        wanted = session.model.run({INPUT: x}, session.plan.graph.outputs)[0]
    for form in [Form(what, "float32", False) for what in {"delta", content}]:
        raw, _ = updates.make(made, form, method, "a" * 64)
        rebuilt = updates.rebuild(base, safetensors.decode(raw))
        for name, item in made.weights.items():
            now, then = (torch.tensor(values.data) for values in (rebuilt[name], item))
            assert torch.allclose(now, then, rtol=2e-6, atol=2e-6), name
        other = Network(session.plan.graph).eval()
        with torch.no_grad():
            for name, place in places(other):
                place.copy_(torch.tensor(rebuilt[name].data).reshape(place.shape))
            output = other.run({INPUT: x}, session.plan.graph.outputs)[0]
        assert float((output - wanted).abs().max()) < 1e-4 * float(wanted.abs().max()), form


@pytest.mark.parametrize("dtype", ["float16", "int8"])
@pytest.mark.parametrize("method", ["reestimated", "lorae"])
def test_statistics_travel_in_float32_whatever_the_updates_type(small, method, dtype):
    session = Session(small(method, MODEL, **(STATISTICS if method == "lorae" else {})))
    session.begin(no_mark)
    form = Form("adapter" if session.plan.adapters else "delta", dtype, False)
    made = session.export()
    raw, _ = updates.make(made, form, method, "a" * 64)
    tensors = safetensors.decode(raw).tensors
    assert {item.dtype for name, item in tensors.items() if name.endswith((".mean", ".variance"))} == {"F32"}
    base = {name: Values(item.shape, item.array()) for name, item in session.task.weights.tensors.items()}
    rebuilt = updates.rebuild(base, safetensors.decode(raw))
    assert all(min(item.data) >= 0 for name, item in rebuilt.items() if name.endswith(".variance"))


def test_what_changes_nothing_has_no_update(small):
    made = Session(small("untrained", MODEL)).export()
    with pytest.raises(updates.UpdateError, match="changes nothing: there is no update to ship"):
        updates.make(made, Form("delta", "float32", False), "untrained", "a" * 64)


@pytest.mark.parametrize(
    ("method", "keys"),
    [("lorae", {"batchnorm": "affine"}), ("ft-last", {"batchnorm": "affine"}), ("tent", {})],
)
def test_autograd_keeps_what_was_predicted(small, method, keys):
    session = Session(small(method, MODEL, **keys))
    rows, storages = session.batches[0][0], {}

    def keep(item):
        storage = item.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return item

    weights = {item.untyped_storage().data_ptr() for item in session.model.parameters()}
    weights |= {item.untyped_storage().data_ptr() for item in session.model.buffers()}
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda item: item)
    with hooks:
        x = session._batch(rows)
        loss = session._unlabelled_loss(x) if method == "tent" else session.goal.loss(session.model(x), rows)
    kept_b = sum(size_b for at, size_b in storages.items() if at not in weights)
    assert loss.requires_grad
    assert kept_b == pytest.approx(memory.predict(session.plan, len(rows)).saved_b, rel=0.03)


def test_to_torch_sees_the_base_unchanged(small):
    """Statistics are re-estimated on a copy: the task's own weights stay what they were."""
    task = small("reestimated", MODEL)
    before = to_torch(task.weights.need("stem.mean")).clone()
    Session(task).begin(no_mark)
    assert torch.equal(to_torch(task.weights.need("stem.mean")), before)
