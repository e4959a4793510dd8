"""Models by name, as graphs that every engine reads; nothing here imports torch.

:data:`MODELS` is the registry: a new model is one module with a function that builds its graph, and one line there.
"""

from importlib import import_module
from typing import Dict, NamedTuple, Optional, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import language, yolov8
from tunebench.workloads.models.graph import LANGUAGE, ROWS, TEXT, Graph, UnsupportedModel

Shape = Tuple[int, ...]


class Model(NamedTuple):
    """What a model registers.

    Attributes:
        builder: ``module:function`` of this package. The function is called with (name, shape of one input, number of
            classes) when a task is made, a plan is counted or start weights are trained; it returns the graph, or raises
            :class:`UnsupportedModel` for a shape that it does not take.
        task: what its data sets are for: ``classify``, ``detect`` or ``segment`` images; :data:`ROWS` takes rows of
            numbers and is a chain of layers.
        shape, n_classes: what it is counted at where nothing else is asked for.
        pretrained: its start weights are published ones (:mod:`tunebench.workloads.prepare.checkpoints`) with a head of
            our own; the others are trained on the host from nothing.
        native: the native engine has kernels for all of its layers.
    """

    builder: str
    task: str
    shape: Shape
    n_classes: int
    pretrained: bool = False
    native: bool = True

    def build(self, name: str, shape: Shape, n_classes: int) -> Graph:
        """Return the graph of the model called ``name`` for inputs of a shape and a number of classes.

        Raises:
            UnsupportedModel: the model does not take inputs of this shape.
        """
        module, _, function = self.builder.partition(":")
        graph: Graph = getattr(import_module("%s.%s" % (__name__, module)), function)(name, shape, n_classes)
        return graph


#: name -> model that suites train
MODELS: Dict[str, Model] = {
    "mlp": Model("mlp:mlp", ROWS, (256,), 3),
    "cnn": Model("cnn:cnn", ROWS, (64,), 10),
    "mobilenetv2-small": Model("classifiers:mobilenetv2_small", "classify", (1, 28, 28), 10),
    "squeezenet-small": Model("classifiers:squeezenet_small", "classify", (1, 28, 28), 10),
    "resnet-small": Model("classifiers:resnet_small", "classify", (1, 28, 28), 10),
    "shufflenetv2-small": Model("shufflenetv2:small", "classify", (1, 28, 28), 10, native=False),
    "mobilenetv3-tiny": Model("mobilenetv3:tiny", "classify", (1, 28, 28), 10, native=False),
    "efficientnet-small": Model("efficientnet:small", "classify", (1, 28, 28), 10, native=False),
    "detector-small": Model("dense:detector", "detect", (3, 128, 160), 3),
    "unet-small": Model("dense:unet", "segment", (1, 64, 64), 4),
    "mobilenetv2": Model(
        "classifiers:mobilenetv2_imagenet", "classify", (3, 224, 224), 1000, pretrained=True
    ),
    "efficientnet-lite0": Model("efficientnet:lite0", "classify", (3, 224, 224), 1000, pretrained=True),
}
#: name -> model at its published size, which is only counted
PUBLISHED: Dict[str, Model] = {
    "squeezenet1.1": Model("classifiers:squeezenet", "classify", (3, 224, 224), 1000),
    "resnet18": Model("classifiers:resnet", "classify", (3, 224, 224), 1000),
    "shufflenetv2": Model("shufflenetv2:shufflenetv2", "classify", (3, 224, 224), 1000),
    "mobilenetv3-small": Model("mobilenetv3:mobilenetv3", "classify", (3, 224, 224), 1000),
    "efficientnet-b0": Model("efficientnet:b0", "classify", (3, 224, 224), 1000),
}
#: models that train on images
NETWORKS = tuple(name for name in MODELS if MODELS[name].task != ROWS)
#: of those, the ones with published weights
PRETRAINED = tuple(name for name in MODELS if MODELS[name].pretrained)
#: names that :func:`counted` takes
COUNTED = tuple("yolov8" + size for size in yolov8.SIZES) + tuple(PUBLISHED) + NETWORKS
_IMAGENET, _COCO = 1000, 80


#: stands for every transformer, whose names say where its weights come from (:mod:`~tunebench.workloads.models.language`)
TRANSFORMER = Model("language:stand_in", TEXT, (language.SEQ_LEN,), 2, pretrained=True)


class UnknownModel(WorkloadError):
    """A model name that is not in :data:`MODELS`."""


class UnknownNetwork(WorkloadError):
    """A name that is none of :data:`COUNTED`."""


def find_model(name: str) -> Model:
    """Return what a model has registered, or what stands for every transformer.

    Raises:
        UnknownModel: names the known ones.
        UnsupportedModel: a transformer whose name is wrong.
    """
    if name in MODELS:
        return MODELS[name]
    if not language.is_text_model(name):
        raise UnknownModel(
            "unknown model %r, use one of: %s, or a transformer: pypi:PACKAGE==VERSION, folder:PATH, shape:NAME"
            % (name, ", ".join(MODELS))
        )
    language.parse_source(name)
    return TRANSFORMER


def family(name: str) -> str:
    """Return the name by which the table of methods knows a model."""
    return language.FAMILY if language.is_text_model(name) else name


def checked_graph(name: str, task: str = TEXT) -> Graph:
    """Return the graph by which a suite is checked: at the sizes that a model is counted at.

    Args:
        name: of the model.
        task: of the data set; decides what a transformer's output is.

    Raises:
        UnknownModel, UnsupportedModel: see :func:`find_model`.
    """
    model = find_model(name)
    if model.task == TEXT:
        return language.stand_in(name, task=LANGUAGE if task == LANGUAGE else TEXT)
    return model.build(name, model.shape, model.n_classes)


def graph_of(model: str, shape: Shape, n_classes: int) -> Graph:
    """Build a model's graph for a data set's sizes; not a transformer's, which needs its config.

    Raises:
        UnknownModel: names those for such data: rows of numbers, or images.
        UnsupportedModel: the model does not take inputs of this shape.
    """
    if model not in MODELS:
        fitting = sorted(name for name in MODELS if (name in NETWORKS) == (len(shape) == 3))
        raise UnknownModel("unknown model %r, use one of: %s" % (model, ", ".join(fitting)))
    return MODELS[model].build(model, shape, n_classes)


def counted(
    name: str, task: Optional[str] = None, n_classes: Optional[int] = None, side: Optional[int] = None
) -> Graph:
    """Build a network for counting, at its published size where nothing else is asked for.

    Args:
        name: one of :data:`COUNTED`, or a transformer's shape.
        task: of YOLOv8: ``detect`` (default), ``segment`` or ``classify``; the others have one.
        n_classes: None takes 80 for COCO's tasks and 1000 for ImageNet's; a small network's own set's.
        side: of a square input in pixels; None takes 640, 224, or a small network's own. Of a transformer: tokens.

    Raises:
        UnknownNetwork: names the allowed ones.
        UnsupportedModel: a task the network does not have, or a side it does not take.
    """
    if language.is_text_model(name):
        return _counted_transformer(name, task, n_classes, side)
    if name not in COUNTED:
        raise UnknownNetwork("unknown model %r, use one of: %s, or shape:NAME" % (name, ", ".join(COUNTED)))
    model = MODELS.get(name) or PUBLISHED.get(name)
    if model is not None:
        if task not in (None, model.task):
            raise UnsupportedModel("model %r has no task %r, use: %s" % (name, task, model.task))
        shape = model.shape if side is None else (model.shape[0], side, side)
        return model.build(name, shape, model.n_classes if n_classes is None else n_classes)
    wanted = task or "detect"
    classify = wanted == "classify"
    usual = _IMAGENET if classify else _COCO
    return yolov8.graph(
        name[len("yolov8") :], wanted, usual if n_classes is None else n_classes,
        (224 if classify else 640) if side is None else side,
    )  # fmt: skip


def _counted_transformer(
    name: str, task: Optional[str], n_classes: Optional[int], tokens: Optional[int]
) -> Graph:
    config = language.known_config(name)
    if config is None:
        shapes = ", ".join(language.SHAPES)
        raise UnknownNetwork(
            "model %r is not read to be counted, use its shape, shape:NAME: %s" % (name, shapes)
        )
    if task not in (None, TEXT, LANGUAGE):
        raise UnsupportedModel("model %r has no task %r, use: %s, %s" % (name, task, TEXT, LANGUAGE))
    return language.build(name, config, tokens or language.SEQ_LEN, n_classes or 2, task or TEXT)


__all__ = [
    "COUNTED",
    "MODELS",
    "NETWORKS",
    "PRETRAINED",
    "TRANSFORMER",
    "Model",
    "UnknownModel",
    "UnknownNetwork",
    "UnsupportedModel",
    "checked_graph",
    "counted",
    "family",
    "find_model",
    "graph_of",
]
