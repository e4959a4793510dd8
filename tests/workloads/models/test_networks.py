"""Networks as data, checked by published totals; what each method trains on them."""

from __future__ import annotations

import pytest

from tunebench.workloads.methods import macs, table
from tunebench.workloads.methods import plan as plans
from tunebench.workloads.methods.table import Method, UnsupportedMethod
from tunebench.workloads.models import (
    COUNTED,
    MODELS,
    NETWORKS,
    PRETRAINED,
    UnknownNetwork,
    UnsupportedModel,
    counted,
    graph_of,
)
from tunebench.workloads.models.graph import INPUT, ROWS, Builder, madds, product, shapes_of, weight_shapes

# Published totals: the totals the issue gives, and the parameter counts of the architectures' public summaries.
PUBLISHED = [
    ("yolov8n", "detect", 3_157_200), ("yolov8s", "detect", 11_166_560), ("yolov8m", "detect", 25_902_640),
    ("yolov8l", "detect", 43_691_520), ("yolov8x", "detect", 68_229_648), ("yolov8x", "segment", 71_827_888),
    ("yolov8x", "classify", 57_422_840), ("mobilenetv2", None, 3_504_872), ("squeezenet1.1", None, 1_235_496),
    ("resnet18", None, 11_689_512), ("efficientnet-lite0", None, 4_652_008), ("shufflenetv2", None, 2_278_604),
    ("mobilenetv3-small", None, 2_542_856), ("efficientnet-b0", None, 5_288_548),
]  # fmt: skip
# Published as rounded millions only.
ROUNDED = [
    ("yolov8n", "segment", 3.4), ("yolov8s", "segment", 11.8), ("yolov8m", "segment", 27.3),
    ("yolov8l", "segment", 46.0), ("yolov8n", "classify", 2.7), ("yolov8s", "classify", 6.4),
    ("yolov8m", "classify", 17.0), ("yolov8l", "classify", 37.5),
]  # fmt: skip


def plan(model, method="lorae", rank=4, task=None):
    return plans.plan(table.method(method), counted(model, task), rank)


def reduction_pct(model, task, rank):
    made = plan(model, rank=rank, task=task)
    return 100 * (1 - plans.counts(made).trainable / made.graph.n_params)


@pytest.mark.parametrize(("model", "task", "total"), PUBLISHED)
def test_totals_are_the_published_ones(model, task, total):
    assert counted(model, task).n_params == total


@pytest.mark.parametrize(("model", "task", "millions"), ROUNDED)
def test_totals_round_to_the_published_ones(model, task, millions):
    assert counted(model, task).n_params / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize(
    ("size", "gflops"), [("n", 8.7), ("s", 28.6), ("m", 78.9), ("l", 165.2), ("x", 257.8)]
)
def test_multiply_adds_are_half_the_published_operations(size, gflops):
    graph = counted("yolov8" + size, "detect")
    shapes = shapes_of(graph)
    total = sum(madds(node, shapes) for node in graph.layers)
    assert 2 * total / 1e9 == pytest.approx(gflops, abs=0.06)


# The issue's figures: all convolutions but the fixed one; BatchNorm, biases, Linear and transposed ones frozen.
@pytest.mark.parametrize(
    ("task", "rank", "expected"), [("detect", 4, 98.57), ("segment", 16, 94.04), ("classify", 64, 85.37)]
)
def test_lorae_on_yolov8x_has_the_reductions_of_the_issue(task, rank, expected):
    assert round(reduction_pct("yolov8x", task, rank), 2) == expected


# As public summaries count them, in billions: 0.301, 0.385; torchvision's: 0.349, 0.145, 0.057, 0.386.
@pytest.mark.parametrize(
    ("name", "millions"),
    [("mobilenetv2", 300.8), ("efficientnet-lite0", 385.2), ("squeezenet1.1", 349.2), ("shufflenetv2", 144.9),
     ("mobilenetv3-small", 56.5), ("efficientnet-b0", 385.8)],
)  # fmt: skip
def test_multiply_adds_of_published_networks(name, millions):
    graph = counted(name)
    shapes = shapes_of(graph)
    assert sum(madds(node, shapes) for node in graph.layers) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize("side", [28, 32, 49, 64, 224])
def test_padding_as_tensorflow_does_gives_the_size_over_the_stride_rounded_up(side):
    graph = counted("efficientnet-lite0", side=side)
    shapes = shapes_of(graph)
    for node in graph.nodes:
        if node.op == "conv":
            before = shapes[node.inputs[0]]
            if node.inputs[0].endswith("_pad"):
                before = shapes[next(pad for pad in graph.nodes if pad.name == node.inputs[0]).inputs[0]]
            assert node.shape[1:] == tuple(-(-size // node.stride) for size in before[1:])


@pytest.mark.parametrize("name", PRETRAINED)
def test_a_pretrained_network_takes_grey_and_colour_and_nothing_else(name):
    assert graph_of(name, (1, 64, 64), 2).n_params == graph_of(name, (3, 64, 64), 2).n_params
    with pytest.raises(UnsupportedModel, match="inputs of 4 channels, expected 1 or 3"):
        graph_of(name, (4, 64, 64), 2)


@pytest.mark.parametrize("name", PRETRAINED)
def test_depthwise_convolutions_of_pretrained_networks_carry_no_adapter(name):
    made = plan(name, "lora-all")
    depthwise = {node.name for node in made.graph.layers if node.depthwise}
    assert depthwise and depthwise == set(made.skipped)
    assert not depthwise & set(made.adapted)
    assert set(made.adapted) | depthwise == {node.name for node in made.graph.layers}


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(PRETRAINED)))
def test_small_networks_stay_under_two_million_parameters_and_160_pixels(name):
    graph = counted(name)
    assert graph.n_params < 2_000_000
    assert max(graph.shape[1:]) <= 160


def tiny():
    """1x4x4 -> conv 3 (3x3, BatchNorm) -> depthwise -> deconv -> classes 2, by hand below."""
    b = Builder("tiny", "segment", (1, 4, 4))
    y = b.conv("stem", "input", 3, 3)
    y = b.conv("depth", y, 3, 3, groups=3)
    y = b.deconv("up", y, 3)
    return b.graph(b.conv("classes", y, 2, 1, norm=False, act="", head=True))


# By hand: stem 27 + BatchNorm 6; depth 27 + 6; up 3*3*2*2 = 36 + 3; classes 6 + 2. In all 113.
#   ft-bias: shifts 3 + 3, biases 3 + 2. lorae, rank 2: stem 2 (9 + 3), classes 2 (3 + 2).
@pytest.mark.parametrize(
    ("method", "trainable"),
    [("ft-all", 113), ("ft-last", 8), ("ft-bias", 11), ("lora-last", 10), ("lora-all", 34), ("lorae", 34),
     ("ft-last-cached", 8), ("lora-last-cached", 10)],
)  # fmt: skip
def test_trainable_parameters_worked_by_hand(method, trainable):
    made = plans.plan(table.method(method), tiny(), 2)
    assert made.graph.n_params == 113
    assert plans.counts(made).trainable == trainable
    assert plans.counts(made).update_b == 4 * trainable


def test_multiply_adds_worked_by_hand():
    made = plans.plan(table.method("lorae"), tiny(), 2)
    # stem 16 * 3 * 9, depth 16 * 3 * 9, up 16 places * 3 * 3 * 4, classes 64 * 2 * 3
    assert macs.forward_madds(made).base == 432 + 432 + 576 + 384
    # stem 16 * 2 * (9 + 3), classes 64 * 2 * (3 + 2)
    assert macs.forward_madds(made).adapters == 384 + 640


def test_layers_without_an_adapter_are_told_with_the_reason():
    made = plans.plan(table.method("lorae"), tiny(), 2)
    assert made.adapted == ("stem", "classes")
    assert "depthwise" in made.skipped["depth"]
    assert "transposed" in made.skipped["up"]
    assert "constants" in plan("yolov8n", task="detect").skipped["dfl"]
    assert "Linear" in plan("resnet18").skipped["classifier"]


def test_lora_all_adapts_linear_layers_too_and_lorae_convolutions_only():
    assert set(plan("resnet18", "lora-all").adapted) - set(plan("resnet18").adapted) == {"classifier"}


@pytest.mark.parametrize(
    ("model", "nodes"), [("resnet-small", ("pool",)), ("detector-small", ("class_a", "box_a"))]
)
def test_a_cached_head_keeps_what_the_head_reads(model, nodes):
    made = plan(model, "lora-last-cached")
    shapes = shapes_of(made.graph)
    floats = sum(product(shapes[name]) for name in nodes)
    assert (made.cached, plans.counts(made).cache_floats) == (nodes, floats)
    assert not plan(model, "lora-last").caches


def test_a_row_cannot_cache_a_trunk_that_it_trains():
    row = Method("wrong", "Wrong", NETWORKS, "all", "all", "none", True, "no source")
    with pytest.raises(ValueError, match="cannot cache"):
        plans.plan(row, counted("resnet-small"), 4)


def test_what_has_no_meaning_on_branches_is_refused_with_what_has():
    with pytest.raises(UnsupportedMethod, match=r"'skip2-lora' does not apply to model 'unet-small'.*lorae"):
        plan("unet-small", "skip2-lora")


def test_a_model_task_or_input_that_cannot_be_is_refused():
    with pytest.raises(UnknownNetwork, match="unknown model 'yolov9', use one of: yolov8n"):
        counted("yolov9")
    with pytest.raises(UnsupportedModel, match="'resnet18' has no task 'detect'"):
        counted("resnet18", "detect")
    with pytest.raises(UnsupportedModel, match="no task 'pose'"):
        counted("yolov8x", "pose")
    with pytest.raises(UnsupportedModel, match="multiple of 32"):
        counted("yolov8x", side=100)
    with pytest.raises(UnsupportedModel, match="multiples of 16"):
        counted("detector-small", side=100)


def test_every_network_counts_with_every_method_of_its_kind():
    for name in COUNTED:
        skipping = plan(name, "ft-all").graph.task == "classify"  # maps are too large to be kept
        for method in table.methods_of("squeezenet-small"):
            if table.method(method).adapters == table.SKIP and not skipping:
                continue
            assert (plans.counts(plan(name, method)).trainable > 0) == (method != "untrained")


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_registered_model_is_built_at_what_it_is_counted_at(name):
    model = MODELS[name]
    graph = graph_of(name, model.shape, model.n_classes)
    assert (graph.name, graph.task) == (name, model.task)
    before = [INPUT, *(node.name for node in graph.nodes)]
    straight = all(node.inputs == (source,) for source, node in zip(before, graph.nodes, strict=False))
    assert graph.chain == (model.task == ROWS) == (straight and graph.nodes == graph.layers)


def test_a_chains_layers_have_biases_and_their_batchnorm_is_frozen():
    graph = graph_of("mlp", (256,), 3)
    assert [node.norm for node in graph.layers] == [True, True, False]
    assert not any(node.norm_trains for node in graph.layers)
    names = [name for name, _ in weight_shapes(graph)][:6]
    assert names == [f"layer0.{part}" for part in ("weight", "bias", "gamma", "beta", "mean", "variance")]
    made = plans.plan(table.method("ft-all"), graph, 4)
    assert plans.changed_names(made) == tuple(
        f"layer{i}.{part}" for i in range(3) for part in ("weight", "bias")
    )
