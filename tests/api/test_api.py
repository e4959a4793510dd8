"""The public interface: light to import, typed, and every example of docs/api.md holds."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tunebench
from tests.api.user_files import write_lab, write_suite
from tests.reports.campaigns import ORIN, PI5, Campaign
from tunebench.api import VERDICT_COLUMNS
from tunebench.harness.errors import UsageError
from tunebench.reports.analysis.row import Verdict
from tunebench.reports.results import ResultsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: results of two weeks, an inventory of this machine, and a suite."""
    folder = tmp_path_factory.mktemp("user")
    Campaign(boards=[PI5, ORIN], blocks=12).write(folder / "results")
    Campaign(boards=[PI5], blocks=12, run_id="20261114T074500Z-c3d4", seed=8).write(folder / "last-week")
    write_lab(folder)
    write_suite(folder)
    return folder


def test_every_example_of_the_page_holds(folder, monkeypatch):
    monkeypatch.chdir(folder)
    failed, tried = doctest.testfile(
        str(ROOT / "docs" / "api.md"), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
    )
    assert tried > 10
    assert failed == 0


def test_importing_the_package_imports_nothing_else():
    program = "import json, sys, tunebench; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert [name for name in modules if name.startswith("tunebench")] == ["tunebench"]
    assert not {"numpy", "pandas", "importlib.metadata"} & set(modules)


def test_every_public_name_is_there_and_documented():
    page = (ROOT / "docs" / "api.md").read_text()
    for name in tunebench.__all__:
        assert getattr(tunebench, name) is not None
        assert name in dir(tunebench)
        assert name in page
    with pytest.raises(AttributeError, match="has no attribute 'magic'"):
        _ = tunebench.magic  # type: ignore[attr-defined]


def test_the_table_of_verdicts_says_what_the_summary_says(folder):
    results = tunebench.load(folder / "results")
    assert list(results.verdicts.columns) == list(VERDICT_COLUMNS)
    row = next(row for row in results.summary.rows if row.label == "skip2-lora" and row.board_id == "pi5-01")
    verdict = row.verdicts["time"]
    assert isinstance(verdict, Verdict)
    table = results.verdicts
    (line,) = table[
        (table.label == "skip2-lora") & (table.board_id == "pi5-01") & (table.quantity == "time")
    ].to_dict("records")
    for name in ("verdict", "better", "value", "low", "high", "delta", "n", "reason"):
        assert line[name] == getattr(verdict, name)


def test_what_was_not_compared_has_its_reason(tmp_path):
    results = tunebench.load(Campaign(blocks=3).write(tmp_path))  # a loopback board: no joules
    energy = results.verdicts[results.verdicts.quantity == "energy"]
    assert len(energy) > 0
    assert energy["verdict"].isna().all()
    assert energy["reason"].str.len().gt(0).all()


def test_repetitions_are_one_row_each(folder):
    results = tunebench.load(str(folder / "results"))
    assert isinstance(results.repetitions, pd.DataFrame)
    assert len(results.repetitions) == results.summary.counts.recorded
    assert results.complete


def test_an_unfinished_run_says_so(tmp_path):
    results = tunebench.load(Campaign(finish=False).write(tmp_path))
    assert not results.complete
    assert repr(results).endswith("not complete>")


def test_in_a_notebook_foreign_words_are_text(tmp_path):
    run = Campaign(rename={"lora-all": "<script>alert(1)</script>"}).write(tmp_path)
    shown = tunebench.load(run)._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_the_report_goes_beside_the_run_unless_told_otherwise(folder):
    results = tunebench.load(folder / "results")
    page = results.report()
    assert page == results.path.with_name(f"{results.run_id}.html")
    assert "pi5-01" in page.read_text()
    page.unlink()
    with pytest.raises(ResultsError, match="not in this run"):
        results.report(baseline="magic")


def test_a_comparison_is_of_two_runs(folder):
    with pytest.raises(ResultsError, match="is the same run"):
        tunebench.compare(folder / "results", folder / "results")
    comparison = tunebench.compare(folder / "last-week", folder / "results")
    assert set(comparison.rows["board_id"]) == {"pi5-01"}
    assert set(comparison.rows["unit"]) == {"ratio", "points"}
    assert {series.board_id for series in comparison.details.only_b} == {"orin-02"}
    assert "<table" in comparison._repr_html_()


@pytest.mark.slow
def test_the_interface_is_typed_for_those_who_check_strictly(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "mine.py").write_text(
        "import tunebench\n"
        "results = tunebench.load('results')\n"
        "reveal_type(results.summary.rows[0].board_id)\n"
        "reveal_type(tunebench.compare('a', results).a)\n"
        "reveal_type(tunebench.__version__)\n"
        "tunebench.magic\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, "mine.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    messages = [line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("mine.py")]
    assert messages == [
        'note: Revealed type is "str"',
        'note: Revealed type is "tunebench.api.Results"',
        'note: Revealed type is "str"',
        'error: Module has no attribute "magic"  [attr-defined]',
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"add_blocks": 2, "resume": True}, "add_blocks: a whole number from 1"),
        ({"add_blocks": -1}, "add_blocks: a whole number from 1"),
        ({"add_blocks": 2, "until_decided": True}, "neither resume nor until_decided"),
        ({"blocks": 3, "until_decided": True}, "exclude each other"),
        ({"blocks": 0}, "a whole number from 1 to 1000"),
        ({"until_decided": True}, "compares nothing"),
        ({"add_blocks": 2}, "no run of suite"),
    ],
)
def test_numbers_of_blocks_that_make_no_sense_are_refused(folder, monkeypatch, options, words):
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=words):
        tunebench.run("lab.toml", "mine.toml", out="none", **options)


@pytest.mark.slow
def test_blocks_are_added_to_a_run_from_python(tmp_path, monkeypatch):
    write_lab(tmp_path)
    write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)
    first = tunebench.run("lab.toml", "mine.toml", blocks=2)
    assert len(first.repetitions) == 2
    more = tunebench.run("lab.toml", "mine.toml", blocks=2, add_blocks=1)
    assert more.path == first.path
    assert more.repetitions["block"].tolist() == [0, 1, 2]
    assert more.summary.run.earlier_blocks == (2,)
