"""Detection: targets, loss and boxes agree with one another."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from tunebench.workloads.engines.pytorch.networks import detection  # noqa: E402
from tunebench.workloads.tasks.metrics import Truth, mean_ap  # noqa: E402

pytestmark = pytest.mark.torch

TRUTH = [
    [Truth(0, (4.0, 6.0, 30.0, 28.0)), Truth(2, (40.0, 8.0, 62.0, 40.0))],
    [Truth(1, (10.0, 30.0, 18.0, 36.0))],
]


def perfect(truth, n_classes=3, height=6, width=8):
    """Maps that say exactly what the targets want."""
    targets = detection.make_targets(truth, n_classes, height, width)
    middle = detection.centres(height, width)
    away = torch.cat([middle - targets.boxes[:, :2], targets.boxes[:, 2:] - middle], 1).clamp(min=0.01) / 8
    raw = torch.where(targets.inside[:, None] > 0, away.expm1().log(), torch.zeros(()))
    return (targets.classes * 20 - 10, raw), targets


def test_maps_that_say_what_the_targets_want_give_the_boxes_back():
    outputs, targets = perfect(TRUTH)
    assert mean_ap(detection.decode(outputs), TRUTH).map_50_95 == pytest.approx(1.0)
    assert float(detection.loss(outputs, targets)) < 0.01


def test_the_loss_falls_along_its_gradient():
    torch.manual_seed(0)
    _, targets = perfect(TRUTH)
    outputs = [torch.randn(2, 3, 6, 8, requires_grad=True), torch.randn(2, 4, 6, 8, requires_grad=True)]
    before = detection.loss(tuple(outputs), targets)
    gradients = torch.autograd.grad(before, outputs)
    after = detection.loss(tuple(a - 0.01 * g for a, g in zip(outputs, gradients, strict=True)), targets)
    assert float(after.detach()) < float(before.detach())


def test_a_box_smaller_than_a_cell_still_has_one():
    targets = detection.make_targets([[Truth(1, (9.0, 9.0, 11.0, 11.0))]], 3, 6, 8)
    assert targets.inside.nonzero().tolist() == [[0, 1, 1]]
    assert targets.classes[0, :, 1, 1].tolist() == [0.0, 1.0, 0.0]


def test_where_boxes_meet_the_smaller_one_has_the_cell():
    truth = [[Truth(1, (8.0, 8.0, 16.0, 16.0)), Truth(0, (0.0, 0.0, 24.0, 24.0))]]
    targets = detection.make_targets(truth, 3, 6, 8)
    assert targets.classes[0, :, 1, 1].tolist() == [0.0, 1.0, 0.0]
    assert targets.classes[0, :, 0, 1].tolist() == [1.0, 0.0, 0.0]


def test_an_image_without_boxes_has_a_finite_loss():
    outputs, targets = perfect([[]])
    assert 0 <= float(detection.loss(outputs, targets)) < 1


def test_generalised_iou_by_hand():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    others = torch.tensor([[1.0, 0.0, 3.0, 2.0], [2.0, 0.0, 3.0, 1.0]])
    # 2/6 - 0 (the hull is the union), and 0 - 1/3 (apart by one)
    assert detection.generalised_iou(boxes, others).tolist() == pytest.approx([1 / 3, -1 / 3], abs=1e-4)


def test_of_overlapping_boxes_of_a_class_the_best_is_kept():
    scores = torch.full((1, 2, 2, 2), -10.0)
    scores[0, 0] = torch.tensor([[2.0, 1.0], [0.5, 0.0]])
    scores[0, 1, 0, 0] = 1.0  # another class at the same place stays
    raw = torch.full((1, 4, 2, 2), 3.0)
    detections = detection.decode((scores, raw))[0]
    assert sorted(item.label for item in detections) == [0, 1]
    assert detections[0].score == pytest.approx(float(torch.sigmoid(torch.tensor(2.0))))
