"""Labels of axes: whatever is measured, none lies on another, none leaves the drawing, none is scientific or repeated."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations

import pytest

from tunebench.reports.figures.base.model import HALF, NARROW, WIDE
from tunebench.reports.figures.base.svg import Canvas, Scale, apart, log_ticks, plain, text_width, ticks
from tunebench.reports.figures.trend import Point, night_names, trend_figure
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader

SVG = "{http://www.w3.org/2000/svg}"


def drawings(html):
    """Every drawing of a page that has text."""
    for text in re.findall(r"<svg xmlns.*?</svg>", html, re.S):
        root = ET.fromstring(text)
        if list(root.iter(SVG + "text")):
            yield root


def labels(root):
    """(text, left, right, baseline) of an axis' labels: texts of the class tick."""
    for text in root.iter(SVG + "text"):
        if text.get("class") == "tick":
            x, wide = float(text.get("x")), text_width(text.text or "", 12.5)
            left = x - {"middle": wide / 2, "end": wide}.get(text.get("text-anchor"), 0.0)
            yield text.text or "", left, left + wide, float(text.get("y"))


def collisions(root):
    return [
        (a[0], b[0])
        for a, b in combinations(labels(root), 2)
        if abs(a[3] - b[3]) < 10 and a[1] < b[2] and b[1] < a[2]
    ]


@pytest.fixture
def scaled(store_reps, make_record):
    """Function (seconds, joules) -> the page of a run whose methods lie at and around these."""

    made = []

    def make(wall_s, spread=0.02, near=1.001):
        reps = []
        made.append(wall_s)
        for place, (label, share) in enumerate([("ft-all", 1.0), ("lora-all", near), ("skip2-lora", 0.3)]):
            for block in range(7):
                at = wall_s * share * (1 + spread * (block % 3))
                base = make_record()
                quality = base.quality.model_copy(update={"after": 0.9 + 0.0001 * block + 0.001 * place})
                reps.append(
                    base.model_copy(
                        update={
                            "label": label, "method": label, "block": block, "seed": block, "wall_s": at,
                            "quality": quality, "peak_rss_b": int(2e8 + 1e3 * block),
                        }
                    )
                )  # fmt: skip
            curve = [(e, wall_s * e / 10, 0.5 + e / 40) for e in range(11)]
            marked = base.model_copy(
                update={
                    "label": label, "method": label, "role": "instrumented", "wall_s": wall_s * share,
                    "window_phases_s": {"forward": wall_s * share / 2},
                    "quality": quality.model_copy(update={"curve": curve}),
                }
            )  # fmt: skip
            reps.append(marked)
        run_id = f"20261121T0745{len(made):02}Z-a1b2"
        return render(store_reps([rep.model_copy(update={"run_id": run_id}) for rep in reps]))

    return make


@pytest.mark.parametrize("wall_s", [2e-6, 3.3e-4, 0.0102, 1.0, 45.0, 7200.0, 2.6e5])
def test_no_two_labels_touch_at_any_size_of_time(scaled, wall_s):
    html = scaled(wall_s)
    assert len(list(drawings(html))) > 10
    assert [pair for root in drawings(html) for pair in collisions(root)] == []


@pytest.mark.parametrize(("spread", "near"), [(1e-7, 1.0), (0.5, 1.5), (0.0, 60.0)])
def test_no_two_labels_touch_however_far_values_lie_apart(scaled, spread, near):
    assert [pair for root in drawings(scaled(1.0, spread, near)) for pair in collisions(root)] == []


def test_no_label_is_in_scientific_notation_or_endless(scaled):
    for wall_s in (2e-6, 1.0, 2.6e5):
        for root in drawings(scaled(wall_s)):
            for text, *_ in labels(root):
                assert not re.search(r"\de[+-]?\d", text), text
                assert not re.search(r"0\.0{6}", text), text


def test_labels_below_an_axis_stay_inside_the_drawing(scaled, lab, study):
    for html in (scaled(3.3e-4), render(lab), render(study())):
        for root in drawings(html):
            width = float(root.get("viewBox").split()[2])
            outside = [text for text, left, right, _ in labels(root) if left < -1 or right > width + 1]
            assert outside == []


def test_no_two_labels_touch_on_the_pages_of_labs_and_studies(lab, study, lorae, demo):
    for reader in (lab, study(), lorae(), demo):
        assert [pair for root in drawings(render(reader)) for pair in collisions(root)] == []


def test_many_boards_in_small_panels_keep_their_labels_apart(campaign, fake_board, tmp_path):
    campaign.boards = [
        fake_board(f"board-{i}", "raspberry-pi", "Pi", speed=10.0 ** (i - 2)) for i in range(5)
    ]
    html = render(RunReader(campaign.write(tmp_path)))
    assert [pair for root in drawings(html) for pair in collisions(root)] == []


@pytest.mark.parametrize("width", [NARROW, HALF, WIDE])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 123456), (-0.003, 0.002), (0, 4e-9), (99.1, 99.3)])
def test_an_axis_writes_what_has_room_and_keeps_its_zero(width, low, high):
    canvas = Canvas(width, 50)
    scale = Scale(low, high, 10, width - 10)
    canvas.ticks_below(scale, ticks(low, high, 40), 30, plain)
    root = ET.fromstring(str(canvas.render("x", "t", "d")))
    shown = list(labels(root))
    assert 1 <= len(shown) <= 40
    assert collisions(root) == []
    if low <= 0 <= high:
        assert "0" in [text for text, *_ in shown]


def test_labels_with_equal_text_are_not_repeated():
    assert apart([(0, 10, "+0.2%"), (100, 10, "+0.2%"), (200, 10, "+0.3%")], [1, 2, 3], 0) == [
        (0, "+0.2%"),
        (200, "+0.3%"),
    ]


@pytest.mark.parametrize("power", [-15, -9, -4, 0, 6, 12])
def test_ticks_are_told_apart_at_any_size(power):
    for values in (ticks(0, 3 * 10.0**power, 6), log_ticks(10.0**power, 5 * 10.0**power)):
        assert len(set(values)) == len(values) >= 3
        assert len({plain(value) for value in values}) == len(values)


NIGHT = Point("2026-11-29T02:00:00Z", 1.0, 0.9, 1.1, 5, 0)


@pytest.mark.parametrize(
    ("days", "names"),
    [
        (["2026-11-28T02:00:00Z", "2026-11-29T02:00:00Z"], ["11-28", "11-29"]),
        (["2026-11-29T02:00:00Z", "2026-11-29T14:00:00Z"], ["11-29 02:00", "11-29 14:00"]),
        (["2026-11-29T02:00:10Z", "2026-11-29T02:00:50Z"], ["11-29 02:00:10", "11-29 02:00:50"]),
        (["2025-11-29T02:00:00Z", "2026-11-29T02:00:00Z"], ["2025-11-29", "2026-11-29"]),
        (["2026-11-29", "2026-11-30"], ["11-29", "11-30"]),
        (["2026-11-29T02:00:00Z"] * 2, ["11-29", "11-29"]),
    ],
)
def test_nights_are_named_so_that_they_can_be_told_apart(days, names):
    assert night_names(days) == names


@pytest.mark.parametrize("n", [2, 7, 60])
def test_nights_of_one_day_are_labelled_with_their_time(n):
    nights = [
        replace(NIGHT, day=f"2026-11-29T{(i * 20) // 60:02}:{(i * 20) % 60:02}:00Z", value=1 + 0.01 * i)
        for i in range(n)
    ]
    made = trend_figure("t", "pi5 · digits", nights, None)
    for _, svg in made.drawings:
        root = ET.fromstring(str(svg))
        dates = [text for text, *_ in labels(root) if text.startswith("11-29")]
        assert dates
        assert len(set(dates)) == len(dates)
        assert collisions(root) == []
    assert made.table.rows[0][0] == "2026-11-29 00:00"


@pytest.mark.parametrize("value", [1.2e-6, 0.003, 4000.0])
def test_the_axis_of_nights_has_a_unit_that_fits(value):
    nights = [
        replace(NIGHT, day=f"2026-11-{day:02}", value=value, low=value, high=value) for day in (1, 2, 3)
    ]
    svg = str(trend_figure("t", "x", nights, None).drawings[0][1])
    assert ">seconds<" not in svg
    assert re.search(r">time in (s|ms|µs)<", svg)
