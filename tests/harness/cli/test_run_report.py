"""``run`` ends with an answer and a report, unless it is told otherwise or cannot write it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.harness.campaign import closing
from tunebench.reports.history.simulated import SimulatedLab


@pytest.mark.slow
def test_a_run_ends_with_what_to_use_and_the_path_of_its_report(cli, lab, sleep_suite, tmp_path):
    lab("here")
    suite = str(sleep_suite(["a", "b"], blocks=1))
    done = cli("run", "-s", suite)
    assert done.returncode == 0, done.stderr
    *_, answer, results, report = done.stdout.splitlines()
    assert answer.startswith("Answer: here · sleep: No verdict yet")
    page = tmp_path / report.removeprefix("Report: ")
    assert page.read_text().startswith("<!doctype html>")
    assert page == tmp_path / f"{results.removeprefix('Results: ')}.html", (
        "beside the run, which is write-once"
    )
    quiet = cli("run", "-s", suite, "--no-html", "--json")
    assert quiet.returncode == 0, quiet.stderr
    value = json.loads(quiet.stdout)
    assert value["report"] is None
    assert not (tmp_path / f"{value['run']}.html").exists()


@pytest.fixture
def run_dir(tmp_path):
    return SimulatedLab(boards=1, cells=3, bad_nights=0.0).write_night(tmp_path / "results", 0)


def test_a_page_that_cannot_be_written_is_told_in_one_line(run_dir, tmp_path):
    (tmp_path / "file").write_text("")
    report = closing.write_report(run_dir, tmp_path / "file" / "page.html")
    assert report.path is None
    assert report.line.startswith("tunebench: the report could not be written: ")
    assert "\n" not in report.line


def test_there_is_one_answer_for_each_board_and_task(run_dir):
    lines = closing.answer_lines(run_dir)
    assert [line.partition(": ")[0] for line in lines] == ["board-00 · simulated/mlp"]
    assert Path(run_dir, "run.json").is_file()
