"""Skip adapters of networks: where blocks end, what is kept, trained, counted, and what is refused."""

from __future__ import annotations

import pytest

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.methods import macs, memory, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods.skips import Skips, blocks, parse_skips, with_skips
from tunebench.workloads.models import COUNTED, MODELS, counted
from tunebench.workloads.models.graph import Builder, weight_shapes
from tunebench.workloads.tasks.spec import parse

CLASSIFIERS = (
    "resnet-small",
    "mobilenetv2-small",
    "squeezenet-small",
    "mobilenetv2",
    "resnet18",
    "squeezenet1.1",
)


def plan(model, method="skip2-lora", rank=4, **keys):
    return plans.plan(table.method(method), counted(model), rank, skips=Skips(**keys))


@pytest.mark.parametrize(("model", "count"), [
    ("resnet18", 1 + 8), ("mobilenetv2", 1 + 17 + 1), ("squeezenet1.1", 1 + 8), ("resnet-small", 1 + 6),
    ("detector-small", 6), ("unet-small", 7), ("yolov8n", 10),
])  # fmt: skip
def test_a_block_is_the_stem_or_a_whole_module(model, count):
    assert len(blocks(counted(model))) == count


@pytest.mark.parametrize("model", COUNTED)
def test_every_network_marks_its_blocks(model):
    names = blocks(counted(model))
    assert names and list(names) == [node.name for node in counted(model).nodes if node.name in names]


def test_the_blocks_of_a_chain_are_the_inputs_of_its_layers():
    assert blocks(MODELS["mlp"].build("mlp", (256,), 3)) == ("input", "layer0", "layer1")


@pytest.mark.parametrize("model", CLASSIFIERS)
@pytest.mark.parametrize("rank", [1, 4])
def test_parameters_and_kept_floats_follow_from_the_channels_of_the_blocks(model, rank):
    graph, made = counted(model), plan(model, rank=rank)
    channels = [node.shape[0] for node in graph.nodes if node.block]
    classes = graph.nodes[-1].shape[0]
    counts = plans.counts(made)
    assert counts.trainable == sum(rank * (c + classes) for c in channels)
    assert counts.total == graph.n_params + counts.trainable
    assert counts.cache_floats == sum(channels) + classes
    assert counts.update_b == 4 * counts.trainable
    shapes = plans.update_shapes(made, "adapter").values()
    assert sum(rows * columns for rows, columns in shapes) == counts.trainable
    assert weight_shapes(made.graph) == weight_shapes(graph)  # the base model is the same


def test_a_grid_keeps_quarters_and_a_map_of_one_pixel_as_it_is():
    once, quarters = plan("resnet-small"), plan("resnet-small", grid="2x2")
    classes = counted("resnet-small").nodes[-1].shape[0]
    floats = [plans.counts(made).cache_floats - classes for made in (once, quarters)]
    assert floats[1] == 4 * floats[0]
    graph = MODELS["resnet-small"].build("resnet-small", (1, 4, 4), 3)
    side_1 = [node for node in with_skips(graph, 2, Skips("2x2")).nodes if node.kernel == 1 and node.added]
    assert [node.shape for node in side_1 if node.op == "avgpool"] == [(64,), (64,)]


def test_the_last_blocks_can_be_chosen():
    made = plan("mobilenetv2-small", blocks=3)
    names = [name.rpartition("_a.")[0] for name in plans.update_shapes(made, "adapter") if "_a." in name]
    assert names == ["skip_stage5_2_sum", "skip_stage6_0_project", "skip_wide"]
    with pytest.raises(
        table.UnsupportedMethod, match="skip_blocks is 20, model 'mobilenetv2-small' has 19 blocks"
    ):
        plan("mobilenetv2-small", blocks=20)


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_a_kept_step_costs_the_adapters_alone_and_filling_the_forward_pass(model):
    graph = counted(model)
    made, forward = plan(model), macs.forward_madds(plan(model))
    sample = macs.of_sample(made)
    assert (sample.forward, sample.update, sample.fill) == (forward.adapters, forward.adapters, forward.base)
    assert sample.backward == 4 * graph.nodes[-1].shape[0] * len(blocks(graph))
    without = macs.of_sample(plan(model, "skip-lora"))
    assert (without.forward, without.fill) == (forward.base + forward.adapters, 0)


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_memory_is_that_of_a_forward_pass_without_gradients(model):
    skips, frozen, whole = (
        memory.predict(plan(model, name), 16) for name in ("skip2-lora", "ft-last", "ft-all")
    )
    assert skips.step_b < 1.1 * frozen.step_b and skips.step_b < 0.5 * whole.step_b
    assert skips.saved_b < 0.02 * whole.saved_b
    kept = memory.predict(plan(model), 16, n_train=100)
    assert kept.cache_b == 400 * plans.counts(plan(model)).cache_floats


@pytest.mark.parametrize("model", ["detector-small", "unet-small", "yolov8n"])
def test_networks_of_maps_are_refused_with_the_reason(model):
    with pytest.raises(
        table.UnsupportedMethod, match=r"whose outputs are maps.*use one of: .*lora-last-cached"
    ) as caught:
        plan(model)
    assert "skip2-lora" not in str(caught.value).rpartition("use one of")[2]


def test_a_network_without_marked_blocks_is_refused_with_what_would_be_right():
    builder = Builder("resnet-small", "classify", (1, 8, 8))
    y = builder.avgpool("pool", builder.conv("stem", "input", 4))
    graph = builder.graph(builder.linear("classifier", y, 2))
    with pytest.raises(table.UnsupportedMethod, match=r"marks no blocks \(Builder.end_block\)"):
        plans.plan(table.method("skip-lora"), graph, 2)


def test_keys_of_skip_adapters_are_refused_where_there_are_none():
    with pytest.raises(
        table.UnsupportedMethod, match="skip_grid is '2x2': method 'lora-all' has no skip adapters"
    ):
        plan("resnet-small", "lora-all", grid="2x2")
    chain = MODELS["mlp"].build("mlp", (256,), 3)
    with pytest.raises(table.UnsupportedMethod, match=r"skip_blocks is 2: .*'mlp' is a chain"):
        plans.plan(table.method("skip2-lora"), chain, 4, skips=Skips(blocks=2))


@pytest.mark.parametrize(("grid", "chosen", "message"), [
    ("3x3", None, "skip_grid is '3x3', allowed: 1x1, 2x2"), (2, None, "skip_grid is 2"), ([], None, "skip_grid"),
    (None, 0, "skip_blocks is 0"), (None, True, "skip_blocks is True"), (None, "last", "skip_blocks is 'last'"),
    (None, 1.0, "skip_blocks is 1.0"), (None, [1], "skip_blocks"),
])  # fmt: skip
def test_wrong_keys_are_named_with_what_is_allowed(grid, chosen, message):
    with pytest.raises(WorkloadError, match=message):
        parse_skips(grid, chosen)


def test_a_workload_carries_the_keys_and_without_them_has_the_usual():
    usual = parse({"method": "skip2-lora", "model": "resnet-small"})
    assert usual.skips == Skips("1x1", "all") and not usual.skips.changed
    asked = parse({"method": "skip2-lora", "model": "resnet-small", "skip_grid": "2x2", "skip_blocks": 3})
    assert asked.skips == Skips("2x2", 3) and asked.skips.changed == ("skip_grid", "skip_blocks")
