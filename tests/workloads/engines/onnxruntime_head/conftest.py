"""Tasks whose start weights are a trunk, as the host writes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tunebench.workloads import artefact
from tunebench.workloads.compress.state import Numbers, State, state_of
from tunebench.workloads.compress.train import part_of, ranges_of
from tunebench.workloads.compress.trunk import trunk_artefact
from tunebench.workloads.engines.head import head_of
from tunebench.workloads.engines.onnxruntime_head import NAME
from tunebench.workloads.models import graph_of
from tunebench.workloads.prepare.pretrain import shape_of
from tunebench.workloads.tasks import task


def in_numbers(state: State, numbers: str, data: artefact.Artefact) -> State:
    """Return a network in a form of numbers; int8's scales are those of the fine-tuning images."""
    ranges = {}
    if numbers == "int8-static":
        ranges = ranges_of(state, part_of(data, "finetune", state.graph).inputs)
    return replace(state, numbers=Numbers(numbers, ranges=ranges))


@pytest.fixture(scope="session")
def on_trunk(small):
    """Function (method, model, numbers="float32", **spec) -> the task for this engine, and the torch engine's."""

    def make(method: str, model: str, numbers: str = "float32", **keys: Any) -> tuple[task.Task, task.Task]:
        plain = small(method, model, **keys)
        meta = plain.data.meta
        state = state_of(graph_of(model, shape_of(meta), meta["n_classes"]), plain.weights)
        state = in_numbers(state, numbers, plain.data)
        raw = trunk_artefact(state, head_of(plain.plan, NAME), [], {})
        spec = plain.spec._replace(engine=NAME)
        return task.make_task(spec, plain.data, artefact.decode(bytearray(raw))), plain

    return make
