"""What trains behind a trunk in ONNX Runtime: torch's losses and predictions, an exact cache, bytes as predicted."""

from __future__ import annotations

import numpy as np
import pytest

from tests.workloads.engines.losses import losses_of
from tunebench.workloads.artefact import ArtefactError
from tunebench.workloads.engines.onnxruntime_head import NAME
from tunebench.workloads.models import MODELS, NETWORKS
from tunebench.workloads.run.correctness import check
from tunebench.workloads.tasks.spec import SpecError

pytest.importorskip("onnxruntime", reason="the runtime itself: pip install onnxruntime")

from tunebench.workloads.engines.onnxruntime_head.memory import predict
from tunebench.workloads.engines.onnxruntime_head.session import Session

pytestmark = pytest.mark.torch

CACHED = ["ft-last-cached", "lora-last-cached", "skip2-lora"]
SMALL = ["resnet-small", "squeezenet-small", "mobilenetv2-small"]
OTHERS = [name for name in NETWORKS if MODELS[name].task == "classify" and name not in SMALL]
#: the equivalence that holds between the other engines, too
ABSOLUTE, RELATIVE = 1e-6, 1e-4


def assert_equal_to_torch(made, plain, steps=100):
    from tunebench.workloads.engines.pytorch import networks

    ours, reference = Session(made), networks.Session(plain)
    losses, expected = losses_of(ours), losses_of(reference)
    assert len(losses) == len(expected) == steps
    for step, (a, b) in enumerate(zip(losses, expected, strict=True)):
        assert abs(a - b) <= ABSOLUTE + RELATIVE * abs(b), (step, a, b)
    assert losses[0] != losses[-1]
    assert ours.evaluate() == reference.evaluate()


@pytest.mark.parametrize("model", SMALL)
@pytest.mark.parametrize("method", CACHED)
def test_each_cached_method_gives_torchs_losses_over_100_steps(method, model, on_trunk):
    assert_equal_to_torch(*on_trunk(method, model, epochs=50))


@pytest.mark.slow
@pytest.mark.parametrize("model", OTHERS)
def test_published_networks_give_torchs_losses_and_run_in_8_bits(model, on_trunk):
    for method in CACHED:
        assert_equal_to_torch(*on_trunk(method, model, epochs=4), steps=8)
    session = Session(on_trunk("ft-last-cached", model, "int8-static", epochs=4)[0])
    assert np.isfinite(losses_of(session)).all()
    assert session.agreement()["trunk_max_difference"] > 0


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("skip2-lora", {"optimizer": "momentum", "lr": 0.002, "weight_decay": 0.01}),
        ("ft-last-cached", {"weight_decay": 0.05, "clip": 0.5}),
        (
            "lora-last-cached",
            {
                "optimizer": "adamw", "lr": 0.002, "schedule": "cosine", "clip": 1.0, "weight_decay": 0.05,
                "lora_plus": 4.0,
            },
        ),
        ("skip2-lora", {"skip_grid": "2x2", "alpha": 3.0, "lr": 0.002}),
        ("skip2-lora", {"skip_blocks": 2}),
        ("skip-lora", {}),
    ],
)  # fmt: skip
def test_each_optimizer_and_key_gives_torchs_losses(method, keys, on_trunk):
    assert_equal_to_torch(*on_trunk(method, "resnet-small", epochs=50, **keys))


@pytest.mark.parametrize("method", CACHED)
def test_with_and_without_the_cache_every_loss_is_the_same_bit_for_bit(method, on_trunk):
    made, _ = on_trunk(method, "squeezenet-small", epochs=4)
    cached = Session(made)
    assert losses_of(cached) == losses_of(Session(made, cache=False))
    assert cached.cache_error() == 0.0
    assert cached.facts()["cache_hit_ratio"] == 0.75


def test_the_correctness_gate_holds_and_sees_a_damaged_cache(on_trunk):
    made, _ = on_trunk("skip2-lora", "resnet-small")
    verdict = check(made)
    assert verdict["passed"] and verdict["max_activation_diff"] == 0.0 and verdict["steps"] == 100

    def damaged(session, epoch):
        session.cache[3, 5] += 0.5

    assert not check(made, damaged)["passed"]


def test_a_cache_is_as_large_as_predicted(on_trunk):
    floats = {"ft-last-cached": 64, "lora-last-cached": 64, "skip2-lora": 16 + 2 * 16 + 2 * 32 + 2 * 64 + 4}
    for method, width in floats.items():
        made, _ = on_trunk(method, "resnet-small")
        counted = Session(made).facts()["cache_b"]
        assert counted == predict(made.plan, 6, n_train=12).cache_b == 12 * 4 * width
    # a head of a 1x1 convolution and a mean reads the mean: one value a channel, not a map
    assert Session(on_trunk("ft-last-cached", "squeezenet-small")[0]).facts()["cache_b"] == 12 * 4 * 256
    assert Session(on_trunk("skip-lora", "resnet-small")[0]).facts()["cache_b"] is None


def test_predicted_memory_grows_by_state_and_hardly_by_the_batch(on_trunk):
    plan = on_trunk("skip2-lora", "mobilenetv2-small")[0].plan
    base, large = predict(plan, 20), predict(plan, 200, state_floats=2)
    assert base.weights_b > 2 * 4 * 0.9 * plan.graph.n_params
    assert (base.optimiser_b, large.optimiser_b) == (0, 2 * base.gradients_b)
    assert base.total_b < large.total_b < 1.5 * base.total_b


def test_warming_up_and_starting_again_change_nothing(on_trunk):
    for method, keys in [("ft-last-cached", {}), ("skip2-lora", {"optimizer": "adamw"})]:
        made, _ = on_trunk(method, "resnet-small", epochs=3, **keys)
        warmed, plain = Session(made), Session(made)
        warmed.warm_up(2)
        warmed.hold_start()
        losses = losses_of(warmed)
        assert losses == losses_of(plain)
        warmed.restart()
        assert losses_of(warmed) == losses
        assert warmed.evaluate() == plain.evaluate()


def test_phases_of_a_step_are_marked(on_trunk):
    session, phases = Session(on_trunk("skip2-lora", "resnet-small")[0]), []
    for epoch in range(2):
        session.train_epoch(epoch, phases.append)
    first = ["gather", "cache_fill", "forward", "backward", "update"]
    assert phases == 2 * first + 2 * [phase for phase in first if phase != "cache_fill"]


def test_a_rate_that_is_too_large_diverges_and_says_so(on_trunk):
    session = Session(on_trunk("skip2-lora", "resnet-small", epochs=40, lr=3e38)[0])
    assert not np.isfinite(session.train_epochs(0, 40)[-1])


@pytest.mark.parametrize("numbers", ["int8-static", "float16"])
def test_a_trunk_of_fewer_bits_trains_as_well_and_says_its_agreement_with_float32(numbers, on_trunk):
    exact = Session(on_trunk("skip2-lora", "resnet-small", epochs=20)[0])
    session = Session(on_trunk("skip2-lora", "resnet-small", numbers, epochs=20)[0])
    losses, expected = losses_of(session), losses_of(exact)
    assert losses != expected
    assert losses == pytest.approx(expected, abs=0.1)
    told = session.agreement()
    assert told["trunk_agreement"] >= 0.75
    assert 0 < told["trunk_max_difference"] < 0.5
    assert exact.agreement() == {}
    assert "trunk_agreement" not in session.facts()["metrics"], "the float32 trunk is no part of a timed run"


def test_an_instrumented_run_says_the_agreement(on_trunk):
    made, _ = on_trunk("ft-last-cached", "resnet-small", "int8-static", mode="instrumented")
    assert set(Session(made).facts()["metrics"]) == {
        "predicted_step_b", "trunk_agreement", "trunk_max_difference",
    }  # fmt: skip


def test_what_trains_the_trunk_or_its_batchnorm_is_refused_by_name(small):
    refusals = {
        "ft-all": f"engine '{NAME}' keeps a network's trunk frozen, method 'ft-all' trains it",
        "lorae": "it trains nothing in a trunk",
        "reestimated": "leaves BatchNorm frozen",
        "mezo": "does not estimate slopes without gradients",
    }
    for method, words in refusals.items():
        with pytest.raises(SpecError, match=words):
            Session(small(method, "resnet-small"))
    with pytest.raises(SpecError, match="does not have head = 'trained'"):
        Session(small("skip2-lora", "resnet-small", head="trained"))


def test_weights_that_are_no_trunk_for_the_method_are_told(on_trunk):
    made, plain = on_trunk("ft-last-cached", "resnet-small")
    with pytest.raises(
        ArtefactError, match="an artefact of kind 'weights', engine 'onnxruntime-head' needs a trunk"
    ):
        Session(plain)
    other, _ = on_trunk("skip2-lora", "resnet-small")
    with pytest.raises(
        ArtefactError, match=r"this trunk gives \['pool'\], the method needs \['skip_stem_pool'"
    ):
        Session(other._replace(weights=made.weights))
    file = made.weights.tensors["trunk"]
    torn = {**made.weights.tensors, "trunk": file._replace(data=bytes(file.data)[:-100])}
    with pytest.raises(ArtefactError, match="the runtime cannot load the trunk"):
        Session(made._replace(weights=made.weights._replace(tensors=torn)))
