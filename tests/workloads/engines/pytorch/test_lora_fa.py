"""LoRA-FA on torch: plain autograd's losses with A frozen, no layer's input kept, the peak that was predicted."""

from __future__ import annotations

import weakref

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tests.workloads.engines.losses import losses_of  # noqa: E402
from tests.workloads.engines.pytorch.networks.test_checkpointing import peak_b  # noqa: E402
from tunebench.workloads import engines  # noqa: E402
from tunebench.workloads.engines.pytorch import chain  # noqa: E402
from tunebench.workloads.engines.pytorch.networks import Session  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.adapter import AdapterError  # noqa: E402
from tunebench.workloads.engines.pytorch.networks.wrapping import Rule, adapters, wrap  # noqa: E402
from tunebench.workloads.methods import memory  # noqa: E402
from tunebench.workloads.tasks.spec import SpecError  # noqa: E402

pytestmark = pytest.mark.torch
#: BatchNorm and ReLU; depthwise and ReLU6; none and pooling; a transposed convolution and maps; SiLU and boxes
MODELS = [
    "resnet-small", "mobilenetv2-small",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("squeezenet-small", "unet-small", "detector-small")),
]  # fmt: skip


def plain_autograd(task):
    """A session of lora-all whose extractors are taken out of what trains: torch's own layers and rules throughout."""
    session = Session(task)
    for layer in adapters(session.model):
        layer.extractor.requires_grad_(False)
    mappers = [layer.mapper for layer in adapters(session.model)]
    own = [item for item in session.trained if item.requires_grad and not any(item is one for one in mappers)]
    session.will_train(own + mappers, mappers)
    return session


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "keys", [{}, {"head": "trained", "optimizer": "adamw", "clip": 1.0, "lr": 0.003}], ids=["sgd", "adamw"]
)
def test_losses_are_those_of_plain_autograd_with_a_frozen(small, model, keys):
    lean, plain = Session(small("lora-fa", model, **keys)), plain_autograd(small("lora-all", model, **keys))
    assert sum(item.numel() for item in lean.trained) == sum(item.numel() for item in plain.trained)
    assert losses_of(lean) == pytest.approx(losses_of(plain), rel=1e-4)


def test_the_scale_and_batchnorm_of_a_workload_reach_it(small):
    keys = {"scale": 0.5, "batchnorm": "reestimated+affine", "rank": 2}
    lean = Session(small("lora-fa", "resnet-small", **keys))
    plain = plain_autograd(small("lora-all", "resnet-small", **keys))
    assert losses_of(lean) == pytest.approx(losses_of(plain), rel=1e-4)


def test_losses_of_a_chain_are_those_of_plain_autograd_with_a_frozen(digits):
    keys = {"epochs": 2, "optimizer": "momentum"}
    lean, plain = chain.Session(digits("lora-fa", **keys)), chain.Session(digits("lora-all", **keys))
    mappers = [second for _, second in plain.adapters]
    for first, _ in plain.adapters:
        first.requires_grad_(False)
    plain.will_train(mappers, mappers)
    start = [first.clone() for first, _ in lean.adapters]
    assert losses_of(lean) == pytest.approx(losses_of(plain), rel=1e-5)
    assert all(torch.equal(before, first) for before, (first, _) in zip(start, lean.adapters, strict=True))


def inputs_alive(session):
    """How many adapted convolutions' inputs live when the forward pass is done, and how many there were."""
    seen = []

    def note(layer, given):
        if given[0].dim() == 4:
            seen.append(weakref.ref(given[0].untyped_storage()))

    for layer in adapters(session.model):
        layer.register_forward_pre_hook(note)
    rows = session.batches[0][0]
    loss = session.goal.loss(session.model(session._batch(rows)), rows)
    alive = sum(storage() is not None for storage in seen)
    del loss
    return alive, len(seen)


@pytest.mark.parametrize("model", MODELS[:2])
def test_no_input_of_an_adapted_convolution_outlives_the_forward_pass(small, model):
    lean, layers = inputs_alive(Session(small("lora-fa", model)))
    usual, _ = inputs_alive(Session(small("lora-all", model)))
    assert layers > 10
    assert (lean, usual) == (0, layers)


@pytest.mark.parametrize("model", MODELS)
def test_the_peak_is_that_predicted_and_far_below_lora_alls(small, model):
    lean, usual = (Session(small(name, model, epochs=1)) for name in ("lora-fa", "lora-all"))
    measured = [peak_b(session) for session in (lean, usual)]
    assert memory.predict(lean.plan, 6).step_b == pytest.approx(measured[0], rel=0.1)
    assert measured[0] < 0.65 * measured[1]


def test_checkpoints_give_the_same_losses(small):
    plain, again = (Session(small("lora-fa", "mobilenetv2-small", checkpoint=flag)) for flag in (False, True))
    assert losses_of(again) == losses_of(plain)


def test_the_rate_of_b_over_that_of_a_is_refused(small):
    with pytest.raises(
        SpecError, match=r"lora_plus is the rate of B over that of A, method 'lora-fa' trains B alone"
    ):
        small("lora-fa", "resnet-small", lora_plus=2.0)


def test_a_rule_may_freeze_extractors_of_any_model():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 1))
    done = wrap(model, Rule(rank=2, frozen_extractors=True), example=torch.rand(1, 3, 8, 8))
    assert done.trained == ("0.mapper", "2.mapper")
    with pytest.raises(AdapterError, match="rank is 0"):
        wrap(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), Rule(rank=0, frozen_extractors=True))


def test_an_engine_that_would_train_a_is_not_given_it(small, monkeypatch):
    plan = small("lora-fa", "resnet-small").plan
    engines.check_plan("torch", "lora-fa", plan)
    monkeypatch.setitem(
        engines.ENGINES, "other", engines.ENGINES["torch"]._replace(abilities=("checkpoint",))
    )
    with pytest.raises(
        SpecError, match=r"'other' does not train adapters' B alone, as method 'lora-fa' is to"
    ):
        engines.check_plan("other", "lora-fa", plan)
