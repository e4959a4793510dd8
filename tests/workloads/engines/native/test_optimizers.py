"""Momentum, AdamW, schedule, clipping, decay and LoRA+ in the kernels, beside torch's own optimizers."""

from __future__ import annotations

import math

import pytest

from tests.workloads.engines.native.conftest import STEPS, assert_same_weights, first_apart
from tunebench.workloads.engines.native import Session
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import counts
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.training import PLAIN, learning_rates

MLP = [
    row.name
    for row in table.METHODS
    if "mlp" in row.models and row.labels and row.gradient != table.FORWARD_ONLY
]
#: at rates that train: steps of AdamW are as long as its rate, whatever the gradient
OPTIMIZERS = {"momentum": {"lr": 0.002}, "adamw": {"lr": 0.003}}
#: every key beside the optimizer, and all at once; a norm of 1 is between those that occur
KEYS = {
    "cosine": {"schedule": "cosine"},
    "clip": {"clip": 1.0},
    "decay": {"weight_decay": 0.1},
    "lora-plus": {"lora_plus": 4.0},
    "all": {"schedule": "cosine", "clip": 1.0, "weight_decay": 0.1, "lora_plus": 4.0},
}


def torch_losses(made, double=False):
    """Losses of all steps by torch.optim, of the torch engine's network and nothing else of that engine."""
    torch = pytest.importorskip("torch")
    from tunebench.workloads.engines.pytorch import chain

    training = made.spec.training
    model = chain.Session(made._replace(spec=made.spec._replace(training=PLAIN)), False)
    if double:
        model.train_x = model.train_x.double()
        model.base = {name: item.detach().double() for name, item in model.base.items()}
        model.adapters = [tuple(item.detach().double() for item in pair) for pair in model.adapters]
        model.trained = [item.requires_grad_(True) for item in model._trained()]
    second = [pair[1] for pair in model.adapters]
    others = [item for item in model.trained if all(item is not other for other in second)]
    groups = [{"params": others}, {"params": second}]
    if training.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=1.0, weight_decay=training.weight_decay)
    else:
        momentum = {"sgd": 0.0, "momentum": 0.9}[training.optimizer]
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=momentum, weight_decay=training.weight_decay)
    rates = iter(learning_rates(training, made.spec.lr, made.spec.epochs * made.steps_per_epoch))
    losses = []
    for rows in (rows for epoch in model.batches for rows in epoch):
        loss = torch.nn.functional.cross_entropy(model.forward(model.train_x[rows]), model.train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        if training.clip is not None:
            torch.nn.utils.clip_grad_norm_(model.trained, training.clip)
        rate = next(rates)
        for group, ratio in zip(optimizer.param_groups, (1.0, training.lora_plus), strict=True):
            group["lr"] = rate * ratio
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, model


@pytest.fixture
def assert_torchs(losses_of):
    """Function (task, libraries): native's losses over 100 steps are those of torch.optim."""

    def check(made, libraries):
        epochs = max(2, -(-STEPS // made.steps_per_epoch))
        made = made._replace(spec=made.spec._replace(epochs=epochs))
        expected, _ = torch_losses(made)
        assert min(expected) < expected[0] - 1e-3
        for library in libraries:
            losses = losses_of(Session(made, library=library), epochs)
            apart = first_apart(losses[:STEPS], expected[:STEPS])
            if apart is not None:  # rounding has opened or closed a ReLU: float64 says for whom
                exact, _ = torch_losses(made, double=True)
                assert first_apart(losses[:STEPS], exact[:STEPS]) is None, (
                    apart,
                    losses[apart],
                    expected[apart],
                )
                assert first_apart(expected[:STEPS], exact[:STEPS]) == apart

    return check


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("method", MLP)
def test_each_method_gives_the_losses_of_torchs_optimizer(method, optimizer, digits, builds, assert_torchs):
    assert_torchs(digits(method, optimizer=optimizer, **OPTIMIZERS[optimizer]), builds.values())


@pytest.mark.parametrize("optimizer", ["sgd", *OPTIMIZERS])
@pytest.mark.parametrize(
    ("method", "keys"),
    [("ft-all-lora", KEYS["all"]), *(("skip2-lora", keys) for keys in KEYS.values())],
    ids=["everything trains", *KEYS],
)
def test_each_key_of_training_gives_the_losses_of_torchs_optimizer(
    method, keys, optimizer, digits, library, assert_torchs
):
    made = digits(method, **{"optimizer": optimizer, **OPTIMIZERS.get(optimizer, {}), **keys})
    assert_torchs(made, [library])


@pytest.mark.parametrize("optimizer", ["sgd", *OPTIMIZERS])
@pytest.mark.parametrize("clip", [None, 0.5])
@pytest.mark.parametrize(
    ("name", "sizes", "rank"), [("ft-all-lora", (7, 13, 5, 3), 3), ("skip2-lora", (33, 16, 17, 2), 5)]
)
def test_any_shape_and_rank_moves_every_weight_as_torch_does(
    name, sizes, rank, clip, optimizer, any_task, builds, losses_of
):
    keys = {"optimizer": optimizer, "clip": clip, "weight_decay": 0.01, "lora_plus": 2.0}
    row = table.method(name)
    made = any_task(row, sizes, 23, rank=rank, batch=5, epochs=4, scale=0.5, lr=0.01, **keys)
    expected, reference = torch_losses(made)
    for library in builds.values():
        ours = Session(made, library=library)
        assert losses_of(ours, 4) == pytest.approx(expected, rel=2e-4, abs=2e-6)
        assert_same_weights(ours, reference, abs=5e-6)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dataset", ["fan-damage2", "har-hapt"])
@pytest.mark.parametrize("method", ["skip2-lora", "lora-all"])
def test_the_losses_on_the_studys_data_are_those_of_torchs_optimizer(
    dataset, method, optimizer, real_task, builds, assert_torchs
):
    made = real_task(dataset, method, optimizer=optimizer, **OPTIMIZERS[optimizer])
    assert_torchs(made, builds.values())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("keys", [{}, KEYS["all"]], ids=["plain", "all"])
def test_a_repeated_fine_tuning_starts_without_a_past(keys, optimizer, digits, library, losses_of):
    made = digits("skip2-lora", epochs=3, optimizer=optimizer, **keys)
    session = Session(made, library=library)
    session.hold_start()
    first = losses_of(session, 3)
    session.restart()
    assert losses_of(session, 3) == first
    assert losses_of(Session(made, library=library), 3) == first
    assert losses_of(session, 1) != first[: made.steps_per_epoch]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_neither_warm_up_nor_cache_nor_cuts_between_epochs_leave_a_trace(optimizer, digits, library):
    made = digits("skip2-lora", epochs=3, optimizer=optimizer, **KEYS["all"])
    warmed, single, plain = (Session(made, cache, library) for cache in (None, None, False))
    warmed.warm_up(3)
    expected = single.train_epochs(0, 3)
    assert [loss for epoch in range(3) for loss in warmed.train_epochs(epoch, 1)] == expected
    assert plain.train_epochs(0, 3) == expected
    assert single.evaluate() == warmed.evaluate() == plain.evaluate()


def test_the_state_is_as_large_as_its_formula(digits, library):
    for method in ("skip2-lora", "ft-all"):
        for optimizer, values in {"sgd": 0, "momentum": 1, "adamw": 2}.items():
            made = digits(method, epochs=2, optimizer=optimizer)
            facts = Session(made, library=library).facts()
            assert facts["optimizer_state_b"] == 4 * values * counts(made.plan).trainable


@pytest.mark.parametrize("keys", [{}, {"weight_decay": 0.1}, {"clip": 1e30}], ids=["plain", "decay", "clip"])
def test_weights_whose_gradient_is_zero_stay_numbers(keys, any_task, library):
    # all inputs are zero: so are the gradients of the first layer's weights, and their moments
    made = any_task(table.method("ft-all"), (8, 8, 3), 12, batch=4, epochs=6, optimizer="adamw", **keys)
    inputs = made.data.tensors["finetune_x"]
    tensors = dict(made.data.tensors, finetune_x=inputs._replace(data=bytes(len(inputs.data))))
    made = made._replace(data=made.data._replace(tensors=tensors))
    session = Session(made, library=library)
    before = session.layer(0)[0]
    assert all(map(math.isfinite, session.train_epochs(0, 6)))
    shrunk = (1 - made.spec.lr * keys.get("weight_decay", 0.0)) ** (6 * made.steps_per_epoch)
    assert session.layer(0)[0].tolist() == pytest.approx([shrunk * value for value in before], rel=1e-5)


def test_a_training_that_diverges_ends_whatever_the_rule(digits, library):
    for keys in ({"optimizer": "momentum"}, {"optimizer": "sgd", "weight_decay": 1e-3}):
        losses = Session(digits("ft-all", lr=1e9, epochs=50, **keys), library=library).train_epochs(0, 50)
        assert len(losses) < 50
        assert not math.isfinite(losses[-1])


@pytest.mark.parametrize(
    ("key", "value"), [("batchnorm", "affine"), ("batchnorm", "reestimated"), ("head", "trained")]
)
def test_what_the_kernels_do_not_do_is_refused_by_name(key, value, digits, library):
    with pytest.raises(
        SpecError, match=f"engine 'native' does not have {key} = '{value}'; engines that do: torch"
    ):
        Session(digits("lora-all", **{key: value}), library=library)
