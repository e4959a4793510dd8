"""What ``benchmarks.finetune_steps`` fine-tunes: real data sets on the study's MLP, and a compute-bound MLP.

Standard library and ``workloads`` only, so that a process that measures memory holds nothing else.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from tunebench.workloads import artefact, seeds
from tunebench.workloads.methods import chain_plan, table
from tunebench.workloads.models import Layer
from tunebench.workloads.tasks import chain, spec

#: the study's data sets at its batch and epochs, and the one that is bound by arithmetic (HAR's data)
STUDY = ("fan-damage1", "fan-damage2", "har-hapt")
WIDE = "mlp-1024"
WIDE_WIDTH, WIDE_BATCH, WIDE_EPOCHS = 1024, 256, 40


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
        self.layers = wide_layers(n_in, n_out) if self.wide else ()
        self.weights = wide_weights(self.layers) if self.wide else artefact.read(source.weights)

    def task(self, method: str, **keys: Any) -> chain.Task:
        """The task of a method, at the protocol's numbers unless told otherwise."""
        if not self.wide:
            parsed = spec.parse({"method": method, "dataset": self.source.name, **keys})
            return chain.make_task(parsed, self.data, self.weights)
        fixed = {"batch": WIDE_BATCH, "epochs": WIDE_EPOCHS, "model": "mlp", **keys}
        parsed = spec.parse({"method": method, "dataset": self.source.name, **fixed})
        plan = chain_plan.plan(table.method(method), "mlp", self.layers, parsed.rank)
        return chain.Task(parsed, plan, self.data, self.weights)


def wide_layers(n_in: int, n_out: int) -> tuple[Layer, ...]:
    """``n_in-1024-1024-n_out``."""
    width = (WIDE_WIDTH,)
    return (
        Layer("linear", (n_in,), width),
        Layer("linear", width, width),
        Layer("linear", width, (n_out,), norm=False),
    )


def wide_weights(layers: tuple[Layer, ...]) -> artefact.Artefact:
    """Drawn base weights: its accuracy means nothing, its time does."""
    values = {"bias": 0.0, "gamma": 1.0, "beta": 0.0, "mean": 0.0, "variance": 1.0}
    tensors = {}
    for name, shape in chain.weight_shapes(layers):
        layer, part = layers[int(name[len("layer")])], name.rpartition(".")[2]
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        if part == "weight":
            drawn = seeds.kaiming_uniform(count, layer.fan_in, 0, name)
        else:
            drawn = array("f", [values[part]]) * count
        tensors[name] = artefact.tensor("float32", shape, drawn)
    return artefact.Artefact("weights", {}, tensors)
