"""Gradient checkpointing at blocks: segments, what it saves by prediction, who refuses it."""

from __future__ import annotations

import pytest

from tunebench.workloads.methods import memory, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods.checkpointing import segments
from tunebench.workloads.models import MODELS, NETWORKS, counted
from tunebench.workloads.tasks.spec import SpecError, parse


def plan(method, model, checkpoint=True, **keys):
    return plans.plan(table.method(method), counted(model), 4, checkpoint=checkpoint, **keys)


@pytest.mark.parametrize("model", NETWORKS)
def test_segments_hold_every_node_once_and_end_with_blocks(model):
    graph = counted(model)
    parts = segments(graph.nodes, graph.outputs)
    assert [node for part in parts for node in part.nodes] == list(graph.nodes)
    assert all(part.nodes[-1].block for part in parts[:-1])
    assert [part.again for part in parts] == [True] * (len(parts) - 1) + [False]
    had = {"input"}
    for part in parts:
        assert set(part.inputs) <= had
        had |= set(part.outputs)
    assert set(graph.outputs) <= had


@pytest.mark.parametrize(("model", "share"), [("mobilenetv2", 0.5), ("resnet18", 0.7), ("resnet-small", 0.6)])
def test_the_predicted_step_shrinks(model, share):
    plain, again = (memory.predict(plan("ft-all", model, flag), 16) for flag in (False, True))
    assert again.step_b < share * plain.step_b and again.saved_b < plain.saved_b
    assert (again.weights_b, again.gradients_b) == (plain.weights_b, plain.gradients_b)


@pytest.mark.parametrize(("method", "model", "message"), [
    ("ft-last", "resnet-small", "keeps nothing of the blocks"), ("skip2-lora", "resnet-small", "keeps nothing"),
    ("mezo", "resnet-small", "keeps nothing"), ("tent", "resnet-small", "moves BatchNorm's statistics"),
    ("untrained", "resnet-small", "keeps nothing"),
])  # fmt: skip
def test_methods_that_keep_nothing_of_blocks_refuse_it(method, model, message):
    with pytest.raises(table.UnsupportedMethod, match=f"checkpoint is true: .*{message}"):
        plan(method, model)


def test_a_chain_refuses_it():
    chain = MODELS["mlp"].build("mlp", (256,), 3)
    with pytest.raises(table.UnsupportedMethod, match="'mlp' has no blocks"):
        plans.plan(table.method("ft-all"), chain, 4, checkpoint=True)


def test_the_key_is_true_or_false():
    assert not parse({"method": "ft-all"}).checkpoint
    assert parse({"method": "ft-all", "checkpoint": True}).checkpoint
    with pytest.raises(SpecError, match="checkpoint is 1, allowed: true, false"):
        parse({"method": "ft-all", "checkpoint": 1})
