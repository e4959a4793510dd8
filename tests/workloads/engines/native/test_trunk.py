"""A network's frozen part in C: every block's values are torch's, whatever the shapes, and do not depend on the batch."""

from __future__ import annotations

import itertools
import random
from array import array

import pytest

from tunebench.workloads import artefact
from tunebench.workloads.engines.native.network import bytes_of
from tunebench.workloads.engines.native.trunk import ADD, Trunk, compile_trunk
from tunebench.workloads.models import MODELS, NETWORKS, counted
from tunebench.workloads.models.graph import INPUT, Builder
from tunebench.workloads.tasks.spec import SpecError

CLASSIFIERS = [name for name in NETWORKS if MODELS[name].task == "classify" and MODELS[name].native]


def drawn_weights(network):
    """Weights of a torch network, with statistics that are not those of a fresh BatchNorm."""
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import places, start

    start(network, 0)
    draw = torch.Generator().manual_seed(0)
    tensors = {}
    for name, place in places(network):
        part = name.rpartition(".")[2]
        with torch.no_grad():
            if part in ("gamma", "variance"):
                place.copy_(0.5 + torch.rand(place.shape, generator=draw))
            elif part in ("beta", "mean", "bias"):
                place.copy_(torch.rand(place.shape, generator=draw) - 0.5)
        tensors[name] = artefact.tensor("float32", tuple(place.shape), place.reshape(-1).tolist())
    return artefact.Artefact("weights", {}, tensors)


def both(graph, wanted, images, library):
    """Values of some nodes for images, by the kernels and by torch: lists, one an image."""
    import torch

    from tunebench.workloads.engines.pytorch.networks.network import Network

    network = Network(graph).eval()
    weights = drawn_weights(network)
    count = len(images) // (graph.shape[0] * graph.shape[1] * graph.shape[2])
    values = Trunk(graph, wanted, weights, library).values(bytearray(images), count)
    x = torch.tensor(list(images)).reshape((count, *graph.shape)).float().div_(255.0)
    with torch.no_grad():
        expected = torch.cat([value.reshape(count, -1) for value in network.run({INPUT: x}, wanted)], 1)
    ours = torch.tensor(values).reshape(count, -1)
    assert ours.shape == expected.shape
    return ours, expected


def assert_close(ours, expected):
    scale = max(1.0, float(expected.abs().max()))
    assert float((ours - expected).abs().max()) <= 1e-4 * scale


def pixels(graph, count, seed=0):
    draw = random.Random(seed)
    size = graph.shape[0] * graph.shape[1] * graph.shape[2]
    return bytes(draw.randrange(256) for _ in range(count * size))


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_each_classifiers_blocks_and_scores_are_torchs(model, small, builds):
    pytest.importorskip("torch")
    task = small("ft-last", model)
    import torch

    from tunebench.workloads.engines.pytorch.networks import Session

    graph, reference = task.plan.graph, Session(task)
    wanted = tuple(node.name for node in graph.nodes if node.block) + graph.outputs
    x = reference.images["test"].float().div_(255.0)
    with torch.no_grad():
        parts = reference.model.run({INPUT: x}, wanted)
    expected = torch.cat([value.reshape(len(x), -1) for value in parts], 1)
    for library in builds.values():
        images = bytes_of(task.data.need("test_x"))
        ours = Trunk(graph, wanted, task.weights, library).values(images, len(x))
        assert_close(torch.tensor(ours).reshape(len(x), -1), expected)


def odd(kernel, stride, padding, groups, act):
    """A network of one odd convolution behind another, channels of no vector's multiple."""
    b = Builder("odd", "classify", (2, 9, 7))
    y = b.conv("first", INPUT, 6, 3, act="")
    y = b.conv("second", y, 6 if groups > 1 else 11, kernel, stride, padding=padding, groups=groups, act=act)
    return b.graph(b.linear("classifier", y, 3))


@pytest.mark.parametrize("act", ["", "relu", "relu6"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 0), (5, 2, 2), (5, 1, 4), (7, 3, 3), (2, 1, 1)],
)
@pytest.mark.parametrize("groups", [1, 6])
def test_any_convolution_and_a_linear_layer_on_a_map_are_torchs(kernel, stride, padding, groups, act, builds):
    pytest.importorskip("torch")
    graph = odd(kernel, stride, padding, groups, act)
    for library in builds.values():
        assert_close(*both(graph, ("first", "second", "classifier"), pixels(graph, 3), library))


@pytest.mark.parametrize("side", [4, 5, 6, 9])
def test_pooling_borders_joins_and_sums_are_torchs_at_any_size(side, builds):
    pytest.importorskip("torch")
    b = Builder("joins", "classify", (1, side, side + 1))
    y = b.normalise("normal", INPUT, ((0.4, 0.2), (0.5, 0.3), (0.6, 0.7)))
    y = b.conv_same("same", y, 5, 3, 2)
    left, right = b.conv("left", y, 7, 1, act="relu6"), b.conv("right", y, 7, 3, norm=False)
    total = b.add("sum", left, right, act="relu")
    most = b.maxpool("most", total, 3, 2, padding=1)
    ceil = b.maxpool("ceil", total, 2, 2, ceil=True)
    joined = b.concat("joined", left, total, b.conv("few", total, 1, 1), right)
    graph = b.graph(b.linear("classifier", b.avgpool("pool", joined), 3))
    graph = graph._replace(
        nodes=(*graph.nodes, graph.nodes[-2]._replace(name="grid", shape=(22 * 4,), kernel=2))
    )
    wanted = ("normal", "same", "sum", most, ceil, "joined", "pool", "grid", "classifier")
    for library in builds.values():
        assert_close(*both(graph, wanted, pixels(graph, 4), library))


def test_an_images_values_do_not_depend_on_its_neighbours_bit_for_bit(builds):
    pytest.importorskip("torch")
    from tunebench.workloads.engines.pytorch.networks.network import Network

    graph = counted("mobilenetv2-small", n_classes=3)
    weights, images = drawn_weights(Network(graph).eval()), pixels(graph, 19)
    size = len(images) // 19
    for library in builds.values():
        trunk = Trunk(graph, graph.outputs, weights, library)
        assert 1 < trunk.program.chunk < 19
        together = trunk.values(bytearray(images), 19)
        alone = array("f")
        for at in range(19):
            alone.extend(trunk.values(bytearray(images[at * size : (at + 1) * size]), 1))
        assert together == alone


def test_room_is_used_again_but_never_while_its_map_is_needed():
    graph = counted("mobilenetv2", side=64)
    program = compile_trunk(graph, graph.outputs, 8)
    sizes = [h * w * -(-c // 8) * 8 for h, w, c, _ in program.maps]
    assert program.arena < sum(sizes) / 4
    made, last = {0: -1}, {0: -1, **dict.fromkeys(program.outputs, len(program.ops))}
    for at, (kind, left, right, out, *_) in enumerate(program.ops):
        made.setdefault(out, at)
        for number in (left, out, *([right] if kind == ADD else [])):
            last[number] = max(at, last.get(number, at))
    starts = [at for _, _, _, at in program.maps]
    for number, other in itertools.combinations(made, 2):
        apart = (
            starts[number] + sizes[number] <= starts[other] or starts[other] + sizes[other] <= starts[number]
        )
        assert apart or last[number] < made[other] or last[other] < made[number]


@pytest.mark.parametrize("model", [name for name in NETWORKS if not MODELS[name].native])
def test_a_network_that_says_so_has_layers_without_kernels(model):
    graph = counted(model)
    with pytest.raises(
        SpecError, match=f"has no (slice|shuffle|activate|multiply|activation .*), .*'{model}'"
    ):
        compile_trunk(graph, graph.outputs, 4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b.conv("x", INPUT, 4, 3, groups=2), "no convolution of 2 groups over 2 channels"),
        (lambda b: b.conv("x", INPUT, 4, 3, act="silu"), "no activation silu"),
        (lambda b: b.upsample("x", INPUT), "no upsample, which node 'x' of model 'odd' is: use engine 'torch'"),
        (lambda b: b.deconv("x", INPUT, 3), "no deconv"),
    ],
)  # fmt: skip
def test_a_node_that_the_kernels_do_not_have_is_refused_by_name(build, message):
    b = Builder("odd", "classify", (2, 8, 8))
    graph = b.graph(build(b))
    with pytest.raises(SpecError, match=message):
        compile_trunk(graph, graph.outputs, 4)
