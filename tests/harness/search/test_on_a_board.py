"""A search on the loopback board, from the command line: killed, gone on with, its choice measured again and reported."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import warm
from tunebench.harness.artifacts.native import why_no_kernels_here
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader
from tunebench.reports.summary import as_json, summarise

pytest.importorskip("optuna")
pytestmark = [pytest.mark.slow, pytest.mark.torch]

SUITE = """[suite]
name = "mine"
blocks = 2

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["lora-all"]

[search]
epochs = [1, 2, 4]
"""
ASKED = [
    "search",
    "-s",
    "mine.toml",
    "-i",
    "lab.toml",
    "--aim",
    "ms",
    "--budget",
    "s=60,mb=2000,accuracy>=0.05",
]


@pytest.fixture
def asked(lab, tmp_path):
    """Return the words of the command, its folder ready."""
    pytest.importorskip("sklearn", reason="digits are built from scikit-learn")
    if why := why_no_kernels_here():
        pytest.skip(why)
    (tmp_path / "mine.toml").write_text(SUITE)
    lab("here")
    return [sys.executable, "-m", "tunebench", *ASKED]


def runs_below(folder):
    return sorted(path.parent for path in folder.rglob("plan.json"))


def test_a_killed_search_goes_on_without_losing_or_doubling_a_trial_and_its_report_shows_the_front(
    asked, cli, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    process = warm.Popen(asked, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        # Once its second trial has begun, it is killed: the first is complete, the second is not.
        until = time.monotonic() + 540
        while not runs_below(tmp_path / "mine.search" / "trial-0002"):
            assert process.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < until, "no second trial"
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = runs_below(tmp_path / "mine.search")
    assert len(before) == 2

    done = cli(*ASKED, "--json", "--no-html", timeout_s=540)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    search = answer["search"]
    after = runs_below(tmp_path / "mine.search")
    assert set(before) < set(after)
    assert len(after) == search["points"] == len(search["trials"]) == 3
    assert [json.loads((path / "run.json").read_text())["run_id"] for path in after] == [
        trial["run_id"] for trial in search["trials"]
    ]
    points = [json.dumps(trial["point"]) for trial in search["trials"]]
    assert len(set(points)) == 3
    _held_out_halves_alone_were_seen(after)
    _report_shows_the_search(answer, tmp_path)

    nothing = cli(*ASKED[:-1], "accuracy>=0.999", timeout_s=300)

    assert nothing.returncode == 1
    assert "No trial is within the budget. Nearest: trial" in " ".join(nothing.stdout.split())
    shutil.rmtree(tmp_path / "home")


def _held_out_halves_alone_were_seen(runs):
    """Look at what the boards were given: two sets of data, neither with a test sample of the suite's."""
    for path in runs:
        reader = RunReader(path)
        assert {rep.base for rep in reader.repetitions} == {None}
        timed = [rep for rep in reader.repetitions if rep.role == "timed"]
        assert sorted(rep.task for rep in timed) == [
            f"digits/mlp [native cpu x1 float32], half {number} held out" for number in (1, 2)
        ]
        assert (
            len({rep.prov.data_sha256 for rep in timed})
            == len({rep.prov.weights_sha256 for rep in timed})
            == 2
        )
        assert {rep.seed for rep in timed} == {100_000}


def _report_shows_the_search(answer, folder):
    reader = RunReader(folder / answer["run"])
    summary = summarise(reader)
    chosen = next(
        trial for trial in answer["search"]["trials"] if trial["number"] == answer["search"]["chosen"]
    )
    assert answer["search"]["holds"] is True
    assert chosen["number"] in answer["search"]["front"]
    assert chosen["values"]["time"] == min(trial["values"]["time"] for trial in answer["search"]["trials"])
    assert {rep.label for rep in reader.repetitions} == {chosen["label"]}
    assert {rep.seed for rep in reader.repetitions if rep.role == "timed"} == {0, 1}
    assert as_json(summary)["search"]["trials"] == answer["search"]["trials"]
    page = render(reader)
    assert '<section id="search">' in page
    assert all(trial["run_id"] in page for trial in answer["search"]["trials"])
    assert "measured again" in table(summary)
