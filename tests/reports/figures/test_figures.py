"""Figures: scales and ticks, few points, escaped text, and words for those who do not see them."""

import json
import xml.etree.ElementTree as ET
from itertools import pairwise
from types import SimpleNamespace

import pytest

from tunebench.reports.figures.base.legend import methods_height, swatches_height
from tunebench.reports.figures.base.model import NARROW, WIDE, Styles, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, fit, log_ticks, ticks
from tunebench.reports.figures.phases import phase_class
from tunebench.reports.figures.repetitions import strip_figure
from tunebench.reports.figures.sizes import _short
from tunebench.reports.figures.speedup import speedup_domain
from tunebench.reports.figures.spread import spread_figure
from tunebench.reports.figures.traces import MAX_POINTS, _label, choose, decimate, trace_figure
from tunebench.reports.results.timeseries import read_trace

SVG = "{http://www.w3.org/2000/svg}"


def parse(drawing):
    return ET.fromstring(str(drawing))


def trace_of(rows, channels=({"id": "p", "unit": "W", "kind": "power"},), **header):
    head = {"schema": "tunebench.trace/1", "channels": list(channels), "window_ns": [0, 10**9],
            "events": [[0, "load"], [10**9, "end"]], **header}  # fmt: skip
    return read_trace("\n".join(json.dumps(line) for line in [head, *rows]))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.97, 1.04), (0, 412), (-0.02, 0.03), (1e-6, 3e-6)])
def test_ticks_are_few_round_and_inside(low, high):
    values = ticks(low, high, 6)
    assert 2 <= len(values) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in values)


@pytest.mark.parametrize(("low", "high"), [(0.95, 1.06), (0.5, 4), (0.9, 40), (100, 5e6), (1e-3, 1e9)])
def test_log_ticks_are_few_and_inside(low, high):
    values = log_ticks(low, high)
    assert 2 <= len(values) <= 8
    assert all(low * 0.999 <= value <= high * 1.001 for value in values)


def test_a_range_of_one_value_has_that_value_as_its_tick():
    assert ticks(2, 2) == [2]


def test_a_scale_maps_linearly_or_by_logarithm_and_puts_a_single_value_in_the_middle():
    assert Scale(0, 10, 100, 200)(5) == 150
    assert Scale(1, 100, 0, 100, log=True)(10) == pytest.approx(50)
    assert Scale(3, 3, 0, 100)(3) == 50


def test_every_figure_is_drawn_wide_and_narrow_with_title_and_description():
    drawn = figure("x", "A <title>", "B & more", lambda width: Canvas(width, 10))
    roots = [parse(svg) for _, svg in drawn.drawings]
    assert [root.get("viewBox") for root in roots] == [f"0 0 {WIDE} 10", f"0 0 {NARROW} 10"]
    for root in roots:
        title, desc = root.find(SVG + "title"), root.find(SVG + "desc")
        assert (root.get("role"), title.text, desc.text) == ("img", "A <title>", "B & more")
        assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"


def test_hostile_text_stays_text():
    canvas = Canvas(100, 100)
    canvas.text(0, 0, "</svg><script>alert(1)</script>\x1b[31m\x00")
    canvas.rect(0, 0, 1, 1, "bar", hint="<b>")
    canvas.marker(0, 0, "circle", "c0", hint='"><i>')
    root = parse(canvas.render("i", "<t>", "<d>"))
    assert not list(root.iter(SVG + "script"))
    assert "\x1b" not in ET.tostring(root, encoding="unicode")


def test_long_names_are_cut_visibly():
    assert fit("a-very-long-method-name", 60).endswith("…")
    assert fit("short", 60) == "short"


def test_each_method_keeps_its_look_and_none_is_told_by_colour_alone():
    labels = [f"m{i}" for i in range(14)]
    styles = Styles([*labels, "base", "aa"], baselines=["base"], controls=["aa"])
    looks = [styles.of(label) for label in labels]
    assert len({(look.css, look.shape) for look in looks}) == 14
    assert all(a.css != b.css and a.shape != b.shape for a, b in pairwise(looks[:6]))
    assert styles.of("base").css == "c-base"
    assert styles.of("aa").css == "c-aa"
    assert styles.in_order(["m2", "m1", "m1"]) == ["m1", "m2"]


def test_phases_of_ones_own_have_a_colour():
    names = ["forward", "augment", "quantise"]
    assert phase_class("augment", names) != phase_class("quantise", names)
    assert phase_class("unaccounted", names) == "p-rest"


def test_a_legend_grows_where_its_names_wrap_and_has_no_height_without_names():
    names = ["forward", "backward", "update", "cache_fill", "gather", "unaccounted"]
    assert swatches_height(names, NARROW) > swatches_height(names, WIDE) == 22
    assert methods_height([], WIDE) == swatches_height([], WIDE) == 0


def test_the_axis_of_speed_ups_holds_every_interval_and_the_band():
    compared = SimpleNamespace(speed_up=SimpleNamespace(low=0.5, high=3.0, delta=0.02))
    low, high = speedup_domain([compared, SimpleNamespace(speed_up=None)])
    assert low < 0.5
    assert high > 3.0
    low, high = speedup_domain([])
    assert low < 1 / 1.02 < 1.02 < high


def test_decimation_keeps_peaks_and_few_points():
    points = [(float(i), 100.0 if i == 5432 else float(i % 7)) for i in range(10_000)]
    kept = decimate(points)
    assert len(kept) <= MAX_POINTS
    assert (5432.0, 100.0) in kept
    assert kept == sorted(kept)


def test_a_long_trace_is_decimated_in_the_drawing():
    rows = [[i * 10**6, 1.0 + i % 5] for i in range(5000)]
    drawn = trace_figure("t", trace_of(rows), title="long", heading="")
    line = next(iter(parse(drawn.drawings[0][1]).iter(SVG + "polyline")))
    assert 100 < len(line.get("points").split()) <= MAX_POINTS


def test_samples_that_were_not_read_are_gaps():
    rows = [[i * 10**7, None if i == 10 else 1.0 + i] for i in range(20)]
    drawn = trace_figure("t", trace_of(rows), title="gap", heading="")
    assert len(list(parse(drawn.drawings[0][1]).iter(SVG + "polyline"))) == 2
    assert drawn.table.rows[0][3:5] == ["19", "1"]


def test_a_flat_channel_of_zeros_has_no_negative_axis():
    rows = [[i * 10**7, 0 if i else 1e-12] for i in range(5)]
    drawn = trace_figure(
        "t", trace_of(rows, channels=[{"id": "swap", "unit": "1"}]), title="flat", heading=""
    )
    words = [element.text for element in parse(drawn.drawings[0][1]).iter(SVG + "text")]
    assert "swap" in words
    assert not any(word.startswith(("-", "−")) for word in words)


def test_a_trace_without_samples_has_no_figure():
    assert trace_figure("t", trace_of([]), title="none", heading="") is None
    assert trace_figure("t", trace_of([[0, None], [1, None]]), title="none", heading="") is None


def test_a_trace_without_marks_or_window_is_still_drawn():
    rows = [[i * 10**7, 5.0 + i] for i in range(20)]
    drawn = trace_figure("t", trace_of(rows, events=[], window_ns=None), title="bare", heading="")
    assert "not marked" in parse(drawn.drawings[0][1]).find(SVG + "desc").text


def test_many_marks_inside_the_window_become_one_band():
    steps = [[i * 10**6, "forward" if i % 2 else "backward"] for i in range(200)]
    trace = trace_of([[i * 10**7, 5.0 + i] for i in range(20)], events=steps, window_ns=[0, 199 * 10**6])
    drawn = trace_figure("t", trace, title="marks", heading="")
    assert parse(drawn.drawings[0][1]).find(SVG + "desc").text.endswith("phases: finetune.")


def test_telling_channels_come_first_and_are_limited():
    channels = [{"id": f"x{i}", "kind": "other"} for i in range(8)] + [{"id": "vdd", "kind": "power"}]
    rows = [[i, *range(i, i + 9)] for i in range(3)]
    choice = choose(trace_of(rows, channels=channels))
    assert len(choice) == 6
    assert choice[0][0].id == "vdd"


@pytest.mark.parametrize(("value", "shown"), [(512, "512"), (20_000, "20k"), (3e6, "3M"), (2e9, "2G")])
def test_byte_ticks_are_short(value, shown):
    assert _short(value) == shown


def test_an_axis_label_has_three_digits_or_the_whole_number():
    assert (_label(1500.2), _label(3.14159)) == ("1500", "3.14")


@pytest.mark.parametrize("draw", [strip_figure, spread_figure])
@pytest.mark.parametrize(("slowest", "has_note"), [(1.4, False), (2.0, True)])
def test_a_figure_says_how_many_values_it_draws_at_its_edge(draw, slowest, has_note):
    reps = [
        SimpleNamespace(
            task="t", label="m", role="timed", rep_class="valid", block=block, wall_s=wall_s, reason=""
        )
        for block, wall_s in enumerate([1.0, 1.0, 1.01, 0.99, slowest])
    ]  # fmt: skip
    shown = draw("f", reps, Styles(["m"]), heading="h3")
    assert ("1 beyond ±50% is drawn at the edge" in str(shown.drawings)) == has_note
