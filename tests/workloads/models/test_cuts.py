"""Where a network can be cut: held against the graph's edges one by one."""

from __future__ import annotations

import pytest

from tunebench.workloads.models import graph_of
from tunebench.workloads.models.cuts import (
    candidates,
    check_cut,
    cut_points,
    cuts_of,
    device_part,
    remote_part,
)
from tunebench.workloads.models.graph import INPUT, UnsupportedModel

IMAGES = (1, 28, 28)
NETWORKS = {
    "mlp": (64,),
    "cnn": (64,),
    "resnet-small": IMAGES,
    "squeezenet-small": IMAGES,
    "mobilenetv2-small": IMAGES,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cut_is_where_all_edges_that_cross_begin_at_one_node(name):
    graph = graph_of(name, NETWORKS[name], 10)
    order = [INPUT, *(node.name for node in graph.nodes)]
    places = {node: at for at, node in enumerate(order)}
    edges = [(source, node.name) for node in graph.nodes for source in node.inputs] + [
        (graph.outputs[0], None)
    ]
    expected = []
    for at, node in enumerate(order):
        sources = {a for a, b in edges if places[a] <= at and (b is None or places[b] > at)}
        if sources == {node}:
            expected.append(node)
    assert cut_points(graph) == expected


def test_a_residual_block_cannot_be_cut_inside():
    points = cut_points(graph_of("resnet-small", IMAGES, 10))
    assert points[:4] == [INPUT, "stem", "stage0_0_sum", "stage0_1_sum"]
    assert points[-2:] == ["pool", "classifier"]


def test_the_best_is_looked_for_where_less_crosses_than_before():
    graph = graph_of("resnet-small", IMAGES, 10)
    assert candidates(graph) == [INPUT, "stem", "stage1_0_sum", "stage2_0_sum", "pool", "classifier"]
    assert cuts_of(graph, "auto") == candidates(graph)
    assert cuts_of(graph, "pool") == ["pool", "classifier"]
    assert cuts_of(graph, "classifier") == ["classifier"]


def test_the_two_parts_have_all_nodes_between_them():
    graph = graph_of("resnet-small", IMAGES, 10)
    for cut in cut_points(graph)[1:-1]:
        before, behind = device_part(graph, cut), remote_part(graph, cut)
        assert [node.name for node in before.nodes + behind.nodes] == [node.name for node in graph.nodes]
        assert before.outputs == (cut,)
        assert behind.shape == before.nodes[-1].shape
        known = {INPUT, *(node.name for node in behind.nodes)}
        assert all(name in known for node in behind.nodes for name in node.inputs)


def test_a_place_where_more_crosses_is_refused_with_the_cuts():
    graph = graph_of("resnet-small", IMAGES, 10)
    with pytest.raises(
        UnsupportedModel, match=r"no cut behind 'stage0_0_first': .* input, stem, stage0_0_sum"
    ):
        check_cut(graph, "stage0_0_first")
    with pytest.raises(UnsupportedModel, match="nothing is computed before 'input'"):
        device_part(graph, INPUT)
    with pytest.raises(UnsupportedModel, match="nothing is computed behind 'classifier'"):
        remote_part(graph, "classifier")


def test_a_network_of_several_outputs_is_not_cut():
    graph = graph_of("resnet-small", IMAGES, 10)
    assert cut_points(graph._replace(outputs=("pool", "classifier"))) == []
