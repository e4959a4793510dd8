"""Memory of a training step: the prediction keeps what autograd keeps, and the watch sees what is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunebench.workloads.marks.peak_memory import Watch
from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.models import counted

MODELS = ("unet-small", "resnet-small", "squeezenet-small", "mobilenetv2-small", "detector-small", "mobilenetv2",
          "efficientnet-lite0", "shufflenetv2-small", "mobilenetv3-tiny", "efficientnet-small")  # fmt: skip


def plan_of(model, method, rank=4):
    return plans.plan(table.method(method), counted(model), rank)


def kept_b(session, rows):
    """Bytes that autograd holds between forward and backward, each storage once, parameters left out."""
    import torch

    own = {
        item.untyped_storage().data_ptr() for item in (*session.model.parameters(), *session.model.buffers())
    }
    seen = {}

    def note(item):
        storage = item.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return item

    with torch.autograd.graph.saved_tensors_hooks(note, lambda item: item):
        loss = session.goal.loss(session.model(session._batch(rows)), rows)
    del loss
    return sum(seen.values())


@pytest.mark.torch
@pytest.mark.parametrize(
    "method", ["ft-all", "ft-last", "ft-bias", "lora-last", "lora-all", "lora-fa", "lorae"]
)
@pytest.mark.parametrize("model", ["unet-small", "resnet-small", "detector-small"])
def test_autograd_keeps_what_was_predicted(small, model, method):
    session_of = pytest.importorskip("tunebench.workloads.engines.pytorch.networks").Session
    session = session_of(small(method, model))
    rows = session.batches[0][0]
    predicted_b = memory.predict(session.plan, len(rows)).saved_b
    assert kept_b(session, rows) == pytest.approx(
        predicted_b, rel=0.15 if model == "detector-small" else 0.03
    )


@pytest.mark.torch
@pytest.mark.parametrize(
    "model",
    ["squeezenet-small", "mobilenetv2-small", "mobilenetv2", "efficientnet-lite0", "shufflenetv2-small",
     "mobilenetv3-tiny", "efficientnet-small"],
)  # fmt: skip
def test_autograd_keeps_what_was_predicted_of_every_kind_of_layer(small, model):
    session_of = pytest.importorskip("tunebench.workloads.engines.pytorch.networks").Session
    session = session_of(small("lorae", model))
    rows = session.batches[0][0]
    predicted_b = memory.predict(session.plan, len(rows)).saved_b
    assert kept_b(session, rows) == pytest.approx(predicted_b, rel=0.03)


@pytest.mark.parametrize("model", MODELS)
def test_methods_that_train_the_head_only_need_least(model):
    step_b = {name: memory.predict(plan_of(model, name), 10).step_b for name in table.methods_of(model)}
    assert step_b["ft-last"] < 0.5 * step_b["ft-all"]
    assert step_b["lora-last-cached"] <= step_b["lora-last"]
    assert 0.95 < step_b["lorae"] / step_b["ft-all"] < 1.2  # the extractor saves the same inputs
    assert step_b["lora-fa"] < 0.7 * step_b["lora-all"]  # no layer's input is kept
    assert 0.9 < step_b["ft-bias"] / step_b["ft-all"] <= 1.0  # a frozen weight's input is kept as well


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["ft-all", "lorae", "ft-last-cached"])
def test_memory_grows_with_the_batch_and_by_equal_steps(model, method):
    smallest, middle, largest = (memory.predict(plan_of(model, method), batch) for batch in (8, 16, 24))
    assert smallest.saved_b < middle.saved_b < largest.saved_b
    assert largest.saved_b - middle.saved_b == middle.saved_b - smallest.saved_b
    assert smallest.step_b <= middle.step_b <= largest.step_b and smallest.saved_b <= smallest.step_b
    assert smallest.weights_b == middle.weights_b


@pytest.mark.parametrize("method", ["ft-all", "lorae", "lora-last", "ft-last-cached"])
@pytest.mark.parametrize("model", MODELS)
def test_nothing_of_a_step_is_left_but_weights_gradients_and_outputs(model, method):
    """Every tensor is freed as often as it is held."""
    plan = plan_of(model, method)
    step = memory._Step(plan, 4)
    step.forward()
    step.backward()
    assert all(count >= 0 for count in step.tape.holders.values())
    left = {name for name, count in step.tape.holders.items() if count}
    gradients = {name for name in left if name.startswith("grad of parameters")}
    assert sum(step.tape.size_b[name] for name in gradients) == plans.counts(plan).update_b
    outputs = {step.value[name] for name in plan.graph.outputs}
    assert left - gradients <= outputs


def test_a_cache_of_the_whole_set_is_counted_where_its_size_is_known():
    plan = plan_of("resnet-small", "lora-last-cached")
    prediction = memory.predict(plan, 10, n_train=600)
    assert prediction.cache_b == 600 * 4 * plans.counts(plan).cache_floats > 0
    assert memory.predict(plan, 10).cache_b == 0
    assert prediction.total_b == prediction.weights_b + prediction.step_b + prediction.cache_b


@given(st.integers(0, 5000), st.integers(1, 4000))
def test_bisection_finds_the_largest_that_fits(edge, limit):
    asked = []

    def fits(number):
        assert 1 <= number <= limit
        asked.append(number)
        return number <= edge

    assert memory.largest(fits, limit) == min(edge, limit)
    assert len(asked) <= 2 * (min(edge, limit) + 1).bit_length() + 2


def test_the_largest_batch_fits_and_one_more_does_not():
    plan = plan_of("unet-small", "lorae")
    batch = memory.largest_batch(plan, 200_000_000)
    assert memory.predict(plan, batch).total_b <= 200_000_000
    assert memory.predict(plan, batch + 1).total_b > 200_000_000
    assert memory.largest_batch(plan, 1000) == 0


def test_the_watch_sees_what_its_stretches_take_and_nothing_else():
    size_b = 40_000_000
    big = b"x" * (2 * size_b)
    del big
    watch = Watch()
    watch.begin()
    if watch.before_b is None:
        pytest.skip("this kernel does not let a process reset its own high-water mark")
    inside = b"x" * size_b
    watch.end()
    outside = b"y" * (2 * size_b)
    del inside, outside
    watch.begin()
    watch.end()
    metrics = watch.metrics()
    taken_b = metrics["train_rss_peak_b"] - metrics["train_rss_before_b"]
    assert 0.9 * size_b < taken_b < 1.3 * size_b
    assert watch.hidden_b >= metrics["train_rss_peak_b"]


def test_a_watch_that_never_ran_tells_nothing():
    assert Watch().metrics() == {}
