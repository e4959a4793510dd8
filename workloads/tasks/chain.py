"""What an engine is given: spec, plan, data and start weights, checked against one another."""

import math
from typing import NamedTuple, Tuple

from tunebench.workloads.artefact import Artefact, ArtefactError
from tunebench.workloads.methods import chain_plan, table
from tunebench.workloads.models import Layer, layers_of
from tunebench.workloads.tasks.spec import Spec, SpecError


class Task(NamedTuple):
    """A fine-tuning, ready for an engine.

    Attributes:
        spec: hyper-parameters, device, threads.
        plan: the method applied to the model.
        data: tensors ``finetune_x`` (n, n_in), ``finetune_y`` (n,), ``test_x``, ``test_y``.
        weights: base weights by :func:`weight_shapes`' names.
    """

    spec: Spec
    plan: chain_plan.Plan
    data: Artefact
    weights: Artefact

    @property
    def n_train(self) -> int:
        """Fine-tuning samples."""
        return self.data.need("finetune_x").shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the last short one included."""
        return -(-self.n_train // self.spec.batch)


def weight_shapes(layers: Tuple[Layer, ...]) -> "list[Tuple[str, Tuple[int, ...]]]":
    """Names and shapes of a model's tensors in a weights artefact, in order."""
    rows = []
    for index, layer in enumerate(layers):
        rows.append(("layer%d.weight" % index, layer.weight_shape))
        rows.append(("layer%d.bias" % index, (layer.channels_out,)))
        if layer.norm:
            for part in ("gamma", "beta", "mean", "variance"):
                rows.append(("layer%d.%s" % (index, part), (layer.channels_out,)))
    return rows


def make_task(spec: Spec, data: Artefact, weights: Artefact) -> Task:
    """Check the parts against one another and put them together.

    Raises:
        SpecError: batch larger than the set, label out of range, NaN among the inputs.
        UnknownMethod, UnsupportedMethod, UnknownModel, WorkloadError: see :mod:`tunebench.workloads.methods`.
        ArtefactError: a tensor is missing or has another shape than the model's.
    """
    n_in, n_classes = _number(data, "n_in"), _number(data, "n_classes")
    row = table.method(spec.method or "")
    layers = layers_of(spec.model, n_in, n_classes)
    plan = chain_plan.plan(row, spec.model, layers, spec.rank)
    for name, shape in weight_shapes(layers):
        found = weights.need(name).shape
        if found != shape:
            raise ArtefactError(
                "weights: %s has shape %s, model %r on this data set needs %s"
                % (name, list(found), spec.model, list(shape))
            )
    for part in ("finetune", "test"):
        _check_part(data, part, n_in, n_classes)
    task = Task(spec, plan, data, weights)
    if spec.batch > task.n_train:
        raise SpecError("workload.batch is %d, the fine-tuning set has %d rows" % (spec.batch, task.n_train))
    return task


def _number(data: Artefact, key: str) -> int:
    value = data.meta.get(key)
    if type(value) is not int:
        raise ArtefactError("data: meta.%s is %r, expected an integer" % (key, value))
    return value


def _check_part(data: Artefact, part: str, n_in: int, n_classes: int) -> None:
    inputs, labels = data.need(part + "_x"), data.need(part + "_y")
    if inputs.dtype != "float32" or labels.dtype != "int32":
        raise ArtefactError("data: %s_x must be float32 and %s_y int32" % (part, part))
    if len(inputs.shape) != 2 or inputs.shape[1] != n_in or labels.shape != inputs.shape[:1]:
        raise ArtefactError(
            "data: %s_x has shape %s and %s_y %s, expected [n, %d] and [n]"
            % (part, list(inputs.shape), part, list(labels.shape), n_in)
        )
    for index, label in enumerate(labels.array()):
        if not 0 <= label < n_classes:
            raise SpecError("data: %s_y[%d] is %d, expected 0..%d" % (part, index, label, n_classes - 1))
    # a sum is non-finite exactly if a value is (float32 values cannot overflow a double), and is fast
    if not math.isfinite(sum(inputs.array())):
        raise SpecError("data: %s_x has NaN or infinite values" % part)
