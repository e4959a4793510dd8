"""Single-stage detection without anchors: targets, loss, boxes out of maps.

After FCOS (Tian et al., ICCV 2019), on one map: a cell near the middle of a box tells its class and the distances
from the cell's centre to the box's four sides. Loss: focal loss of the classes (Lin et al., ICCV 2017) and
generalised IoU of the boxes (Rezatofighi et al., CVPR 2019), both divided by the number of such cells.
"""

from typing import Any, List, NamedTuple, Sequence, Tuple

import torch
import torch.nn.functional as F

from tunebench.workloads.models.dense import CELL
from tunebench.workloads.tasks.metrics import MAX_BOXES, Detection, Truth

_RADIUS = 1.5 * CELL  # of the middle of a box, in pixels
_ALPHA, _GAMMA = 0.25, 2.0  # focal loss
_LEAST_SCORE, _OVERLAP, _CANDIDATES = 0.05, 0.5, 300


class Targets(NamedTuple):
    """What the output maps should hold for n images.

    Attributes:
        classes: (n, k, h, w), 1 where a cell belongs to a box of that class.
        boxes: (n, 4, h, w), corners in pixels.
        inside: (n, h, w), 1 where a cell belongs to a box.
    """

    classes: Any
    boxes: Any
    inside: Any

    def rows(self, index: Any) -> "Targets":
        """Return the targets of some images."""
        return Targets(*(item.index_select(0, index) for item in self))


def centres(height: int, width: int, device: Any = None) -> Any:
    """Return the centres of cells in pixels: (2, height, width), x then y."""
    ys = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * CELL
    xs = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * CELL
    return torch.stack([xs.expand(height, width), ys.reshape(-1, 1).expand(height, width)])


def make_targets(truth: Sequence[Sequence[Truth]], n_classes: int, height: int, width: int) -> Targets:
    """Make the targets of images; ``height`` and ``width`` count cells.

    Where boxes share a cell, the smaller box has it.
    """
    classes = torch.zeros(len(truth), n_classes, height, width)
    boxes = torch.zeros(len(truth), 4, height, width)
    inside = torch.zeros(len(truth), height, width)
    middle = centres(height, width)
    for image, items in enumerate(truth):
        for item in sorted(
            items, key=lambda item: -(item.box[2] - item.box[0]) * (item.box[3] - item.box[1])
        ):
            cells = _cells_of(item.box, middle)
            classes[image, :, cells] = 0.0
            classes[image, item.label, cells] = 1.0
            boxes[image, :, cells] = torch.tensor(list(item.box), dtype=torch.float32).reshape(4, 1)
            inside[image, cells] = 1.0
    return Targets(classes, boxes, inside)


def _cells_of(box: Sequence[float], middle: Any) -> Any:
    """Return a mask (h, w) of the cells that belong to a box: near its middle and inside; at least the nearest one."""
    x1, y1, x2, y2 = box
    x, y = middle[0], middle[1]
    away_x, away_y = (x - (x1 + x2) / 2).abs(), (y - (y1 + y2) / 2).abs()
    mask = (x > x1) & (x < x2) & (y > y1) & (y < y2) & (away_x < _RADIUS) & (away_y < _RADIUS)
    if not bool(mask.any()):
        nearest = int((away_x + away_y).reshape(-1).argmin())
        mask.reshape(-1)[nearest] = True
    return mask


def corners(raw: Any) -> Any:
    """Convert raw distances (n, 4, h, w) to corners in pixels (n, 4, h, w)."""
    away = F.softplus(raw) * CELL
    middle = centres(raw.shape[2], raw.shape[3], raw.device)
    return torch.cat([middle - away[:, :2], middle + away[:, 2:]], 1)


def loss(outputs: Tuple[Any, ...], targets: Targets) -> Any:
    """Return the loss over all cells, divided by the number of cells that belong to a box: a scalar."""
    scores, raw = outputs
    count = targets.inside.sum().clamp(min=1.0)
    plain = F.binary_cross_entropy_with_logits(scores, targets.classes, reduction="none")
    right = torch.exp(-plain)
    weight = _ALPHA * targets.classes + (1 - _ALPHA) * (1 - targets.classes)
    focal = (weight * (1 - right) ** _GAMMA * plain).sum()
    overlap = generalised_iou(corners(raw), targets.boxes)
    return (focal + ((1 - overlap) * targets.inside).sum()) / count


def generalised_iou(first: Any, second: Any) -> Any:
    """Return the generalised IoU of boxes as corners along dimension 1: (n, 4, ...) -> (n, ...), -1..1."""
    x1, y1, x2, y2 = first.unbind(1)
    u1, v1, u2, v2 = second.unbind(1)
    shared = (torch.min(x2, u2) - torch.max(x1, u1)).clamp(min=0) * (
        torch.min(y2, v2) - torch.max(y1, v1)
    ).clamp(min=0)
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared + 1e-6
    hull = (torch.max(x2, u2) - torch.min(x1, u1)) * (torch.max(y2, v2) - torch.min(y1, v1)) + 1e-6
    return shared / union - (hull - union) / hull


def decode(outputs: Tuple[Any, ...]) -> List[List[Detection]]:
    """Return the boxes of each image: scores above 0.05, the best of overlapping boxes of a class, 100 at most."""
    scores, raw = outputs
    height, width = raw.shape[2] * CELL, raw.shape[3] * CELL
    boxes = corners(raw).flatten(2)
    boxes = torch.stack([boxes[:, i].clamp(0, width if i % 2 == 0 else height) for i in range(4)], 2)
    probabilities = torch.sigmoid(scores).flatten(1)
    cells = boxes.shape[1]
    detections = []
    for image in range(boxes.shape[0]):
        best, at = probabilities[image].topk(min(_CANDIDATES, probabilities.shape[1]))
        at = at[best > _LEAST_SCORE]
        chosen = boxes[image].index_select(0, at % cells)
        detections.append(_kept(best.tolist(), (at // cells).tolist(), chosen))
    return detections


def _kept(scores: List[float], labels: List[int], boxes: Any) -> List[Detection]:
    """Return the boxes that non-maximum suppression within classes leaves; all arguments are sorted, best first."""
    overlaps = pairwise_iou(boxes).tolist()
    corners_of = boxes.tolist()
    kept: List[int] = []
    for at, label in enumerate(labels):
        if len(kept) < MAX_BOXES and all(
            labels[other] != label or overlaps[at][other] <= _OVERLAP for other in kept
        ):
            kept.append(at)
    return [Detection(labels[at], scores[at], corners_of[at]) for at in kept]


def pairwise_iou(boxes: Any) -> Any:
    """Return the IoU of every two boxes: (m, 4) -> (m, m)."""
    low = torch.max(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.min(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = (high - low).clamp(min=0)
    shared = sides[..., 0] * sides[..., 1]
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return shared / (area[:, None] + area[None, :] - shared + 1e-9)
