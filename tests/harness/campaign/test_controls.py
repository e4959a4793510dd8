"""Controls in a campaign: a method that changes nothing has no time, says why, and is valid all the same."""

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

[[workload]]
dataset = "digits"
model = "mlp"
methods = ["untrained", "ft-last"]
engine = "native"
"""


@pytest.mark.slow
def test_a_control_that_changes_nothing_keeps_its_quality_and_is_not_timed(campaign, lab, tmp_path):
    (tmp_path / "controls.toml").write_text(SUITE)
    ran = campaign(lab("here"), tmp_path / "controls.toml")
    records = {(rep.label, rep.role): rep for rep in ran.reader.repetitions}
    assert {rep.outcome for rep in records.values()} == {"ok"}
    for role in ("timed", "instrumented"):
        nothing = records["untrained", role]
        assert (nothing.wall_s, nothing.missing["wall_s"]) == (None, UNTIMED)
        assert nothing.verdict != "invalid" and records["ft-last", role].wall_s > 0
        assert nothing.quality.before == nothing.quality.after is not None
        assert (nothing.steps, nothing.update_b, nothing.params_trainable) == (0, 0, 0)
    html = render(ran.reader)
    assert "untrained" in html and "Nothing trains." in html
    assert ran.reader.verify() == []
