"""Controls in a campaign: a method that changes nothing has no time and no update, and says why."""

from __future__ import annotations

import pytest

from tunebench.harness.record.record import UNTIMED
from tunebench.reports.render.html import render

SUITE = """
[suite]
name = "controls"
blocks = 1
baseline = "untrained"
epochs = 2
aa = false
policy = "cold"
ship = ["delta"]

[[workload]]
dataset = "shapes"
model = "unet-small"
methods = ["untrained", "reestimated"]
batch = 6
lr = 0.005
"""


@pytest.mark.slow
@pytest.mark.torch
def test_controls_keep_their_quality_and_only_what_runs_is_timed(campaign, lab, few_shapes, tmp_path):
    (tmp_path / "controls.toml").write_text(SUITE)
    ran = campaign(lab("here"), tmp_path / "controls.toml")
    records = {rep.label: rep for rep in ran.reader.repetitions if rep.role == "timed" and rep.block == 0}
    assert {rep.outcome for rep in records.values()} == {"ok"}
    nothing, again = records["untrained"], records["reestimated"]
    assert (nothing.wall_s, nothing.missing["wall_s"]) == (None, UNTIMED)
    assert nothing.verdict != "invalid"
    assert nothing.quality.before == nothing.quality.after
    assert (nothing.steps, nothing.update_b, nothing.params_trainable, nothing.updates) == (0, 0, 0, [])
    assert "changes nothing" in nothing.missing["updates"]
    assert again.wall_s > 0 and again.steps == 0 and again.update_b == 4 * 1280
    assert again.updates[0].tensor_b == again.update_b and again.updates[0].transfers[1].apply_s > 0
    instrumented = {rep.label: rep for rep in ran.reader.repetitions if rep.role == "instrumented"}
    assert "reestimate" in instrumented["reestimated"].window_phases_s
    assert instrumented["reestimated"].madds["reestimate"] > 0
    html = render(ran.reader)
    assert "untrained" in html and "reestimated" in html
    assert ran.reader.verify() == []
