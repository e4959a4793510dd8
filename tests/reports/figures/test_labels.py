"""Names beside the points of a scatter: apart from one another and inside the drawing, as far as there is room."""

import random

import pytest

from tunebench.reports.figures.base.labels import _box, _shared, placed

ROOM = (50.0, 0.0, 414.0, 240.0)


def overlaps(labels):
    boxes = [_box(label.x, label.y, label.text, label.anchor) for label in labels]
    return [(i, j) for i in range(len(boxes)) for j in range(i) if _shared(boxes[i], boxes[j]) > 0]


def inside(label, room=ROOM):
    left, top, right, bottom = _box(label.x, label.y, label.text, label.anchor)
    return left >= room[0] and right <= room[2] and top >= room[1] and bottom <= room[3]


def test_two_points_in_one_place_have_two_names_in_two_places():
    labels = placed([(200, 120, "lora-all (baseline)"), (201, 121, "skip2-lora")], ROOM)
    assert overlaps(labels) == []
    assert all(inside(label) for label in labels)


@pytest.mark.parametrize("x", [55, 410])
def test_a_point_at_the_edge_has_its_name_inside(x):
    (label,) = placed([(x, 120, "skip2-lora")], ROOM)
    assert inside(label)


@pytest.mark.parametrize("seed", range(8))
def test_five_methods_never_cover_one_another(seed):
    rng = random.Random(seed)
    names = ("ft-all (baseline)", "lora-all", "lora-last", "skip2-lora", "lorae")
    points = [(rng.uniform(60, 400), rng.uniform(20, 220), name) for name in names]
    labels = placed(points, ROOM)
    assert overlaps(labels) == []
    assert [label.text for label in labels] == list(names)


def test_a_name_far_from_its_point_asks_for_a_line():
    points = [(200, 120, f"method-{i}") for i in range(12)]
    labels = placed(points, ROOM)
    assert any(label.far for label in labels)
    assert not labels[0].far


def test_an_endless_name_is_cut():
    (label,) = placed([(200, 120, "x" * 5000)], ROOM)
    assert len(label.text) < 60
