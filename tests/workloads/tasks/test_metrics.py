"""Detection and segmentation metrics: by hand, and against pycocotools and scikit-learn."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.workloads.tasks.metrics import Detection, Truth, box_iou, class_ious, mean_ap, mean_iou

UNIT = (0.0, 0.0, 10.0, 10.0)


def test_iou_by_hand():
    assert box_iou(UNIT, UNIT) == 1.0
    assert box_iou(UNIT, (5, 0, 15, 10)) == pytest.approx(50 / 150)
    assert box_iou(UNIT, (10, 0, 20, 10)) == 0.0


def test_average_precision_by_hand():
    truth = [[Truth(0, UNIT), Truth(0, (20, 20, 30, 30))]]
    right = Detection(0, 0.9, UNIT)
    wrong = Detection(0, 0.95, (50, 50, 60, 60))
    # one of two found, first in line: precision 1 up to recall 0.5, that is 51 of 101 levels
    assert mean_ap([[right]], truth).map_50 == pytest.approx(51 / 101)
    # a false alarm before it halves the precision
    assert mean_ap([[right, wrong]], truth).map_50 == pytest.approx(0.5 * 51 / 101)
    # a second box on the same truth is a false alarm behind it: costs nothing
    assert mean_ap([[right, right._replace(score=0.5)]], truth).map_50 == pytest.approx(51 / 101)
    assert mean_ap([[]], truth) == (0.0, 0.0)


def test_a_box_turned_inside_out_overlaps_nothing():
    assert box_iou(UNIT, (0.0, 6.0, 10.0, 4.0)) == 0.0


def test_a_loose_box_counts_at_low_thresholds_only():
    # IoU 0.72: a hit at .50, .55, .60, .65, .70
    precision = mean_ap([[Detection(0, 1.0, (0, 0, 7.2, 10))]], [[Truth(0, UNIT)]])
    assert precision.map_50 == pytest.approx(1.0)
    assert precision.map_50_95 == pytest.approx(0.5)


def test_classes_weigh_the_same_and_those_that_do_not_occur_nothing():
    truth = [[Truth(0, UNIT)] * 1 + [Truth(1, UNIT)]]
    assert mean_ap([[Detection(0, 1.0, UNIT), Detection(2, 1.0, UNIT)]], truth).map_50 == pytest.approx(0.5)


def test_what_has_no_value_is_refused():
    with pytest.raises(ValueError, match="no true box"):
        mean_ap([[]], [[]])
    with pytest.raises(ValueError, match="1 images with predictions, 0"):
        mean_ap([[]], [])
    with pytest.raises(ValueError, match="no pixel"):
        mean_iou([[0]])


coordinate = st.integers(0, 60)
boxes = st.tuples(coordinate, coordinate, st.integers(8, 30), st.integers(8, 30)).map(
    lambda b: (float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3]))
)
# a box of 8 pixels that every side moves by 3 keeps an area
moved = st.tuples(*[st.integers(-3, 3)] * 4)


@st.composite
def scenes(draw):
    """Images with true boxes, and predictions near them and elsewhere; scores all different, as ties have no order."""
    truth, predictions = [], []
    for _ in range(draw(st.integers(1, 4))):
        items = draw(st.lists(st.builds(Truth, st.integers(0, 2), boxes), max_size=6))
        near = [
            (item.label, tuple(a + d for a, d in zip(item.box, draw(moved), strict=True))) for item in items
        ]
        far = draw(st.lists(st.tuples(st.integers(0, 3), boxes), max_size=4))
        truth.append(items)
        predictions.append(near + far)
    count = sum(len(items) for items in predictions)
    order = iter(draw(st.permutations(range(count))))
    return truth, [
        [Detection(label, (next(order) + 1) / (count + 1), box) for label, box in items]
        for items in predictions
    ]


@settings(deadline=None, max_examples=40)
@given(scenes())
def test_average_precision_is_that_of_pycocotools(scene):
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    truth, predictions = scene
    if not any(truth):
        return
    expected = coco(truth, predictions)
    assert mean_ap(predictions, truth) == pytest.approx(expected, abs=1e-9)


def coco(truth, predictions):
    """(AP at 0.5, AP at 0.5:0.95) as pycocotools computes them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def row(image, item):
        x1, y1, x2, y2 = item.box
        box = [x1, y1, x2 - x1, y2 - y1]
        return {
            "image_id": image + 1,
            "category_id": item.label + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }

    rows = [row(image, item) for image, items in enumerate(truth) for item in items]
    gt = COCO()
    gt.dataset = {
        "images": [{"id": i + 1} for i in range(len(truth))],
        "categories": [{"id": i + 1} for i in range(4)],
        "annotations": [{**item, "id": i + 1} for i, item in enumerate(rows)],
    }
    detections = [
        {**row(image, item), "score": item.score} for image, items in enumerate(predictions) for item in items
    ]
    if not detections:
        return (0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        ran = COCOeval(gt, gt.loadRes(detections), "bbox")
        ran.evaluate()
        ran.accumulate()
        ran.summarize()
    return (float(ran.stats[1]), float(ran.stats[0]))


def test_mean_iou_by_hand():
    # class 0: 3 of 3 + 1 + 1; class 1: 2 of 2 + 1 + 1; class 2 does not occur
    confusion = [[3, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert class_ious(confusion) == {0: pytest.approx(3 / 5), 1: pytest.approx(2 / 4)}
    assert mean_iou(confusion) == pytest.approx((3 / 5 + 2 / 4) / 2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_mean_iou_is_that_of_scikit_learn(pairs):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    confusion = [[sum(p == (a, b) for p in pairs) for b in range(4)] for a in range(4)]
    labels = sorted({value for pair in pairs for value in pair})
    expected = sklearn.jaccard_score(
        *zip(*pairs, strict=True), labels=labels, average="macro", zero_division=0
    )
    assert mean_iou(confusion) == pytest.approx(expected)
