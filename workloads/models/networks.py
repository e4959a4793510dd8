"""The networks by name: those that suites train, and those that are only counted."""

from typing import Callable, Dict, Optional, Tuple

from tunebench.workloads.errors import WorkloadError
from tunebench.workloads.models import classifiers, dense, yolov8
from tunebench.workloads.models.graph import Graph
from tunebench.workloads.models.layer import UnsupportedModel

Shape = Tuple[int, ...]

#: name -> function (shape, n_classes) -> graph: small enough to be trained on a board
NETWORKS: Dict[str, Callable[[Shape, int], Graph]] = {
    "mobilenetv2-small": lambda shape, n: classifiers.mobilenetv2(
        "mobilenetv2-small", shape, n, width=0.5, last=320, stem_stride=1
    ),
    "squeezenet-small": lambda shape, n: classifiers.squeezenet(
        "squeezenet-small", shape, n, width=0.5, small_input=True
    ),
    "resnet-small": lambda shape, n: classifiers.resnet(
        "resnet-small", shape, n, widths=(16, 32, 64), blocks=(2, 2, 2), small_input=True
    ),
    "detector-small": lambda shape, n: dense.detector("detector-small", shape, n),
    "unet-small": lambda shape, n: dense.unet("unet-small", shape, n),
}

#: task of each network
TASK_OF = {"detector-small": "detect", "unet-small": "segment"}

_PUBLISHED: Dict[str, Callable[..., Graph]] = {
    "mobilenetv2": classifiers.mobilenetv2,
    "squeezenet1.1": classifiers.squeezenet,
    "resnet18": classifiers.resnet,
}
#: (input, classes) of the networks above where nothing else is asked for
_SMALL_DEFAULTS = {
    "mobilenetv2-small": ((1, 28, 28), 10),
    "squeezenet-small": ((1, 28, 28), 10),
    "resnet-small": ((1, 28, 28), 10),
    "detector-small": ((3, 128, 160), 3),
    "unet-small": ((1, 64, 64), 4),
}
#: names that :func:`counted` takes
COUNTED = tuple("yolov8" + size for size in yolov8.SIZES) + tuple(_PUBLISHED) + tuple(NETWORKS)
IMAGENET, COCO = 1000, 80


class UnknownNetwork(WorkloadError):
    """A name that is none of :data:`COUNTED`."""


def task_of(name: str) -> str:
    """The task of a network that suites train: ``classify``, ``detect`` or ``segment``."""
    return TASK_OF.get(name, "classify")


def counted(
    name: str, task: Optional[str] = None, n_classes: Optional[int] = None, side: Optional[int] = None
) -> Graph:
    """A network for counting, at its published size where nothing else is asked for.

    Args:
        name: one of :data:`COUNTED`.
        task: of YOLOv8: ``detect`` (default), ``segment`` or ``classify``; the others have one.
        n_classes: None takes 80 for COCO's tasks and 1000 for ImageNet's; a small network's own set's.
        side: of a square input in pixels; None takes 640, 224, or a small network's own.

    Raises:
        UnknownNetwork: names the allowed ones.
        UnsupportedModel: a task the network does not have, or a side it does not take.
    """
    if name not in COUNTED:
        raise UnknownNetwork("unknown model %r, use one of: %s" % (name, ", ".join(COUNTED)))
    if name in _PUBLISHED or name in NETWORKS:
        own = task_of(name)
        if task not in (None, own):
            raise UnsupportedModel("model %r has no task %r, use: %s" % (name, task, own))
        if name in _PUBLISHED:
            size = 224 if side is None else side
            return _PUBLISHED[name](name, (3, size, size), IMAGENET if n_classes is None else n_classes)
        shape, usual = _SMALL_DEFAULTS[name]
        return NETWORKS[name](shape if side is None else (shape[0], side, side), n_classes or usual)
    wanted = task or "detect"
    classify = wanted == "classify"
    usual = IMAGENET if classify else COCO
    return yolov8.graph(
        name[len("yolov8") :], wanted, usual if n_classes is None else n_classes,
        (224 if classify else 640) if side is None else side,
    )  # fmt: skip
