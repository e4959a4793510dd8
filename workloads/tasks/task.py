"""Make what an engine is given: spec, plan, data and start weights, checked against one another.

Tensors of a part (``finetune``, ``test``) of the data:

- rows of numbers: ``PART_x`` float32 (n, n_in), ``PART_y`` int32 (n,), class of each row.

Texts are tokens: ``PART_x`` int32 (n, longest), padded behind; ``PART_n`` int32 (n,), tokens of each text; and
``PART_y`` int32 (n,), class of each text. Of a language model a part is one row of tokens, ``PART_x`` int32 (all,), which
is cut here into texts of ``seq_len``; what is left at the end is left out.

Images are bytes, scaled to 0..1 by the engine: ``PART_x`` uint8 (n, c, h, w), and

- classify: ``PART_y`` int32 (n,), class of each image;
- segment: ``PART_y`` uint8 (n, h, w), class of each pixel, 0 the background;
- detect: ``PART_y`` int32 (m, 2), image and class of each box, and ``PART_boxes`` float32 (m, 4), its corners in
  pixels (x1, y1, x2, y2).
"""

import math
from typing import Dict, Iterable, List, NamedTuple, Tuple

from tunebench.workloads.artefact import TRUNK, Artefact, ArtefactError, Tensor, tensor
from tunebench.workloads.methods import table
from tunebench.workloads.methods.plan import Plan, plan
from tunebench.workloads.methods.quantized_base import with_quantized_base
from tunebench.workloads.models import MODELS, graph_of
from tunebench.workloads.models.graph import LANGUAGE, ROWS, TEXT, Graph, weight_shapes
from tunebench.workloads.models.graph_json import from_json
from tunebench.workloads.models.language import SEQ_LEN, is_text_model
from tunebench.workloads.models.language import build as build_transformer
from tunebench.workloads.tasks.metrics import Truth
from tunebench.workloads.tasks.spec import Spec, SpecError


class Task(NamedTuple):
    """A fine-tuning, ready for an engine.

    Attributes:
        spec: hyper-parameters, device, threads.
        plan: the method applied to the model.
        data: tensors as the module says.
        weights: base weights by :func:`tunebench.workloads.models.graph.weight_shapes`' names.
    """

    spec: Spec
    plan: Plan
    data: Artefact
    weights: Artefact

    @property
    def n_train(self) -> int:
        """Return the number of fine-tuning samples."""
        return self.data.need("finetune_x").shape[0]

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of updates in an epoch, the last short one included; 0 of a method without steps."""
        return -(-self.n_train // self.spec.update_batch) if self.plan.trains else 0

    @property
    def n_classes(self) -> int:
        """Return the number of classes of the data set."""
        return int(self.data.meta["n_classes"])


def make_task(spec: Spec, data: Artefact, weights: Artefact) -> Task:
    """Check the parts against one another and put them together.

    Raises:
        SpecError: the model's task is not the data set's, a batch larger than the set, a label out of range, NaN among
            the inputs, settings of adapters for a method without any.
        UnknownMethod, UnsupportedMethod, UnknownModel, UnsupportedModel, WorkloadError: see
            :mod:`tunebench.workloads.methods.plan` and :mod:`tunebench.workloads.models`.
        ArtefactError: a tensor is missing or has another shape or type.
    """
    if is_text_model(spec.model):
        return _text_task(spec, data, weights)
    rows = spec.model not in MODELS or MODELS[spec.model].task == ROWS
    shape = (_number(data, "n_in"),) if rows else _image_shape(data)
    n_classes, row = _number(data, "n_classes"), table.method(spec.method or "")
    if not rows and data.meta.get("task") != MODELS[spec.model].task:
        raise SpecError(
            "workload.model is %r, for data sets to %s; this one is to %s"
            % (spec.model, MODELS[spec.model].task, data.meta.get("task"))
        )
    graph = graph_of(spec.model, shape, n_classes)
    if "graph" in weights.meta:
        graph = _changed_graph(graph, weights)
    task = _planned(spec, row, graph, data, weights)
    for part in ("finetune", "test"):
        if rows:
            _check_rows(data, part, shape[0], n_classes)
        else:
            _check_images(data, part, shape, n_classes)
    if spec.batch > task.n_train:
        raise SpecError(
            "workload.batch is %d, the fine-tuning set has %d %s"
            % (spec.batch, task.n_train, "rows" if rows else "images")
        )
    _check_statistics(task)
    return task


def _changed_graph(built: Graph, weights: Artefact) -> Graph:
    """Return the network of start weights that a transform has changed: it takes and gives what the model does."""
    graph = from_json(weights.meta["graph"])
    ends = [
        {node.name: node.shape for node in network.nodes}.get(network.outputs[0])
        for network in (graph, built)
    ]
    if (graph.task, graph.shape) != (built.task, built.shape) or ends[0] != ends[1]:
        raise ArtefactError(
            "weights: a network to %s from inputs of %s, this model is to %s from %s"
            % (graph.task, list(graph.shape), built.task, list(built.shape))
        )
    return graph


def _planned(spec: Spec, row: table.Method, graph: Graph, data: Artefact, weights: Artefact) -> Task:
    """Apply the method to the graph, and hold the weights against it."""
    _check_keys(spec, row)
    applied = plan(
        row,
        graph,
        spec.rank,
        spec.training.batchnorm,
        spec.training.head,
        skips=spec.skips,
        checkpoint=spec.checkpoint,
        targets=spec.targets,
    )
    applied = applied._replace(dtype=spec.dtype, accumulate=spec.training.accumulate)
    applied = with_quantized_base(applied, row.name, spec.quantized_base)
    for name, needed in weight_shapes(graph):
        if weights.kind == TRUNK and name not in weights.tensors:
            continue  # it is within the program that an engine runs
        given = weights.need(name).shape
        if given != needed:
            raise ArtefactError(
                "weights: %s has shape %s, model %r on this data set needs %s"
                % (name, list(given), spec.model, list(needed))
            )
    return Task(spec, applied, data, weights)


def _text_task(spec: Spec, data: Artefact, weights: Artefact) -> Task:
    """Put a task of texts together; the weights' meta has the transformer's config."""
    config, n_classes = weights.meta.get("config"), _number(data, "n_classes")
    goal, seq_len = str(data.meta.get("task")), spec.seq_len or SEQ_LEN
    if not isinstance(config, dict) or goal not in (TEXT, LANGUAGE):
        raise SpecError(
            "workload.model is %r, a transformer: its data are tokens of texts, these are not" % spec.model
        )
    if data.meta.get("tokenizer_sha256") != weights.meta.get("tokenizer_sha256"):
        raise ArtefactError(
            "data: tokenised by another tokenizer than the model's; run `tunebench prepare` again"
        )
    graph = build_transformer(spec.model, config, seq_len, n_classes, goal)
    if goal == LANGUAGE:
        data = data._replace(tensors={**data.tensors, **_cut(data, seq_len)})
    task = _planned(spec, table.method(spec.method or ""), graph, data, weights)
    for part in ("finetune", "test"):
        tokens = data.need(part + "_x")
        count = tokens.shape[0] if len(tokens.shape) == 2 else 0
        _expect(part + "_x", tokens, "int32", (count, tokens.shape[-1]))
        _expect(part + "_n", data.need(part + "_n"), "int32", (count,))
        if goal == TEXT:
            labels = data.need(part + "_y")
            _expect(part + "_y", labels, "int32", (count,))
            _check_range(part, labels.array(), n_classes)
        values, known = tokens.array(), config.get("vocab_size", 0)
        if count and not 0 <= min(values) <= max(values) < known:
            raise SpecError(
                "data: %s_x has a token beyond 0..%d, all that model %r knows" % (part, known - 1, spec.model)
            )
    if spec.update_batch > task.n_train:
        times = spec.training.accumulate
        what = "workload.batch is %d" % spec.batch + (
            " and workload.accumulate %d" % times if times > 1 else ""
        )
        raise SpecError("%s, the fine-tuning set has %d texts" % (what, task.n_train))
    return task


def _cut(data: Artefact, seq_len: int) -> Dict[str, Tensor]:
    """Return the tokens of both parts as texts of equal length.

    Raises:
        SpecError: there are fewer tokens than one text needs.
    """
    made: Dict[str, Tensor] = {}
    for part in ("finetune", "test"):
        tokens = data.need(part + "_x")
        _expect(part + "_x", tokens, "int32", (tokens.size,))
        count = tokens.size // seq_len
        if not count:
            raise SpecError(
                "workload.seq_len is %d, part %s has %d tokens: give at most so many, or more text"
                % (seq_len, part, tokens.size)
            )
        values = memoryview(tokens.data).cast("B")[: 4 * count * seq_len]
        made[part + "_x"] = Tensor("int32", (count, seq_len), values)
        made[part + "_n"] = tensor("int32", (count,), [seq_len] * count)
    return made


def _check_statistics(task: Task) -> None:
    """Refuse batches of one sample where BatchNorm's statistics are taken from them: they have no variance."""
    spec, entropy = task.spec, task.plan.objective == table.ENTROPY
    if task.plan.statistics and spec.batch < 2:
        raise SpecError(
            "workload.batch is %d: re-estimating BatchNorm's statistics needs batches of 2 samples or more"
            % spec.batch
        )
    if entropy and task.n_train % spec.batch == 1:
        raise SpecError(
            "workload.batch is %d: of %d samples it leaves a last batch of 1, but method %r takes BatchNorm's "
            "statistics from every batch; use another batch" % (spec.batch, task.n_train, spec.method)
        )


def _check_keys(spec: Spec, row: table.Method) -> None:
    """Refuse keys that mean nothing for a method; BatchNorm's and the head's are checked with the plan."""
    given = spec.training.changed + (("alpha",) if spec.alpha is not None else ())
    for key in given:
        if key in table.OWN_KEYS or table.honours(row, key):
            continue
        if row.gradient == table.FORWARD_ONLY and key not in table.ADAPTER_KEYS:
            raise SpecError(
                "workload.%s is about gradients, method %r computes none: leave the key out; methods that do: %s"
                % (key, row.name, ", ".join(table.honouring(key, spec.model)))
            )
        if row.frozen_extractors:
            raise SpecError(
                "workload.%s is the rate of B over that of A, method %r trains B alone: leave the key out; methods that "
                "train both: %s" % (key, row.name, ", ".join(table.honouring(key, spec.model)))
            )
        about, fitting = (
            ("adapters", "with adapters") if key in table.ADAPTER_KEYS else ("steps", "with steps")
        )
        raise SpecError(
            "workload.%s is about %s, method %r has none; methods %s: %s"
            % (key, about, row.name, fitting, ", ".join(table.honouring(key, spec.model)))
        )


def _number(data: Artefact, key: str) -> int:
    value = data.meta.get(key)
    if type(value) is not int:
        raise ArtefactError("data: meta.%s is %r, expected an integer" % (key, value))
    return value


def _image_shape(data: Artefact) -> Tuple[int, ...]:
    shape, n_classes = data.meta.get("shape"), data.meta.get("n_classes")
    sizes = shape if isinstance(shape, list) else []
    if len(sizes) != 3 or any(type(size) is not int for size in sizes) or type(n_classes) is not int:
        raise ArtefactError(
            "data: meta.shape is %r and meta.n_classes %r, expected [c, h, w] and an integer: these are no images"
            % (shape, n_classes)
        )
    return tuple(sizes)


def _check_rows(data: Artefact, part: str, n_in: int, n_classes: int) -> None:
    inputs, labels = data.need(part + "_x"), data.need(part + "_y")
    if inputs.dtype != "float32" or labels.dtype != "int32":
        raise ArtefactError("data: %s_x must be float32 and %s_y int32" % (part, part))
    if len(inputs.shape) != 2 or inputs.shape[1] != n_in or labels.shape != inputs.shape[:1]:
        raise ArtefactError(
            "data: %s_x has shape %s and %s_y %s, expected [n, %d] and [n]"
            % (part, list(inputs.shape), part, list(labels.shape), n_in)
        )
    _check_range(part, labels.array(), n_classes)
    # a sum is non-finite exactly if a value is (float32 values cannot overflow a double), and is fast
    if not math.isfinite(sum(inputs.array())):
        raise SpecError("data: %s_x has NaN or infinite values" % part)


def _check_images(data: Artefact, part: str, shape: Tuple[int, ...], n_classes: int) -> None:
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


def _expect(name: str, item: Tensor, dtype: str, shape: Tuple[int, ...]) -> None:
    if (item.dtype, item.shape) != (dtype, shape):
        raise ArtefactError(
            "data: %s is %s of shape %s, expected %s %s"
            % (name, item.dtype, list(item.shape), dtype, list(shape))
        )


def _check_range(part: str, values: Iterable[int], limit: int) -> None:
    for index, value in enumerate(values):
        if not 0 <= value < limit:
            raise SpecError("data: %s_y[%d] is %d, expected 0..%d" % (part, index, value, limit - 1))


def true_boxes(data: Artefact, part: str) -> List[List[Truth]]:
    """Return the boxes of each image of a detection set."""
    boxes: List[List[Truth]] = [[] for _ in range(data.need(part + "_x").shape[0])]
    rows, corners = data.need(part + "_y").array(), data.need(part + "_boxes").array()
    for at in range(len(rows) // 2):
        boxes[rows[2 * at]].append(Truth(rows[2 * at + 1], tuple(corners[4 * at : 4 * at + 4])))
    return boxes
