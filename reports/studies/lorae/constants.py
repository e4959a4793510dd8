"""What the LoRAE study aims at, and what was published."""

from __future__ import annotations

from dataclasses import dataclass

STUDY = "lorae"
METHOD = "lorae"
TITLE = "LoRAE study"
#: Full fine-tuning: updates of fewer parameters are counted against it.
REFERENCE = "ft-all"
#: Quality is called equal within this many points, unless the suite says otherwise.
AIM_POINTS = 1.0


@dataclass(frozen=True, slots=True)
class Published:
    """The paper's figure for one kind of task, our aim, and our inference.

    Attributes:
        name: of the task.
        reduction: published share of YOLOv8x's parameters that is not updated.
        target: least share that ours is to reach.
        inferred: rank and reduction of our own count on YOLOv8x that comes nearest.
    """

    name: str
    reduction: float
    target: float
    inferred: tuple[int, float]


#: main metric of a task -> its figures
PUBLISHED = {
    "accuracy": Published("classification", 0.861, 0.85, (64, 0.8537)),
    "mAP50": Published("detection", 0.986, 0.90, (4, 0.9857)),
    "mIoU": Published("segmentation", 0.941, 0.90, (16, 0.9404)),
}
#: metrics shown as well, where records have them
FURTHER = {"mAP50": ("mAP50-95",)}

PUBLISHED_SOURCE = "YOLOv8x, Wang, Ma, Zhai, Scientific Reports 15:33109, 2025, without loss of accuracy"
