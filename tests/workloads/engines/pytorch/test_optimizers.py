"""Optimizers written out in place do what torch's own do, over 100 steps; state, restart, warm-up, the cache's gate."""

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch", reason="the torch engine needs torch")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tunebench.workloads.engines import load_engine  # noqa: E402
from tunebench.workloads.engines.pytorch.optimizers import clip_norm, make_optimizer  # noqa: E402
from tunebench.workloads.engines.session import no_mark  # noqa: E402
from tunebench.workloads.methods import memory, table  # noqa: E402
from tunebench.workloads.run.correctness import check  # noqa: E402
from tunebench.workloads.tasks.training import PLAIN, Training, learning_rates  # noqa: E402

pytestmark = pytest.mark.torch

STEPS = 100
FULL = {"schedule": "cosine", "clip": 1.0, "weight_decay": 0.02}
#: Each optimizer alone and with all that goes with it, at a rate of its own.
TRAININGS = [
    {"optimizer": "sgd", "lr": 0.02},
    {"optimizer": "sgd", "lr": 0.05, **FULL},
    {"optimizer": "momentum", "lr": 0.01},
    {"optimizer": "momentum", "lr": 0.02, **FULL},
    {"optimizer": "adamw", "lr": 0.002},
    {"optimizer": "adamw", "lr": 0.005, **FULL},
]
NAMES = [f"{keys['optimizer']}{'-all' if 'clip' in keys else ''}" for keys in TRAININGS]
MLP = [name for name in table.methods_of("mlp") if table.method(name).labels and name != "mezo"]


def with_keys(make, method, model="mlp", **keys):
    """Return a task of at least 100 steps, with LoRA+ where the method has adapters."""
    adapts = table.honours(table.method(method), "lora_plus")
    return make(method, model, **({"lora_plus": 4.0} if adapts and "clip" in keys else {}), **keys)


def session_of(task, **options):
    return load_engine("torch", task.spec.model).Session(task, **options)


class _Torch:
    """Torch's own optimizer in place of ours: AdamW or SGD, clip_grad_norm_, LambdaLR, a group for each rate."""

    def __init__(self, session):
        spec, training = session.task.spec, session.task.spec.training
        ratios = session.optimizer.ratios
        groups = [
            {"params": [item], "lr": spec.lr * ratio}
            for item, ratio in zip(session.trained, ratios, strict=True)
        ]
        decay = training.weight_decay
        if training.optimizer == "adamw":
            self.inner = torch.optim.AdamW(groups, weight_decay=decay)
        else:
            momentum = 0.9 if training.optimizer == "momentum" else 0.0
            self.inner = torch.optim.SGD(groups, lr=spec.lr, momentum=momentum, weight_decay=decay)
        rates = [*learning_rates(training, 1.0, spec.epochs * session.steps_per_epoch()), 0.0]
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.inner, lambda step: rates[step])
        self.trained, self.clip = session.trained, training.clip
        self.state_b = self.steps = 0

    def step(self, gradients, lr):
        for item, gradient in zip(self.trained, gradients, strict=True):
            item.grad = gradient
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.trained, self.clip)
        self.inner.step()
        self.schedule.step()


def losses_by_torch(task, **options):
    session = session_of(task, **options)
    session.optimizer = _Torch(session)
    return losses_of(session)


@pytest.mark.parametrize("keys", TRAININGS, ids=NAMES)
@pytest.mark.parametrize("method", MLP)
def test_a_hundred_steps_have_the_losses_of_torchs_own_optimizer(digits, method, keys):
    task = with_keys(digits, method, epochs=5, **keys)
    ours, theirs = losses_of(session_of(task)), losses_by_torch(task)
    assert len(ours) == 115 >= STEPS
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    assert sum(ours[-23:]) < sum(ours[:23])


@pytest.mark.parametrize("keys", TRAININGS[1::2], ids=NAMES[1::2])
@pytest.mark.parametrize("method", ["ft-all", "lorae"])
def test_a_network_trains_as_with_torchs_own_optimizer(small, method, keys):
    task = with_keys(small, method, "resnet-small", epochs=10, **keys)
    assert losses_of(session_of(task)) == pytest.approx(losses_by_torch(task), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("model", ["mlp", "resnet-small"])
def test_the_defaults_are_bit_for_bit_a_loop_of_in_place_descent(digits, small, model):
    task = (digits if model == "mlp" else small)("ft-all", model, epochs=2, optimizer="sgd", clip=None)
    assert task.spec.training == PLAIN

    class Loop:
        state_b = 0

        def step(self, gradients, lr):
            with torch.no_grad():
                for item, gradient in zip(by_hand.trained, gradients, strict=True):
                    item.add_(gradient, alpha=-task.spec.lr)

    by_hand = session_of(task)
    by_hand.optimizer = Loop()
    assert losses_of(session_of(task)) == losses_of(by_hand)


@pytest.mark.parametrize("keys", TRAININGS, ids=NAMES)
@pytest.mark.parametrize(
    ("method", "model"), [("ft-all-lora", "mlp"), ("skip2-lora", "mlp"), ("lorae", "resnet-small")]
)
def test_restarting_and_warming_up_leave_nothing_behind(digits, small, method, model, keys):
    task = with_keys(digits if model == "mlp" else small, method, model, epochs=2, **keys)
    cold, warm = session_of(task), session_of(task)
    expected = losses_of(cold)
    warm.warm_up(3)
    warm.hold_start()
    assert warm.optimizer.steps == 0
    assert all(not item.any() for quantity in warm.optimizer.state for item in quantity)
    assert losses_of(warm) == expected
    warm.restart()
    assert losses_of(warm) == expected


@pytest.mark.parametrize("keys", TRAININGS[1:], ids=NAMES[1:])
@pytest.mark.parametrize("method", [name for name in MLP if table.method(name).cache])
def test_the_gate_of_the_cache_holds_with_every_optimizer(digits, method, keys):
    gate = check(with_keys(digits, method, **keys))
    assert gate["passed"], gate
    assert gate["max_activation_diff"] <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("keys", TRAININGS[1::2], ids=NAMES[1::2])
def test_the_gate_holds_for_a_cached_head_of_a_network(small, keys):
    assert check(with_keys(small, "lora-last-cached", "resnet-small", **keys))["passed"]


@pytest.mark.parametrize(("optimizer", "floats"), [("sgd", 0), ("momentum", 1), ("adamw", 2)])
@pytest.mark.parametrize(
    ("method", "model"), [("skip2-lora", "mlp"), ("ft-all", "mlp"), ("lorae", "resnet-small")]
)
def test_the_state_that_is_predicted_is_the_state_that_is_held(
    digits, small, method, model, optimizer, floats
):
    task = (digits if model == "mlp" else small)(method, model, optimizer=optimizer, lr=0.001)
    session = session_of(task)
    losses_of(session, 1)
    held_b = session.facts()["optimizer_state_b"]
    assert held_b == 4 * floats * sum(item.numel() for item in session.trained)
    assert held_b == memory.predict(task.plan, 6, state_floats=task.spec.training.state_floats).optimiser_b
    assert held_b == sum(item.untyped_storage().nbytes() for part in session.optimizer.state for item in part)


MODELS = ("mlp", "cnn", "resnet-small", "detector-small")
STEPPING = [row for row in table.METHODS if table.honours(row, "optimizer")]
ALL_ELSE = {"batchnorm": "affine", "head": "trained"}
CASES = [(row.name, model, {}) for row in STEPPING for model in MODELS if model in row.models]
CASES += [
    (row.name, model, ALL_ELSE)
    for row in STEPPING
    for model in MODELS
    if model in row.models and row.labels and not row.cache
]


@pytest.mark.parametrize(("method", "model", "keys"), CASES)
def test_gradients_may_be_overwritten_since_none_shares_memory(
    digits, small, method, model, keys, monkeypatch
):
    session = session_of((small if "small" in model else digits)(method, model, **keys))
    seen = []
    monkeypatch.setattr(session.optimizer, "step", lambda gradients, lr: seen.extend(gradients))
    session.step(session.batches[0][0], no_mark)
    assert len(seen) == len(session.trained)
    starts = sorted((item.data_ptr(), item.numel() * 4) for item in seen)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(starts))
    assert all(item.is_contiguous() for item in seen)


def test_gradients_are_clipped_together_by_their_common_norm():
    gradients = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    clip_norm(gradients, 1.0)
    assert gradients[0].tolist() == pytest.approx([0.6, 0.0]) and gradients[1].item() == pytest.approx(0.8)
    kept = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    clip_norm(kept, 5.1)
    assert kept[0].tolist() == [3.0, 0.0] and kept[1].item() == 4.0


def test_a_norm_that_is_not_finite_does_not_pass_unseen():
    gradients = [torch.tensor([float("inf")]), torch.tensor([1.0])]
    clip_norm(gradients, 1.0)
    assert torch.isnan(gradients[0]).all()


def test_the_adapters_b_alone_takes_lora_pluss_rate():
    a, b = torch.zeros(1), torch.zeros(1)
    optimizer = make_optimizer(Training(lora_plus=16.0), [a, b], [b])
    optimizer.step([torch.ones(1), torch.ones(1)], 0.01)
    assert (a.item(), b.item()) == pytest.approx((-0.01, -0.16))


def test_a_warm_up_longer_than_the_schedule_stays_at_its_last_rate(digits):
    session = session_of(digits("ft-all", epochs=1, schedule="cosine"))
    losses_of(session)
    session.train_epoch(0, no_mark)
    assert session.steps == 46 and len(session.rates) == 23
