"""A method of one's own, in both forms, stands in the report beside the built-in ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "own"


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("suite", "own", "baseline"),
    [("module", "bn-tune", "ft-all"), ("command", "pure-python-head", "ft-last")],
)
def test_an_example_is_measured_and_compared_with_the_built_in_methods(
    cli, lab, tmp_path, suite, own, baseline
):
    done = cli(
        *("run", "-i", str(lab("here")), "-s", str(EXAMPLES / f"{suite}.toml"), "--blocks", "1", "--json"),
        *("--methods", f"{own},{baseline}"),
        timeout_s=400,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    assert cli("report", run, "--html", "r.html", "--json", "r.json").returncode == 0
    rows = {row["label"]: row for row in json.loads((tmp_path / "r.json").read_text())["rows"]}
    assert rows[own]["own"] is True
    assert rows[own]["task"] == rows[baseline]["task"] == "digits/mlp"
    assert rows[own]["speed_up"] is not None
    assert rows[own]["accuracy"]["after_mean"] > rows[own]["accuracy"]["before_mean"]
    assert own in (tmp_path / "r.html").read_text()
