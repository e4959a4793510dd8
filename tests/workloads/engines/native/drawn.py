"""Networks that no model of ours is, with drawn images, weights and BatchNorm."""

from __future__ import annotations

import random

from tunebench.workloads import artefact
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models.graph import INPUT, Builder, product, weight_shapes
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import Task


def drawn_task(graph, method, rank, **keys):
    """A fine-tuning of any network on drawn images, weights and BatchNorm."""
    draw = random.Random(graph.name)
    ranges = {"variance": (0.5, 2.0), "gamma": (0.5, 1.5)}
    fan_in = {node.name: node.fan_in for node in graph.layers}
    tensors = {}
    for name, shape in weight_shapes(graph):
        layer, _, part = name.rpartition(".")
        low, high = ranges.get(part, (-0.3, 0.3))
        if part == "weight":
            high = 2.0 / fan_in[layer] ** 0.5
            low = -high
        tensors[name] = artefact.tensor(
            "float32", shape, [draw.uniform(low, high) for _ in range(product(shape))]
        )
    parts, classes = {}, graph.nodes[-1].shape[0]
    for part in ("finetune", "test"):
        pixels = bytes(draw.randrange(256) for _ in range(10 * product(graph.shape)))
        parts[part + "_x"] = artefact.Tensor("uint8", (10, *graph.shape), pixels)
        parts[part + "_y"] = artefact.tensor("int32", (10,), [draw.randrange(classes) for _ in range(10)])
    data = artefact.Artefact("data", {"shape": list(graph.shape), "n_classes": classes}, parts)
    parsed = spec.parse({"method": method, "model": "resnet-small", "batch": 4, "rank": rank, **keys})
    return Task(
        parsed, plan(table.method(method), graph, rank), data, artefact.Artefact("weights", {}, tensors)
    )


def odd_network():
    """Channels that fill no vector, windows of 5 and 1 that move by two or three, borders that windows miss."""
    b = Builder("resnet-small", "classify", (3, 19, 17))
    y = b.conv("stem", INPUT, 7, 5, 2, act="relu6")
    low = b.conv("narrow", y, 3, 1, norm=False)
    y = b.concat("joined", low, b.conv("square", low, 5, 3), y)
    y = b.maxpool("pool0", y, 3, 2, padding=1)
    beside = b.conv("short", y, 9, 1, 2, act="")
    y = b.conv("wide", y, 9, 5, 2, act="relu6")
    y = b.add("sum", beside, y, act="relu")
    y = b.maxpool("pool1", b.conv("thin", y, 9, 3, 1, padding=2), 2, 2, ceil=True)
    y = b.conv("far", y, 6, 2, 3, padding=1, act="")
    return b.graph(b.linear("classifier", b.avgpool("pool", y), 5))


def flat_network():
    """A head that reads a map, not its mean, and a layer of which two others read."""
    b = Builder("resnet-small", "classify", (1, 6, 8))
    y = b.conv("stem", INPUT, 4, 3, 1, padding=0)
    y = b.add("sum", b.conv("left", y, 4, 3), b.add("inner", y, b.conv("right", y, 4, 1), act="relu6"))
    return b.graph(b.linear("classifier", y, 3))
