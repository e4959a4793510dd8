"""Hold a network between two transforms: its graph, its tensors, and what was done to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tunebench.workloads import artefact
from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models.graph import Graph, madds, shapes_of, weight_shapes

Array = np.ndarray[Any, np.dtype[Any]]


class TransformError(WorkloadError):
    """A transform that cannot be done to this network; names the transform, the node and what would be right."""


@dataclass(frozen=True)
class Numbers:
    """The form in which the numbers of a network are written: nothing is computed in it yet.

    Attributes:
        kind: ``float32``; ``float16``; ``int8-static`` (activations have fixed scales); ``int8-dynamic``.
        ops: nodes whose weights are written in it: ``conv``, ``linear``.
        ranges: node (or ``input``) -> smallest and largest value over the calibration items.
    """

    kind: str = "float32"
    ops: tuple[str, ...] = ("conv", "linear")
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def claimed(self) -> str | None:
        """Return the type in which the board is to compute; None: it claims none but float32."""
        return {"float16": "float16", "int8-static": "int8", "int8-dynamic": "int8"}.get(self.kind)


@dataclass(frozen=True)
class State:
    """A network on its way through a chain.

    Attributes:
        graph: its nodes.
        tensors: by the names of :func:`~tunebench.workloads.models.graph.weight_shapes`, float32.
        masks: tensor -> 0 where training must leave a zero.
        numbers: the form of its numbers.
        rounded: training goes through 8 bits.
        log: one entry a step of the chain.
    """

    graph: Graph
    tensors: Mapping[str, Array]
    masks: Mapping[str, Array] = field(default_factory=dict)
    numbers: Numbers = field(default_factory=Numbers)
    rounded: bool = False
    log: tuple[Mapping[str, Any], ...] = ()

    def noted(self, **entry: Any) -> State:
        """Return it with a line more in its log."""
        return replace(self, log=(*self.log, entry))

    @property
    def n_params(self) -> int:
        """Return the number of its parameters, BatchNorm's statistics left out."""
        return self.graph.n_params

    @property
    def n_zeros(self) -> int:
        """Return how many of its weights are zero."""
        return int(
            sum((values == 0).sum() for name, values in self.tensors.items() if name.endswith(".weight"))
        )

    @property
    def madds(self) -> int:
        """Return the multiply-adds of one inference."""
        shapes = shapes_of(self.graph)
        return sum(madds(node, shapes) for node in self.graph.layers)


def state_of(graph: Graph, weights: artefact.Artefact) -> State:
    """Return a network as a weights artefact has it.

    Raises:
        ArtefactError: a tensor is missing.
    """
    tensors = {
        name: np.frombuffer(weights.need(name).data, dtype="<f4").reshape(shape).copy()
        for name, shape in weight_shapes(graph)
    }
    return State(graph, tensors)


def checked(state: State) -> State:
    """Return a state whose tensors have the shapes that its graph says.

    Raises:
        TransformError: they do not: the transform is at fault.
    """
    for name, shape in weight_shapes(state.graph):
        if name not in state.tensors or tuple(state.tensors[name].shape) != shape:
            there = list(state.tensors[name].shape) if name in state.tensors else "nothing"
            raise TransformError(f"tensor {name}: {there}, the graph says {list(shape)}")
    return state
