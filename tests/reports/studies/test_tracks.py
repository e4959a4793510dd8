"""A study's tracks beside each other: sorted by how methods were trained, with controls, claims and losses."""

from __future__ import annotations

import doctest
from html.parser import HTMLParser

import pytest

from tunebench.harness.study import protocol
from tunebench.reports.formatting.training_words import DEFAULTS
from tunebench.reports.records import Quality
from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import markdown
from tunebench.reports.render.text import table
from tunebench.reports.studies.tracks import sorting
from tunebench.reports.studies.tracks.words import sentences, track_tables
from tunebench.reports.summary import summarise
from tunebench.workloads.methods.table import METHODS

MAIN = {"optimizer": "adamw", "schedule": "cosine", "clip": 1.0, "lr": 0.001}
BOTH = {" main": MAIN, " paper": {}}
THREE = ["lora-all", "ft-all", "skip2-lora"]


def two(study, **fields):
    """Return a small run of the Skip2-LoRA study on both tracks."""
    usual = {
        "methods": [*THREE, "untrained"], "engines": [("native", "v3")], "sets": ["fan-damage1"], "blocks": 6,
        "tracks": BOTH, "instrumented": False, "suite": {"margin": 1.5},
    }  # fmt: skip
    return study(**{**usual, **fields})


def rows(track):
    return {row.label: row for row in track.rows}


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words = []

    def handle_data(self, data):
        self.words += data.split()


def words(page):
    parser = Words()
    parser.feed(page)
    return " ".join(parser.words)


def test_both_tracks_of_a_data_set_stand_side_by_side_with_rates_and_controls(study):
    (task,) = summarise(two(study)).study.tracks
    assert [track.name for track in task.tracks] == ["main", "paper"]
    main, paper = task.tracks
    assert main.training == "AdamW, cosine schedule, gradients clipped at 1"
    assert paper.training == "plain SGD at a constant rate"
    assert (rows(main)["skip2-lora"].lr, rows(paper)["skip2-lora"].lr) == (0.001, 0.02)
    assert [rows(main)[name].role for name in (*THREE, "untrained")] == [
        "baseline", "method", "candidate", "control"
    ]  # fmt: skip
    ((shown, _),) = track_tables([task])
    assert shown.columns[1:3] == ["main: accuracy, %", "main: minus lora-all, points"]
    assert [row[0] for row in shown.rows] == [
        "lora-all, baseline", "ft-all", "skip2-lora, candidate", "untrained, control"
    ]  # fmt: skip


def test_a_control_has_a_score_although_it_has_no_time_and_neither_rate_nor_loss(study):
    (task,) = summarise(two(study)).study.tracks
    control = rows(task.tracks[0])["untrained"]
    assert control.n == 6
    assert control.score == pytest.approx(control.before, abs=0.01)
    assert (control.lr, control.loss, control.epochs) == (None, None, None)


def test_each_track_is_judged_alone_and_the_further_method_makes_no_claim(study):
    far = two(study, points={"skip2-lora": -9.0, "lora-all": 0.0})
    (task,) = summarise(far).study.tracks
    for track in task.tracks:
        assert track.claim.startswith("skip2-lora is inferior to lora-all: worse by more than 1.5 points")
        assert track.beside[0].startswith("Beside it, without a claim: skip2-lora less ft-all −")
    assert sentences(task)[0].startswith("Main track: AdamW, cosine schedule")
    assert sentences(task)[1].startswith("Paper track: plain SGD at a constant rate.")


def test_a_difference_that_may_reach_the_margin_says_how_low_it_may_be(study):
    noisy = two(study, points={"skip2-lora": -0.6}, blocks=6)
    (task,) = summarise(
        noisy,
    ).study.tracks
    claim = task.tracks[0].claim
    low = rows(task.tracks[0])["skip2-lora"].apart.low
    wanted = "is non-inferior" if low > -1.5 else f"the difference may be −{abs(low):.2f}"
    assert wanted in claim


def test_a_run_that_diverged_scores_0_and_is_told(study):
    lost = {"outcome": "diverged", "quality": Quality(before=0.55), "wall_s": None}
    (task,) = summarise(two(study, change={"skip2-lora": lost})).study.tracks
    row = rows(task.tracks[0])["skip2-lora"]
    assert (row.n, row.diverged, row.score) == (6, 6, 0.0)
    assert "6 runs diverged and count as 0" in task.tracks[0].claim
    ((shown, _),) = track_tables([task])
    assert "0.00 ± 0.00 (6 diverged)" in shown.rows[2]


def test_units_of_time_saved_are_not_pooled_over_tracks(study):
    block = summarise(two(study)).study
    assert [unit.track for unit in block.units] == ["main", "paper"]
    assert [[task.name for task in unit.tasks] for unit in block.units] == [["fan-damage1"]] * 2


def test_a_task_of_controls_stands_in_the_tracks_and_in_no_unit(study):
    run = two(study, methods=[*THREE, "ft-last"], blocks=8, change={
        "ft-last": {"task": "fan-damage1, controls"}}, tracks={"": {}})  # fmt: skip
    block = summarise(run).study
    assert [[task.task for task in unit.tasks] for unit in block.units] == [
        ["fan-damage1/mlp [native cpu x1 float32 v3]"]
    ]
    ((track,),) = [task.tracks for task in block.tracks]
    assert rows(track)["ft-last"].apart.n == 8


def test_a_run_on_one_track_without_margin_and_control_shows_no_tracks(study):
    run = two(study, methods=THREE, tracks={"": {}}, suite={})
    block = summarise(run).study
    assert (block.tracks, block.units[0].track) == ([], None)
    assert "Tracks beside each other" not in render(run)


def test_page_text_and_markdown_say_the_same(study):
    run = two(study)
    summary = summarise(run)
    (task,) = summary.study.tracks
    ((shown, below),) = track_tables([task])
    places = [words(render(run)), " ".join(table(summary).split()), markdown(summary)]
    for place in places:
        for sentence in below:
            assert sentence in place.replace("\\", "")
        for row in shown.rows:
            assert row[1] in place


def test_tracks_in_one_task_under_other_labels_are_told_apart(lorae):
    again = {"params": {"epochs": 6, "batch": 10, "lr": 0.001, "rank": 4, **MAIN}}
    relabelled = {"lorae-r2": {**again, "label": "lorae-r4 AdamW", "method": "lorae"}, "ft-last": {
        **again, "label": "ft-all AdamW", "method": "ft-all"}}  # fmt: skip
    run = lorae(sets=["mnist"], suite={"margin": 1.0}, change=relabelled)
    (task,) = summarise(run).lorae.tracks
    main, paper = task.tracks
    assert {row.label for row in main.rows} == {"ft-all AdamW", "lorae-r4 AdamW"}
    assert (main.baseline, paper.baseline) == ("ft-all AdamW", "ft-all")
    assert rows(main)["lorae-r4 AdamW"].role == "candidate"
    assert main.claim.startswith("lorae-r4 AdamW ")
    assert "lorae-r4 is non-inferior to ft-all" in paper.claim


def test_statistics_that_are_estimated_again_make_a_track_of_their_own(lorae):
    again = {"params": {"epochs": 6, "batch": 10, "rank": 4, **MAIN, "batchnorm": "reestimated"}}
    labels = ["ft-all", "lorae-r4"]
    run = lorae(sets=["mnist"], labels=labels, suite={"margin": 1.0}, change=dict.fromkeys(labels, again))
    (task,) = summarise(run).lorae.tracks
    assert [track.name for track in task.tracks] == ["main, BatchNorm reestimated"]
    assert sentences(task)[0].startswith("Main track, BatchNorm reestimated: AdamW")
    assert "Main track, BatchNorm reestimated" in words(render(run))


def test_the_protocols_tracks_are_those_that_a_suite_gets():
    assert sorting.TRACKS == protocol.TRACKS
    assert set(sorting.KEYS) <= set(DEFAULTS)


def test_every_method_either_decides_its_track_or_follows_one():
    assert {row.name for row in METHODS} == set(sorting.KNOWN)


def test_the_examples_hold():
    assert doctest.testmod(sorting).failed == 0
