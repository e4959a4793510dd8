"""The study on the page and in the text table: our figures and published ones are labelled, missing values have
reasons, and foreign names are escaped."""

import re

import pytest

from tunebench.reports.figures.dots import Axis
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader
from tunebench.reports.studies.skip2_lora.sentences import rate
from tunebench.reports.summary import summarise

METHODS = ["ft-all", "lora-all", "skip2-lora"]
PUBLISHED = (
    "published: 90.0% on average (89-92%), C on a Raspberry Pi Zero 2 W, Matsutani et al., ASP-DAC 2025"
)


def section(html):
    return html[html.index('<section id="study">') : html.index('<section id="comparison">')]


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<(title|desc|style)[^>]*>.*?</\1>|<[^>]+>", " ", html, flags=re.S))


@pytest.fixture
def small(study):
    """A small run of the study."""

    def build(**fields):
        quick = {"methods": METHODS, "engines": [("native", "x86-64")], "sets": ["har-hapt"], "blocks": 6}
        return study(**{**quick, **fields})

    return build


@pytest.fixture(scope="module")
def full(study_run):
    return render(RunReader(study_run))


def test_a_run_that_is_no_study_has_no_section(demo):
    assert 'id="study"' not in render(demo)
    assert "Skip2-LoRA study" not in table(summarise(demo))


def test_the_section_is_linked_and_stands_before_the_comparison(full):
    assert '<a href="#study">Skip2-LoRA study</a>' in full
    assert full.index('id="study"') < full.index('id="comparison"')


def test_ours_and_the_published_figure_are_labelled(full):
    text = words(section(full))
    assert PUBLISHED in text
    assert text.count("ours: cpu, 1 thread, float32") == 4
    assert "Not measured here" in text
    assert "The saving depends on the machine, the engine and its build" in text


def test_every_part_is_there_for_every_board_engine_and_build(full):
    units = section(full).split('<div class="unit"')[1:]
    assert len(units) == 4
    for unit in units:
        text = words(unit)
        for heading in (
            "Time saved by method",
            "Accuracy",
            "Step time by phase",
            "Training curves",
            "Multiply-adds",
        ):
            assert heading in text
        for title in ("ft-all-lora", "lora-last", "skip-lora", "skip2-lora"):
            assert title in text
        for name in ("gather", "cache fill", "forward", "backward", "update"):
            assert f'<th scope="col">{name}</th>' in unit
        assert "Bound by multiply-adds alone: 92.7% on fan-damage1" in text
        titles = re.findall(r"<title id=[^>]*>([^<]*)", unit)
        assert {"Time saved against lora-all", "Training loss", "Held-out accuracy (instrumented)",
                "Accuracy of skip2-lora less that of lora-all and of ft-all"} <= set(titles)  # fmt: skip


def test_every_figure_has_its_numbers_below(full):
    part = section(full)
    assert part.count("<figure") == part.count("Show the numbers") > 0


def test_the_published_band_stands_behind_skip2_alone(full):
    figure = section(full).split("<figure>")[1]
    drawing = figure[figure.index("<svg") : figure.index("</svg>")]
    assert drawing.count('class="published"') == 2  # its place in the legend, and one band
    assert drawing.index('class="published-mean"') < drawing.index("skip2-lora</text>")
    assert drawing.index('class="published-mean"') > drawing.index("skip-lora</text>")


def test_reservations_stand_beside_the_figures(small, fake_board):
    boards = [fake_board(), fake_board("qemu", "linux", "emulated", emulated=True)]
    reader = small(boards=boards)
    text = words(section(render(reader)))
    assert "Loopback: this machine, shared with the host" in text.replace("loopback", "Loopback")
    assert "its times are the emulator's and no evidence" in text.replace("&#39;", "'")
    assert "emulated: its times are the emulator's" in table(summarise(reader))


def test_few_blocks_are_called_a_range(small):
    reader = small(blocks=3)
    text = words(section(render(reader)))
    assert "range seen" in text
    assert "stroke-dasharray" in section(render(reader))
    assert "open" in text
    assert re.search(r"har-hapt +\d+\.\d% +\[[\d., ]+\]\*", table(summarise(reader), 150))


def test_one_block_is_called_one_block(small):
    reader = small(blocks=1)
    assert "one block" in words(section(render(reader)))
    assert "one block" in table(summarise(reader))


def test_missing_methods_are_said(small):
    text = words(section(render(small(methods=["ft-all", "skip2-lora"], instrumented=False, madds=False))))
    assert "har-hapt: not measured: ft-last, ft-bias, ft-all-lora, lora-all, lora-last, skip-lora." in text
    assert "har-hapt: no reduction: lora-all was not measured." in text
    assert "No method could be compared with lora-all." in text
    assert "No instrumented repetition was recorded." in text
    assert "The records carry no multiply-adds." in text


def test_without_accuracy_and_curves_the_page_says_so(small, make_record):
    bare = make_record().quality.model_copy(update={"before": None, "after": None, "losses": [], "curve": []})
    text = words(section(render(small(change={name: {"quality": bare} for name in METHODS}))))
    assert "No accuracy was recorded." in text
    assert "Neither losses nor accuracies by epoch were recorded." in text
    assert "aim open" in text
    assert "no accuracy difference to lora-all" in text


def test_a_study_without_repetitions_is_a_page(small):
    text = words(section(render(small(methods=[], instrumented=False))))
    assert "No repetition of the study was recorded." in text
    assert PUBLISHED in text


def test_the_text_table_holds_the_headline(study_run):
    text = table(summarise(RunReader(study_run)), 110)
    assert PUBLISHED in text
    assert re.search(r"pi5-01, native x86-64 +mean +8\d\.\d%", text)
    assert re.search(r"pi5-01, torch +fan-damage1 +\d+\.\d% +\[.*\] +\S+ \[.*\] (met|missed|open)", text)
    assert max(len(line) for line in text.splitlines() if "pi5-01, native" in line) < 120


def test_hostile_names_stay_escaped(small, fake_board):
    evil = "<script>alert(1)</script>\x1b[31m\u202e" + "x" * 300
    board = fake_board(evil, "loopback", evil)
    reader = small(
        boards=[board], rename={"har-hapt": evil}, change={"ft-all": {"method": evil, "label": evil}},
    )  # fmt: skip
    hostile = [
        rep.model_copy(update={"engine_build": evil, "madds": {evil: 5}}) for rep in reader.repetitions
    ]
    reader.repetitions[:] = hostile
    html = render(reader)
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    text = table(summarise(reader))
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_rates_are_told_with_a_fitting_unit():
    assert [rate(value) for value in (4.1e9, 87.1e6, 1500.0, 12.0)] == [
        "4.10 G/s",
        "87.1 M/s",
        "1.50 k/s",
        "12.0/s",
    ]


def test_an_axis_without_round_values_in_sight_takes_round_steps():
    axis = Axis(str, "", "", place=lambda value: value / 100, round_values=(-50, 0, 50))
    assert axis.ticks(-0.02, 0.03, 5) == [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0]
    assert axis.ticks(-0.6, 0.6, 5) == [-50, 0, 50]


def test_a_method_has_one_spelling_on_the_page(study):
    html = render(study())
    shown = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    assert not re.search(r"\b(FT-All|FT-Last|FT-Bias|LoRA-All|LoRA-Last|Skip-LoRA)\b", shown)
    # The study itself is called by its name.
    assert set(re.findall(r"Skip2-LoRA(?: \w+)?", shown)) == {"Skip2-LoRA study"}
