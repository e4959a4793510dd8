"""What the engine of networks is given: spec, plan, images and start weights, checked against one another.

Images are bytes, scaled to 0..1 by the engine. Tensors of a part (``finetune``, ``test``):

- ``PART_x`` uint8 (n, c, h, w);
- classify: ``PART_y`` int32 (n,), class of each image;
- segment: ``PART_y`` uint8 (n, h, w), class of each pixel, 0 the background;
- detect: ``PART_y`` int32 (m, 2), image and class of each box, and ``PART_boxes`` float32 (m, 4), its corners in
  pixels (x1, y1, x2, y2).
"""

from typing import Iterable, List, NamedTuple, Tuple

from tunebench.workloads.artefact import Artefact, ArtefactError
from tunebench.workloads.methods import network_plan, table
from tunebench.workloads.methods.network_plan import NetworkPlan
from tunebench.workloads.models import NETWORKS
from tunebench.workloads.models.graph import weight_shapes
from tunebench.workloads.models.networks import task_of
from tunebench.workloads.tasks.metrics import Truth
from tunebench.workloads.tasks.spec import Spec, SpecError


class NetworkTask(NamedTuple):
    """A fine-tuning of a network, ready for an engine.

    Attributes:
        spec: hyper-parameters, device, threads.
        plan: the method applied to the network.
        data: tensors as the module says.
        weights: base weights by :func:`tunebench.workloads.models.graph.weight_shapes`' names.
    """

    spec: Spec
    plan: NetworkPlan
    data: Artefact
    weights: Artefact

    @property
    def n_train(self) -> int:
        """Fine-tuning images."""
        return self.data.need("finetune_x").shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the last short one included."""
        return -(-self.n_train // self.spec.batch)

    @property
    def n_classes(self) -> int:
        """Of the data set."""
        return int(self.data.meta["n_classes"])


def make_network_task(spec: Spec, data: Artefact, weights: Artefact) -> NetworkTask:
    """Check the parts against one another and put them together.

    Raises:
        SpecError: the model's task is not the data set's, a batch larger than the set, a label out of range.
        UnknownMethod, UnsupportedMethod, UnsupportedModel, WorkloadError: see
        :mod:`tunebench.workloads.methods.network_plan`. ArtefactError: a tensor is missing or has another shape or
        type.
    """
    shape, n_classes = _meta(data)
    wanted = task_of(spec.model)
    if data.meta.get("task") != wanted:
        raise SpecError(
            "workload.model is %r, for data sets to %s; this one is to %s"
            % (spec.model, wanted, data.meta.get("task"))
        )
    graph = NETWORKS[spec.model](shape, n_classes)
    plan = network_plan.plan(table.method(spec.method or ""), graph, spec.rank)
    for name, needed in weight_shapes(graph):
        found = weights.need(name).shape
        if found != needed:
            raise ArtefactError(
                "weights: %s has shape %s, model %r on this data set needs %s"
                % (name, list(found), spec.model, list(needed))
            )
    for part in ("finetune", "test"):
        _check_part(data, part, shape, n_classes)
    task = NetworkTask(spec, plan, data, weights)
    if spec.batch > task.n_train:
        raise SpecError(
            "workload.batch is %d, the fine-tuning set has %d images" % (spec.batch, task.n_train)
        )
    return task


def _meta(data: Artefact) -> Tuple[Tuple[int, ...], int]:
    shape, n_classes = data.meta.get("shape"), data.meta.get("n_classes")
    sizes = shape if isinstance(shape, list) else []
    if len(sizes) != 3 or any(type(size) is not int for size in sizes) or type(n_classes) is not int:
        raise ArtefactError(
            "data: meta.shape is %r and meta.n_classes %r, expected [c, h, w] and an integer: these are no images"
            % (shape, n_classes)
        )
    return tuple(sizes), n_classes


def _check_part(data: Artefact, part: str, shape: Tuple[int, ...], n_classes: int) -> None:
    images, labels = data.need(part + "_x"), data.need(part + "_y")
    n_images = images.shape[0] if images.shape else 0
    task = data.meta["task"]
    _expect(part + "_x", images, "uint8", (n_images,) + shape)
    if task == "classify":
        _expect(part + "_y", labels, "int32", (n_images,))
        _check_range(part, labels.array(), n_classes)
    elif task == "segment":
        _expect(part + "_y", labels, "uint8", (n_images,) + shape[1:])
        _check_range(part, [max(labels.array())], n_classes)
    else:
        n_boxes = labels.shape[0] if labels.shape else 0
        _expect(part + "_y", labels, "int32", (n_boxes, 2))
        _expect(part + "_boxes", data.need(part + "_boxes"), "float32", (n_boxes, 4))
        _check_range(part, labels.array()[1::2], n_classes)
        _check_range(part, labels.array()[::2], n_images)


def _expect(name: str, item: "object", dtype: str, shape: Tuple[int, ...]) -> None:
    found = (getattr(item, "dtype"), getattr(item, "shape"))  # noqa: B009  one error for both
    if found != (dtype, shape):
        raise ArtefactError(
            "data: %s is %s of shape %s, expected %s %s"
            % (name, found[0], list(found[1]), dtype, list(shape))
        )


def _check_range(part: str, values: Iterable[int], limit: int) -> None:
    for index, value in enumerate(values):
        if not 0 <= value < limit:
            raise SpecError("data: %s_y[%d] is %d, expected 0..%d" % (part, index, value, limit - 1))


def true_boxes(data: Artefact, part: str) -> List[List[Truth]]:
    """The boxes of each image of a detection set."""
    found: List[List[Truth]] = [[] for _ in range(data.need(part + "_x").shape[0])]
    rows, corners = data.need(part + "_y").array(), data.need(part + "_boxes").array()
    for at in range(len(rows) // 2):
        found[rows[2 * at]].append(Truth(rows[2 * at + 1], tuple(corners[4 * at : 4 * at + 4])))
    return found
