"""What ``benchmarks.finetune_steps`` fine-tunes: real data sets on the study's MLP, and a compute-bound MLP.

Standard library and ``workloads`` only, so that a process that measures memory holds nothing else.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from tunebench.workloads import artefact, seeds
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import plan
from tunebench.workloads.models.graph import Graph, weight_shapes
from tunebench.workloads.models.mlp import mlp
from tunebench.workloads.tasks import spec
from tunebench.workloads.tasks.task import Task, make_task

#: the study's data sets at its batch and epochs, and the one that is bound by arithmetic (HAR's data)
STUDY = ("fan-damage1", "fan-damage2", "har-hapt")
WIDE = "mlp-1024"
WIDE_WIDTH, WIDE_BATCH, WIDE_EPOCHS = 1024, 256, 40
#: learning rates at which the study's fine-tunings do not diverge: a step's time does not depend on it
RATES = {"momentum": {"lr": 0.002}, "adamw": {"lr": 0.001}}


@dataclass(frozen=True)
class Source:
    """Artefacts of one data set, as paths: they travel to the process that measures memory.

    Attributes:
        name: of the data set, or ``mlp-1024``.
        data, weights: artefact files; ``mlp-1024`` draws its weights.
    """

    name: str
    data: str
    weights: str


class Cases:
    """Tasks of one source, its artefacts read once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data = artefact.read(source.data)
        self.wide = source.name == WIDE
        n_in, n_out = self.data.meta["n_in"], self.data.meta["n_classes"]
        self.graph = mlp("mlp", (n_in,), n_out, hidden=(WIDE_WIDTH, WIDE_WIDTH))
        self.weights = wide_weights(self.graph) if self.wide else artefact.read(source.weights)

    def task(self, method: str, **keys: Any) -> Task:
        """The task of a method, at the protocol's numbers unless told otherwise."""
        keys = {**RATES.get(keys.get("optimizer", "sgd"), {}), **keys}
        if not self.wide:
            parsed = spec.parse({"method": method, "dataset": self.source.name, **keys})
            return make_task(parsed, self.data, self.weights)
        fixed = {"batch": WIDE_BATCH, "epochs": WIDE_EPOCHS, "model": "mlp", **keys}
        parsed = spec.parse({"method": method, "dataset": self.source.name, **fixed})
        made = plan(table.method(method), self.graph, parsed.rank)
        return Task(parsed, made, self.data, self.weights)


def wide_weights(graph: Graph) -> artefact.Artefact:
    """Drawn base weights: its accuracy means nothing, its time does."""
    values = {"bias": 0.0, "gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}
    layers = {layer.name: layer for layer in graph.layers}
    tensors = {}
    for name, shape in weight_shapes(graph):
        layer, _, part = name.partition(".")
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        if part == "weight":
            drawn = seeds.kaiming_uniform(count, layers[layer].fan_in, 0, name)
        else:
            drawn = array("f", [values[part]]) * count
        tensors[name] = artefact.tensor("float32", shape, drawn)
    return artefact.Artefact("weights", {}, tensors)
