"""Keys ``batchnorm`` and ``head``, and methods without labels: what a plan trains, changes, counts and refuses."""

from __future__ import annotations

import pytest

from tunebench.workloads.methods import macs, memory, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods.table import UnsupportedMethod
from tunebench.workloads.models import COUNTED, MODELS, counted, graph_of
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.training import BATCHNORMS, HEADS

RESNET = counted("resnet-small")
#: channels of all BatchNorms of resnet-small, worked by hand: 16 + 5 of 16, 5 of 32, 5 of 64 with two shortcuts
NORMED = sum(node.channels_out for node in RESNET.layers if node.norm)
MLP = graph_of("mlp", (256,), 3)


def plan(name, graph=RESNET, rank=4, **keys):
    return plans.plan(table.method(name), graph, rank, **keys)


@pytest.mark.parametrize("name", [row.name for row in table.METHODS if row.labels and "mlp" in row.models])
def test_default_keys_change_no_plan(name):
    assert plan(name, MLP) == plan(name, MLP, batchnorm="frozen", head="method")
    made = plan(name, MLP)
    assert (made.norms, made.statistics, made.objective, made.trains) == ((), (), "labels", True)
    assert plans.counts(made).updated == plans.counts(made).trainable


@pytest.mark.parametrize("name", ["ft-all", "ft-last", "ft-bias", "lorae", "lora-last-cached"])
def test_re_estimated_statistics_are_updated_but_not_trained(name):
    frozen, again = plans.counts(plan(name)), plans.counts(plan(name, batchnorm="reestimated"))
    assert (again.trainable, again.total, again.cache_floats) == (
        frozen.trainable,
        frozen.total,
        frozen.cache_floats,
    )
    assert again.statistics == 2 * NORMED == 1120
    assert again.update_b == frozen.update_b + 4 * again.statistics


# 256-96-96-3: two BatchNorms of 96, head of 96 * 3 + 3
@pytest.mark.parametrize(
    ("name", "keys", "more"),
    [
        ("lora-all", {"batchnorm": "affine"}, 2 * 192),
        ("lora-all", {"head": "trained"}, 291),
        ("lora-all", {"batchnorm": "reestimated+affine", "head": "trained"}, 2 * 192 + 291),
        ("ft-all", {"batchnorm": "affine", "head": "trained"}, 2 * 192),
        ("ft-bias", {"head": "trained"}, 288),
        ("ft-last", {"head": "trained"}, 0),
        ("skip2-lora", {"head": "trained"}, 291),
    ],
)
def test_affine_and_head_train_once_whatever_the_method(name, keys, more):
    before, after = plans.counts(plan(name, MLP)), plans.counts(plan(name, MLP, **keys))
    assert after.trainable - before.trainable == more
    assert after.total == before.total


def test_what_already_trains_with_a_networks_weights_is_not_counted_twice():
    whole = plans.counts(plan("ft-all"))
    assert plans.counts(plan("ft-all", batchnorm="affine", head="trained")) == whole
    biases, affine = plan("ft-bias"), plan("ft-bias", batchnorm="affine")
    assert plans.counts(affine).trainable - plans.counts(biases).trainable == NORMED  # the scales


def test_a_trained_heads_output_is_not_cached():
    made = plan("skip2-lora", MLP, head="trained")
    assert (made.cached_inputs, made.cached_output) == ((1, 2), False)


@pytest.mark.parametrize("name", [row.name for row in table.METHODS if row.cache])
@pytest.mark.parametrize("batchnorm", ["affine", "reestimated+affine"])
def test_a_cache_below_a_batchnorm_that_trains_is_refused_by_name(name, batchnorm):
    with pytest.raises(UnsupportedMethod, match=rf"'{name}' caches .*'affine'.*without a cache: ft-all, "):
        plan(name, MLP, batchnorm=batchnorm)
    assert plan(name, MLP, batchnorm="reestimated").caches


@pytest.mark.parametrize("batchnorm", [value for value in BATCHNORMS if value != "frozen"])
@pytest.mark.parametrize("model", ["squeezenet-small", "squeezenet1.1"])
def test_a_network_without_batchnorm_refuses_the_key(model, batchnorm):
    with pytest.raises(UnsupportedMethod, match=f"'{model}' has no BatchNorm: leave the key out"):
        plan("lorae", counted(model), batchnorm=batchnorm)
    assert plan("lorae", counted(model), head="trained").weights == ("classifier",)


@pytest.mark.parametrize(
    ("name", "graph", "words"),
    [
        ("reestimated", "squeezenet1.1", "has no BatchNorm; for it use one of: .*untrained"),
        ("tent", "squeezenet-small", "has no BatchNorm"),
        ("tent", "detector-small", "no entropy to minimise; for it use one of: .*reestimated"),
        ("tent", "yolov8n", "no entropy to minimise"),
    ],
)
def test_a_control_is_refused_where_it_has_no_meaning(name, graph, words):
    with pytest.raises(UnsupportedMethod, match=words):
        plan(name, counted(graph))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("untrained", {"batchnorm": "reestimated"}),
        ("untrained", {"batchnorm": "affine"}),
        ("untrained", {"head": "trained"}),
        ("reestimated", {"batchnorm": "affine"}),
        ("reestimated", {"batchnorm": "reestimated+affine"}),
        ("reestimated", {"head": "trained"}),
        ("tent", {"batchnorm": "reestimated"}),
        ("tent", {"head": "trained"}),
    ],
)
def test_a_control_stays_what_it_is_called(name, keys):
    with pytest.raises(UnsupportedMethod, match=f"method '{name}' .*leave it out"):
        plan(name, **keys)


def test_a_key_that_says_what_a_control_does_anyway_is_taken():
    assert plan("reestimated", batchnorm="reestimated") == plan("reestimated")
    assert plan("tent", batchnorm="reestimated+affine") == plan("tent")


def test_controls_train_and_change_what_their_rows_say():
    nothing, again, tent = plan("untrained"), plan("reestimated"), plan("tent")
    assert (nothing.trains, again.trains, tent.trains) == (False, False, True)
    assert plans.counts(nothing)[1:3] == (0, 0) and plans.changed_names(nothing) == ()
    assert plans.counts(again)[1:3] == (0, 4 * 2 * NORMED)
    assert plans.counts(tent).trainable == plans.counts(tent).statistics == 2 * NORMED
    assert {name.rpartition(".")[2] for name in plans.changed_names(again)} == {"mean", "variance"}
    assert {name.rpartition(".")[2] for name in plans.changed_names(tent)} == {
        "mean",
        "variance",
        "gamma",
        "beta",
    }


def test_every_model_has_its_untrained_row():
    assert all(table.supports("untrained", model) for model in MODELS)
    assert all(plans.counts(plan("untrained", counted(name))).updated == 0 for name in COUNTED)


@pytest.mark.parametrize("method", [row.name for row in table.METHODS])
@pytest.mark.parametrize("batchnorm", BATCHNORMS)
@pytest.mark.parametrize("head", HEADS)
def test_an_update_holds_what_is_counted_in_every_form_and_with_every_key(method, batchnorm, head):
    try:
        made = plan(method, batchnorm=batchnorm, head=head)
    except UnsupportedMethod:
        return
    shapes = plans.update_shapes(made, "adapter" if made.adapters else "delta")
    counts = plans.counts(made)
    # who receives an adapter cannot know its extractor, also where it was drawn and never trained
    drawn = sum(plans.product(adapter.extractor) for adapter in made.adapters) * made.frozen_extractors
    assert sum(plans.product(shape) for shape in shapes.values()) == counts.updated + drawn
    assert counts.updated == counts.update_b // 4
    assert set(plans.own_names(made)) <= set(plans.changed_names(made))


def test_a_step_that_trains_nothing_needs_no_memory_and_re_estimating_runs_forward_alone():
    nothing, again, full = (memory.predict(plan(name), 10) for name in ("untrained", "reestimated", "ft-all"))
    assert (nothing.step_b, nothing.saved_b, nothing.gradients_b) == (0, 0, 0)
    assert (again.saved_b, again.gradients_b) == (0, 0)
    assert 0 < again.step_b < 0.5 * full.step_b
    assert nothing.weights_b == again.weights_b == full.weights_b


def test_statistics_add_nothing_to_a_step_and_affine_reaches_the_first_layer():
    plain, again, affine = (
        memory.predict(plan("ft-last", batchnorm=value), 10) for value in ("frozen", "reestimated", "affine")
    )
    assert again == plain
    assert affine.saved_b > 5 * plain.saved_b
    assert affine.gradients_b == plain.gradients_b + 4 * 2 * NORMED


def test_re_estimating_costs_one_forward_pass_over_the_set():
    base = macs.forward_madds(plan("untrained")).base
    nothing = macs.of_training(plan("untrained"), 12, 3, 6)
    assert not any(nothing.values())
    assert macs.of_training(plan("reestimated"), 12, 3, 6) == {**nothing, "reestimate": 12 * base}
    plain, again = (
        macs.of_training(plan("lorae", batchnorm=value), 12, 3, 6) for value in ("frozen", "reestimated")
    )
    assert again == {**plain, "reestimate": 12 * base}


def test_one_sample_has_no_variance(digits):
    for keys in ({"batchnorm": "reestimated"}, {"batchnorm": "reestimated+affine"}):
        with pytest.raises(SpecError, match=r"batch is 1: re-estimating .* batches of 2 samples or more"):
            digits("ft-all", batch=1, **keys)
    assert digits("ft-all", batch=1, batchnorm="affine").plan.norms
