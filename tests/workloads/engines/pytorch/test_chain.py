"""What training on torch must and must not do; all on the shipped digits, a few epochs."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the torch engine needs torch")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads import seeds  # noqa: E402
from tunebench.workloads.artefact import tensor  # noqa: E402
from tunebench.workloads.engines.pytorch.chain import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.session import to_torch  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import table  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402

pytestmark = pytest.mark.torch

CHAINS = ("mlp", "cnn")
TRAINED = [row for row in table.METHODS if row.labels and row.gradient == "backward"]
PAIRS = [(row.name, model) for row in TRAINED for model in row.models if model in CHAINS]
ADAPTERS_ONLY = [(row.name, model) for row in TRAINED if row.weights == row.biases == "none"
                 for model in row.models if model in CHAINS]  # fmt: skip


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_every_method_improves_the_drifted_digits(digits, method, model):
    session = Session(digits(method, model, epochs=40 if model == "mlp" else 15))
    before = session.evaluate()
    losses = losses_of(session)
    after = session.evaluate()
    assert after.accuracy >= before.accuracy + 0.05
    assert sum(losses[-23:]) < sum(losses[:23])
    assert (before.n_items, len(after.predictions)) == (447, 447)


def test_the_drift_costs_accuracy_before_fine_tuning(digits):
    assert Session(digits("ft-all")).evaluate().accuracy < 0.55
    assert Session(digits("ft-all", "cnn")).evaluate().accuracy < 0.80


@pytest.mark.parametrize(("method", "model"), PAIRS)
def test_the_same_seed_gives_the_same_losses_bit_for_bit(digits, method, model):
    task = digits(method, model, epochs=2)
    assert losses_of(Session(task)) == losses_of(Session(task))


def test_another_seed_gives_another_order_and_other_adapters(digits):
    first, second = (Session(digits("lora-all", seed=seed)) for seed in (0, 1))
    assert first.batches[0][0].tolist() != second.batches[0][0].tolist()
    assert not torch.equal(first.adapters[0][0], second.adapters[0][0])
    assert losses_of(first, 1) != losses_of(second, 1)


def test_all_methods_share_order_start_weights_and_the_loss_before_training(digits):
    sessions = [Session(digits(row.name, seed=5, epochs=1)) for row in TRAINED if "mlp" in row.models]
    for session in sessions[1:]:
        assert all(torch.equal(a, b) for a, b in zip(session.batches[0], sessions[0].batches[0], strict=True))
        assert all(torch.equal(session.base[name], sessions[0].base[name]) for name in session.base)
    # B starts at zero: adapters change nothing yet
    firsts = [losses_of(session)[0] for session in sessions]
    assert firsts == pytest.approx([firsts[0]] * len(firsts), rel=1e-6)


@pytest.mark.parametrize(("method", "model"), ADAPTERS_ONLY)
def test_adapter_methods_leave_the_base_bit_identical(digits, method, model):
    session = Session(digits(method, model, epochs=2))
    adapters = [item.detach().clone() for item in session.trained]
    losses_of(session)
    for name, item in session.base.items():
        assert torch.equal(item, to_torch(session.task.weights.need(name))), name
    assert all(not torch.equal(now, then) for now, then in zip(session.trained, adapters, strict=True))


@pytest.mark.parametrize("method", ["ft-all", "ft-bias", "ft-last", "ft-all-lora"])
def test_full_methods_train_what_the_table_says_and_never_batchnorm(digits, method):
    session = Session(digits(method, epochs=1))
    losses_of(session)
    for layer in session.layers:
        for part, trains in (
            ("weight", layer.name in session.plan.weights),
            ("bias", layer.name in session.plan.biases),
        ):
            name = f"{layer.name}.{part}"
            assert torch.equal(session.base[name], to_torch(session.task.weights.need(name))) != trains, name
        for part in ("gamma", "beta", "mean", "variance") if layer.norm else ():
            name = f"{layer.name}.{part}"
            assert torch.equal(session.base[name], to_torch(session.task.weights.need(name))), name


def test_skip2_has_the_losses_and_predictions_of_skip(digits):
    skip, skip2 = (Session(digits(method, epochs=6)) for method in ("skip-lora", "skip2-lora"))
    a, b = losses_of(skip2), losses_of(skip)
    assert len(a) == 6 * 23
    assert all(abs(x - y) <= 1e-6 + 1e-4 * abs(y) for x, y in zip(a, b, strict=True))
    same = [x == y for x, y in zip(skip2.evaluate().predictions, skip.evaluate().predictions, strict=True)]
    assert sum(same) >= 0.995 * len(same)


def test_the_cache_is_filled_once_and_then_only_read(digits, monkeypatch):
    session = Session(digits("skip2-lora", epochs=3))
    calls = []
    body = session._body
    monkeypatch.setattr(session, "_body", lambda x: calls.append(len(x)) or body(x))
    session.train_epoch(0, no_mark)
    assert sum(calls) == 450
    session.train_epoch(1, no_mark)
    session.train_epoch(2, no_mark)
    assert sum(calls) == 450, "the frozen network ran again after the first epoch"
    facts = session.facts()
    assert facts["cache_b"] == 4 * 450 * (96 + 96 + 10)
    assert facts["cache_hit_ratio"] == pytest.approx(2 / 3)


def test_a_cached_step_marks_its_phases_and_fills_the_cache_in_the_first_epoch_only(digits):
    session, seen = Session(digits("skip2-lora", epochs=2, batch=450)), []
    session.train_epoch(0, seen.append)
    session.train_epoch(1, seen.append)
    assert seen == [
        "gather",
        "cache_fill",
        "forward",
        "backward",
        "update",
        "gather",
        "forward",
        "backward",
        "update",
    ]


def with_adapters(session):
    """Give B values, so that A has gradients too."""
    for index, (_, second) in enumerate(session.adapters):
        values = seeds.kaiming_uniform(second.numel(), 4, index, "test")
        second.data.copy_(torch.tensor(values.tolist()).reshape(second.shape))
    return session


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize(("method", "model"), [("lora-all", "mlp"), ("lora-last", "cnn"), ("lorae", "cnn")])
def test_gradients_of_adapters_are_those_of_the_merged_weight(digits, method, model, scale):
    session = with_adapters(Session(digits(method, model, scale=scale)))
    rows = session.batches[0][0]
    x, y = session.train_x[rows], session.train_y[rows]
    loss = torch.nn.functional.cross_entropy(session.forward(x), y)
    gradients = torch.autograd.grad(loss, session.trained)

    # the same network with W + scale * B A in place of W, and no adapter
    merged = Session(digits("ft-all", model))
    for adapter, (first, second) in zip(session.plan.adapters, session.adapters, strict=True):
        weight = merged.base[f"{adapter.end}.weight"]
        product = second.flatten(1) @ first.flatten(1)
        weight.data.add_(scale * product.detach().reshape(weight.shape))
    merged_loss = torch.nn.functional.cross_entropy(merged.forward(x), y)
    assert loss.item() == pytest.approx(merged_loss.item(), rel=1e-5)
    weights = [merged.base[f"{adapter.end}.weight"] for adapter in session.plan.adapters]
    for index, whole in enumerate(torch.autograd.grad(merged_loss, weights)):
        first, second = session.adapters[index]
        flat = whole.flatten(1)
        expected_first = scale * second.flatten(1).T @ flat
        expected_second = scale * flat @ first.flatten(1).T
        assert torch.allclose(gradients[2 * index].flatten(1), expected_first, rtol=1e-4, atol=1e-6)
        assert torch.allclose(gradients[2 * index + 1].flatten(1), expected_second, rtol=1e-4, atol=1e-6)


def test_skip_adapters_add_to_the_logits(digits):
    session = with_adapters(Session(digits("skip-lora")))
    x = session.test_x[:7]
    inputs = session._body(x)
    expected = torch.nn.functional.linear(
        inputs[2], session.base["layer2.weight"], session.base["layer2.bias"]
    )
    for given, (first, second) in zip(inputs, session.adapters, strict=True):
        expected = expected + given @ first.T @ second.T
    assert torch.allclose(session.forward(x), expected, atol=1e-5)


def test_training_is_plain_sgd_as_torch_does_it(digits):
    task = digits("ft-all", epochs=1)
    session, reference = Session(task), Session(task)
    optimiser = torch.optim.SGD(reference.trained, lr=task.spec.lr)
    expected = []
    for rows in reference.batches[0]:
        logits = reference.forward(reference.train_x[rows])
        loss = torch.nn.functional.cross_entropy(logits, reference.train_y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        expected.append(loss.item())
    assert losses_of(session) == pytest.approx(expected, rel=1e-6)


def test_the_epochs_loss_weighs_the_short_batch_by_its_rows(digits):
    session = Session(digits("ft-all", epochs=1))
    mean = session.train_epoch(0, no_mark)
    sizes = [len(rows) for rows in session.batches[0]]
    assert sizes[-1] == 10
    weighted = sum(float(loss) * size for loss, size in zip(session.step_losses, sizes, strict=True)) / 450
    assert mean == pytest.approx(weighted, rel=1e-6)


@pytest.mark.parametrize("method", ["ft-all", "skip2-lora"])
def test_warming_up_changes_nothing(digits, method):
    warm, cold = (Session(digits(method, epochs=2)) for _ in range(2))
    warm.warm_up(3)
    assert warm.steps == 0
    assert losses_of(warm) == losses_of(cold)


def test_cuda_without_a_device_is_an_error_that_says_so(digits):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ValueError, match="finds no CUDA device"):
        Session(digits("ft-all", device="cuda"))


def test_an_empty_tensor_is_read():
    assert to_torch(tensor("float32", (0, 3), [])).shape == (0, 3)


# BatchNorm and the head --------------------------------------------------------------------------------------


def moved(session):
    """Names of the base's tensors that changed."""
    return {
        name
        for name, item in session.base.items()
        if not torch.equal(item.detach(), to_torch(session.task.weights.need(name)))
    }


@pytest.mark.parametrize("model", CHAINS)
def test_re_estimated_statistics_are_those_of_the_layers_values_by_batch(digits, model):
    session = Session(digits("reestimated", model, batch=45))
    assert session.train_epochs(0, 3) == []
    fresh = Session(digits("untrained", model, batch=45))
    first = fresh.layers[0]
    values = [
        fresh._layer(0, fresh.train_x[rows].reshape(len(rows), *fresh.in_shapes[0]))
        for rows in fresh.batches[0]
    ]
    over = [axis for axis in range(values[0].dim()) if axis != 1]
    mean = torch.stack([item.mean(over) for item in values]).mean(0)
    variance = torch.stack([item.var(over, unbiased=True) for item in values]).mean(0)
    assert torch.allclose(session.base[first.name + ".mean"], mean, rtol=1e-4, atol=1e-5)
    assert torch.allclose(session.base[first.name + ".variance"], variance, rtol=1e-4, atol=1e-5)
    assert moved(session) == {f"layer{i}.{part}" for i in range(2) for part in ("mean", "variance")}
    assert (fresh.train_epochs(0, 3), moved(fresh)) == ([], set())


def test_re_estimating_recovers_much_of_the_drift_without_labels(digits):
    session = Session(digits("reestimated", batch=45))
    before = session.evaluate().accuracy
    session.begin(no_mark)
    assert session.evaluate().accuracy > before + 0.1


@pytest.mark.parametrize(
    ("method", "keys", "parts"),
    [
        ("lora-all", {"batchnorm": "affine"}, {"gamma", "beta"}),
        ("ft-bias", {"batchnorm": "reestimated+affine"}, {"bias", "gamma", "beta", "mean", "variance"}),
        ("skip2-lora", {"batchnorm": "reestimated"}, {"mean", "variance"}),
        ("lora-all", {"head": "trained"}, set()),
        ("skip2-lora", {"head": "trained"}, set()),
    ],
)
def test_the_keys_train_what_they_say_besides_the_method(digits, method, keys, parts):
    session = Session(digits(method, epochs=10, batch=45, **keys))
    losses = losses_of(session)
    assert sum(losses[-10:]) < sum(losses[:10])
    names = moved(session)
    assert {name.rpartition(".")[2] for name in names if not name.startswith("layer2")} == parts
    assert ({"layer2.weight", "layer2.bias"} <= names) == ("head" in keys)
    facts = session.facts()
    numbers = sum(item.numel() for item in session.trained + session.statistics)
    assert facts["params_trainable"] == numbers and facts["update_b"] == 4 * numbers


@pytest.mark.parametrize(
    "keys", [{"batchnorm": "reestimated"}, {"batchnorm": "reestimated", "head": "trained"}]
)
def test_the_gate_holds_with_new_statistics_below_the_cache(digits, keys):
    assert check(digits("skip2-lora", batch=45, **keys))["passed"]


@pytest.mark.parametrize("method", ["ft-all", "skip2-lora", "reestimated"])
def test_warming_up_and_restarting_leave_the_bases_statistics(digits, method):
    keys = {"epochs": 2, "batch": 45, "batchnorm": "reestimated"}
    session, cold = (Session(digits(method, **keys)) for _ in range(2))
    session.warm_up(3)
    assert moved(session) == set()
    session.hold_start()
    session.train_epochs(0, 2)
    session.restart()
    assert moved(session) == set()
    assert session.train_epochs(0, 2) == cold.train_epochs(0, 2)
    assert all(torch.equal(a, b) for a, b in zip(session.statistics, cold.statistics, strict=True))
