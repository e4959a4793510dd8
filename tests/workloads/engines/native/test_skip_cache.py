"""The skip-cache: exact, as large as its formula, and what its options give up."""

from __future__ import annotations

import struct

import pytest

from tunebench.workloads.engines.native import Session
from tunebench.workloads.methods import table
from tunebench.workloads.tasks.spec import SpecError


def accuracy(session, epochs):
    session.train_epochs(0, epochs)
    return session.evaluate().accuracy


@pytest.mark.parametrize("method", ["skip2-lora", "lora-last-cached", "ft-last-cached"])
def test_with_and_without_the_cache_every_loss_is_the_same_bit_for_bit(method, digits, builds, losses_of):
    for library in builds.values():
        made = digits(method, epochs=3)
        cached, plain = Session(made, library=library), Session(made, False, library)
        assert losses_of(cached, 3) == losses_of(plain, 3)
        assert cached.cache_error() == 0.0
        assert plain.cache_error() is None


def test_the_cache_is_as_large_as_the_formula_says(digits, library, any_task):
    made = digits("skip2-lora", epochs=2)
    facts = Session(made, library=library).facts()
    assert facts["cache_b"] == made.n_train * 4 * (96 + 96 + 10)
    fan = any_task(table.method("skip2-lora"), (256, 96, 96, 3), 470)
    assert Session(fan, library=library).facts()["cache_b"] == 470 * 4 * 195
    har = any_task(table.method("skip2-lora"), (561, 96, 96, 6), 40)
    assert Session(har, library=library).facts()["cache_b"] == 40 * 4 * 198
    half = har._replace(spec=har.spec._replace(params={"cache_dtype": "float16"}))
    assert Session(half, library=library).facts()["cache_b"] == 40 * 2 * 198


def test_the_cache_is_filled_once_and_always_hit_thereafter(digits, library):
    session = Session(digits("skip2-lora", epochs=4), library=library)
    session.train_epochs(0, 1)
    first = session.facts()
    session.train_epochs(1, 3)
    facts = session.facts()
    assert (first["cache_hit_ratio"], facts["cache_hit_ratio"]) == (0.0, 0.75)
    assert facts["metrics"]["cache_kept_samples"] == session.task.n_train
    assert facts["metrics"]["cache_fill_s"] == first["metrics"]["cache_fill_s"] > 0
    assert facts["metrics"]["cache_recompute_s"] == 0.0


def test_within_a_budget_the_rest_is_recomputed_and_nothing_changes(digits, library, losses_of):
    made = digits("skip2-lora", epochs=4)
    row_b = 4 * (96 + 96 + 10)
    few = made._replace(spec=made.spec._replace(params={"cache_budget_b": 100 * row_b + row_b - 1}))
    session = Session(few, library=library)
    assert losses_of(session, 4) == losses_of(Session(made, library=library), 4)
    facts = session.facts()
    assert facts["cache_b"] == 100 * row_b
    assert facts["metrics"]["cache_kept_samples"] == 100
    assert facts["cache_hit_ratio"] == pytest.approx(3 * 100 / (4 * made.n_train))
    assert facts["metrics"]["cache_recompute_s"] > 0
    assert session.cache_error() == 0.0


def test_a_budget_that_is_more_than_enough_takes_no_more_than_it_needs(digits, library):
    made = digits("skip2-lora", epochs=1, params={"cache_budget_b": 10**9})
    assert Session(made, library=library).facts()["cache_b"] == made.n_train * 4 * 202


def test_float16_halves_the_cache_and_costs_two_tenths_of_a_point_at_most(digits, library):
    exact, half = digits("skip2-lora"), digits("skip2-lora", params={"cache_dtype": "float16"})
    exact_session, half_session = Session(exact, library=library), Session(half, library=library)
    assert 2 * half_session.facts()["cache_b"] == exact_session.facts()["cache_b"]
    epochs = exact.spec.epochs
    assert accuracy(half_session, epochs) == pytest.approx(accuracy(exact_session, epochs), abs=0.002)
    assert half_session.cache_error() == 0.0  # what is kept is the rounded value, exactly


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("dataset", ["fan-damage1", "har-hapt"])
def test_float16_costs_two_tenths_of_a_point_at_most_on_the_studys_data(dataset, real_task, library):
    exact = Session(real_task(dataset, "skip2-lora"), library=library)
    half = Session(real_task(dataset, "skip2-lora", params={"cache_dtype": "float16"}), library=library)
    epochs = exact.task.spec.epochs
    assert accuracy(half, epochs) >= accuracy(exact, epochs) - 0.002


def test_float16_rounds_as_ieee_754_says(any_task, library):
    # a model whose first layer is the identity: the cache of the second layer's input holds the inputs
    values = [
        0.0,
        1.0,
        1 / 3,
        65504.0,
        1e-5,
        6e-8,
        2.9e-8,
        3.1e-8,
        1e-9,
        0.1,
        2049.0,
        2051.0,
        1.00048828125,
        7e4,
        2e-5,
    ]
    made = any_task(
        table.method("skip2-lora"), (1, 1, 2), len(values), batch=1, params={"cache_dtype": "float16"}
    )
    identity = {
        "layer0.weight": 1.0,
        "layer0.bias": 0.0,
        "layer0.gamma": (1 + 1e-5) ** 0.5,
        "layer0.beta": 0.0,
    }
    from tunebench.workloads import artefact

    tensors = dict(made.weights.tensors)
    for name, value in {**identity, "layer0.mean": 0.0, "layer0.variance": 1.0}.items():
        tensors[name] = artefact.tensor("float32", tensors[name].shape, [value])
    data = dict(made.data.tensors, finetune_x=artefact.tensor("float32", (len(values), 1), values))
    made = made._replace(
        data=made.data._replace(tensors=data), weights=made.weights._replace(tensors=tensors)
    )
    session = Session(made, library=library)
    session.train_epochs(0, 1)
    for row, value in enumerate(made.data.tensors["finetune_x"].array()):
        held = session.cached_row(row)[0]
        try:
            expected = struct.unpack("<e", struct.pack("<e", value))[0]
        except OverflowError:
            expected = float("inf")
        assert held == expected, value


def test_damage_in_the_cache_is_seen(digits, library):
    made = digits("skip2-lora", epochs=2)
    session = Session(made, library=library)
    session.train_epochs(0, 1)
    assert session.cache_error() == 0.0
    # other base weights: what was cached is no longer what they compute
    weight, bias = session.layer(0)
    weight[5] += 0.5
    session.set_layer(0, weight, bias)
    assert session.cache_error() > 1e-3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"cache_budget_b": 807}, "cache_budget_b is 807, one cached sample takes 808 bytes"),
        ({"cache_budget_b": 403, "cache_dtype": "float16"}, "one cached sample takes 404 bytes"),
        ({"cache_budget_b": 0}, "cache_budget_b is 0, expected a number of bytes"),
        ({"cache_budget_b": "1k"}, "cache_budget_b is '1k'"),
        ({"cache_dtype": "int8"}, "cache_dtype is 'int8', allowed: float16, float32"),
    ],
)
def test_options_that_cannot_be_are_refused(params, message, digits, library):
    with pytest.raises(SpecError, match=message):
        Session(digits("skip2-lora", params=params), library=library)
