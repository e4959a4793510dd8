"""Quality of detection and segmentation as plain numbers: standard library only, so that a board can tell it.

Average precision follows COCO's definition (101 recall levels, greedy matching by score, 100 boxes an image, all
sizes) and is tested against pycocotools.
"""

from typing import Dict, List, NamedTuple, Sequence, Tuple

#: (x1, y1, x2, y2) in pixels
Box = Sequence[float]
MAX_BOXES = 100
#: IoU .50, .55, ... .95
THRESHOLDS = tuple(0.5 + index * (0.95 - 0.5) / 9 for index in range(10))
_RECALLS = tuple(index * 0.01 for index in range(100)) + (1.0,)


class Detection(NamedTuple):
    """A predicted box: class number, score and corners in pixels."""

    label: int
    score: float
    box: Box


class Truth(NamedTuple):
    """A box that is there: class number and corners in pixels."""

    label: int
    box: Box


def box_iou(first: Box, second: Box) -> float:
    """Return the intersection over union of two boxes; 0 where both are empty."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


class MeanAP(NamedTuple):
    """Mean average precision over classes that occur, 0..1.

    Attributes:
        map_50: at IoU 0.5.
        map_50_95: mean over IoU 0.50, 0.55 ... 0.95.
    """

    map_50: float
    map_50_95: float


def mean_ap(predicted: Sequence[Sequence[Detection]], truth: Sequence[Sequence[Truth]]) -> MeanAP:
    """Compute the mean average precision of predicted boxes.

    Args:
        predicted: of each image, any order.
        truth: of each image, as many images.

    Raises:
        ValueError: other numbers of images, or no true box at all.
    """
    if len(predicted) != len(truth):
        raise ValueError("%d images with predictions, %d with truth" % (len(predicted), len(truth)))
    labels = sorted({item.label for items in truth for item in items})
    if not labels:
        raise ValueError("no true box in any image: average precision has no value")
    by_threshold = [[_class_ap(predicted, truth, label, at) for label in labels] for at in THRESHOLDS]
    means = [sum(values) / len(values) for values in by_threshold]
    return MeanAP(means[0], sum(means) / len(means))


def _class_ap(
    predicted: Sequence[Sequence[Detection]], truth: Sequence[Sequence[Truth]], label: int, threshold: float
) -> float:
    """Return the average precision of one class at one IoU threshold."""
    hits: List[Tuple[float, bool]] = []
    n_true = 0
    for image, items in enumerate(truth):
        wanted = [item.box for item in items if item.label == label]
        n_true += len(wanted)
        boxes = [item for item in predicted[image] if item.label == label]
        boxes = sorted(boxes, key=lambda item: -item.score)[:MAX_BOXES]
        hits += _matched(boxes, wanted, threshold)
    hits.sort(key=lambda hit: -hit[0])
    return _area_under(hits, n_true)


def _matched(boxes: Sequence[Detection], wanted: Sequence[Box], threshold: float) -> List[Tuple[float, bool]]:
    """Return (score, hit) of each box of one image: it takes the best free true box at or above the threshold."""
    free = set(range(len(wanted)))
    rows = []
    for item in boxes:
        best, taken = threshold, -1
        for at in sorted(free):
            overlap = box_iou(item.box, wanted[at])
            if overlap >= best:
                best, taken = overlap, at
        free.discard(taken)
        rows.append((item.score, taken >= 0))
    return rows


def _area_under(hits: Sequence[Tuple[float, bool]], n_true: int) -> float:
    """Return the mean over 101 recall levels of the best precision at that recall or beyond."""
    right, curve = 0, []
    for count, (_, hit) in enumerate(hits, 1):
        right += hit
        curve.append((right / float(n_true), right / float(count)))
    best, reached = 0.0, []
    for recall, precision in reversed(curve):
        best = max(best, precision)
        reached.append((recall, best))
    reached.reverse()
    total, at = 0.0, 0
    for level in _RECALLS:
        while at < len(reached) and reached[at][0] < level:
            at += 1
        total += reached[at][1] if at < len(reached) else 0.0
    return total / len(_RECALLS)


def class_ious(confusion: Sequence[Sequence[int]]) -> Dict[int, float]:
    """Return class -> intersection over union, for classes that occur in truth or prediction.

    Args:
        confusion: pixels by true class (row) and predicted class (column).
    """
    ious = {}
    for label, row in enumerate(confusion):
        union = sum(row) + sum(other[label] for other in confusion) - row[label]
        if union:
            ious[label] = row[label] / float(union)
    return ious


def mean_iou(confusion: Sequence[Sequence[int]]) -> float:
    """Compute the mean intersection over union over classes that occur, 0..1.

    Raises:
        ValueError: no pixel at all.
    """
    ious = class_ious(confusion)
    if not ious:
        raise ValueError("no pixel: the mean IoU has no value")
    return sum(ious.values()) / len(ious)


def balanced_accuracy(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """Return the mean over classes that occur of the share of right predictions, 0..1.

    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 1, 1])
    0.8333333333333333
    """
    seen: Dict[int, int] = {}
    right: Dict[int, int] = {}
    for label, prediction in zip(labels, predictions):  # noqa: B905  Python 3.10
        seen[label] = seen.get(label, 0) + 1
        right[label] = right.get(label, 0) + (label == prediction)
    return sum(right[label] / seen[label] for label in seen) / len(seen)
