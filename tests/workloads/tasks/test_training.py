"""Keys of training: what is allowed, their defaults, and the learning rate of every step."""

from __future__ import annotations

import math

import pytest

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import table
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.training import PLAIN, Training, TrainingError, learning_rates, parse_training


def test_what_is_left_out_is_plain_sgd_with_batchnorm_frozen():
    made = spec.parse({"method": "ft-all"})
    assert made.training == PLAIN == Training("sgd", "constant", None, 0.0, "frozen", "method", 1.0)
    assert (made.alpha, made.scale, PLAIN.changed, PLAIN.state_floats) == (None, 1.0, (), 0)


def test_keys_are_read_and_those_that_differ_from_the_default_are_named_in_order():
    made = parse_training(
        {
            "lora_plus": 4,
            "clip": 1,
            "optimizer": "adamw",
            "schedule": "cosine",
            "weight_decay": 0,
            "head": "method",
        }
    )
    assert made == Training(optimizer="adamw", schedule="cosine", clip=1.0, lora_plus=4.0)
    assert made.changed == ("optimizer", "schedule", "clip", "lora_plus")
    assert isinstance(made.clip, float) and made.state_floats == 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"optimizer": "adam"}, r"workload\.optimizer is 'adam', allowed: sgd, momentum, adamw"),
        ({"optimizer": None}, r"workload\.optimizer is None"),
        ({"schedule": "linear"}, r"workload\.schedule is 'linear', allowed: constant, cosine"),
        ({"clip": 0}, r"workload\.clip is 0, expected a number above 0"),
        ({"clip": True}, r"workload\.clip is True"),
        ({"clip": float("inf")}, r"workload\.clip is inf"),
        ({"weight_decay": -0.1}, r"workload\.weight_decay is -0.1, expected a number, 0 or more"),
        ({"weight_decay": float("nan")}, r"workload\.weight_decay is nan"),
        ({"batchnorm": "train"}, r"allowed: frozen, reestimated, affine, reestimated\+affine"),
        ({"head": "frozen"}, r"workload\.head is 'frozen', allowed: method, trained"),
        ({"lora_plus": 0}, r"workload\.lora_plus is 0, expected a number above 0"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_allowed(keys, message):
    with pytest.raises(TrainingError, match=message):
        spec.parse({"method": "ft-all", **keys})


def test_alpha_over_rank_is_the_scale():
    assert spec.parse({"method": "lora-all", "alpha": 8, "rank": 16}).scale == 0.5
    assert spec.parse({"method": "lora-all", "alpha": 8}).scale == 2.0  # the default rank is 4
    with pytest.raises(SpecError, match="exclude each other: scale is alpha / rank"):
        spec.parse({"method": "lora-all", "alpha": 8, "scale": 1.0})
    with pytest.raises(SpecError, match=r"workload\.alpha is 0, expected a number above 0"):
        spec.parse({"method": "lora-all", "alpha": 0})


@pytest.mark.parametrize("keys", [{"alpha": 8}, {"lora_plus": 4.0}])
def test_settings_of_adapters_are_refused_for_a_method_without_any(digits, keys):
    (key,) = keys
    for row in table.METHODS:
        if "mlp" in row.models and row.adapters == table.NONE:
            with pytest.raises(
                SpecError, match=f"workload.{key} is about adapters, method '{row.name}' has none"
            ):
                digits(row.name, **keys)
        elif "mlp" in row.models and table.honours(row, key):
            assert digits(row.name, **keys).plan.adapters
    with pytest.raises(WorkloadError, match=r"methods with adapters: lora-last, lorae$"):
        digits("ft-all", "cnn", **keys)


def test_a_constant_rate_is_the_same_number_in_every_step():
    assert learning_rates(PLAIN, 0.02, 5) == [0.02] * 5
    assert learning_rates(PLAIN, 0.02, 0) == []


def test_the_cosine_rises_over_a_twentieth_of_the_steps_and_falls_to_nothing():
    rates = learning_rates(Training(schedule="cosine"), 0.1, 100)
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[5] == 0.1 == max(rates)
    falling = rates[5:]
    assert falling == sorted(falling, reverse=True)
    # Half of a cosine: at a third of its way three quarters, at half of it the half.
    assert rates[5 + 95 // 2] == pytest.approx(0.05, abs=1e-3)
    assert rates[-1] == pytest.approx(0.05 * (1 + math.cos(math.pi * 94 / 95)))
    assert 0 < rates[-1] < 1e-4


@pytest.mark.parametrize("steps", [1, 2, 3, 19, 20, 39, 40, 10_000])
def test_every_number_of_steps_has_its_rates(steps):
    rates = learning_rates(Training(schedule="cosine"), 0.1, steps)
    assert len(rates) == steps and all(0 < rate <= 0.1 for rate in rates)
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == max(1, steps // 20) - 1


@pytest.mark.parametrize(
    "key", [{"optimizer": "adamw"}, {"schedule": "cosine"}, {"clip": 1.0}, {"weight_decay": 0.1}]
)
def test_settings_of_steps_are_refused_for_a_method_without_any(digits, key):
    (name,) = key
    words = f"workload.{name} is about steps, method 'untrained' has none; methods with steps: ft-all, "
    with pytest.raises(SpecError, match=words):
        digits("untrained", **key)
