"""Stressors in a campaign on a real loopback board: each row beside its quiet one, held and read back, or left out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tunebench.targets.agent.tuning.stressors.hold import available_b

SUITE = """
[suite]
name = "stressed"
blocks = 1
aa = false
instrumented = false

[[stressor]]
id = "tight"
kind = "low-memory"
free_mib = {free_mib}

[[stressor]]
id = "far-too-tight"
kind = "low-memory"
free_mib = 1048576

[[stressor]]
id = "slow-link"
kind = "shaped-link"
link = "lte"

[[workload]]
label = "a"
task = "sleep"
command = ["python3", "sleep.py"]
files = ["sleep.py"]
stressors = ["background-load", "tight", "far-too-tight", "slow-link", "capped-clock"]
"""
SLEEPER = """
import time
from tunebench import marks

marks.window_start()
end = time.process_time() + 0.1
while time.process_time() < end:
    sum(range(500))
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


@pytest.fixture
def ran(campaign, lab, tmp_path: Path):
    (tmp_path / "sleep.py").write_text(SLEEPER)
    suite = tmp_path / "stressed.toml"
    suite.write_text(SUITE.format(free_mib=available_b("/") // (1 << 20) - 512))
    return campaign(lab("here"), suite)


@pytest.mark.slow
def test_each_stressor_has_a_row_beside_the_quiet_one_or_a_reason_why_not(ran):
    records = {record.task: record for record in ran.reader.repetitions}
    quiet = records.pop("sleep")
    assert quiet.stressor is None
    reasons = {skip.task: skip.reason for skip in ran.outcome.skipped}
    assert set(records) >= {"sleep under background-load", "sleep under slow-link"}
    # Other programs of this machine may have taken the memory meanwhile.
    assert "sleep under tight" in records or "available anyway" in reasons["sleep under tight"]
    for task, record in records.items():
        stressor = record.stressor
        if "others take and give memory" in (stressor.reason or ""):
            continue  # said by the board: other programs of this machine have not kept still
        assert (record.outcome, stressor.held, stressor.reason) == ("ok", True, None), (task, stressor)
        assert (task, record.label) == (f"sleep under {stressor.id}", quiet.label)
        assert (stressor.quiet_task, record.verdict) == ("sleep", "degraded")  # a loopback board is shared
        assert record.series_key != quiet.series_key
    assert 0.1 < records["sleep under background-load"].stressor.verified["load_cores"] < 1.1
    over = records["sleep under slow-link"]
    assert over.stressor.applied["link_rtt_s"] == 0.05
    # Five channels and their answers over 50 ms each; the window knows nothing of it.
    assert over.host_s - over.process_s > quiet.host_s - quiet.process_s + 0.25
    assert "stressor far-too-tight: only " in reasons["sleep under far-too-tight"]
    assert "sleep under capped-clock" in {*records, *reasons}
    assert ran.reader.verify() == []


MODES = """
[suite]
name = "modes"
blocks = 1
aa = false
instrumented = false

[[workload]]
label = "a"
task = "sleep"
command = ["python3", "sleep.py"]
files = ["sleep.py"]
power_modes = ["15W", "MAXN_SUPER", "fake-mode"]
"""


@pytest.mark.slow
def test_power_modes_take_turns_within_a_block_and_are_put_back(campaign, lab, simulated, tmp_path: Path):
    tree = simulated("orin-nano-jp6")
    (tmp_path / "sleep.py").write_text(SLEEPER)
    (tmp_path / "modes.toml").write_text(MODES)
    extra = f'interpreter = ["{sys.executable}", "-S"]\nsimulated_root = "{tree}"'
    ran = campaign(lab("orin", extra=extra), tmp_path / "modes.toml")
    records = {record.task: record for record in ran.reader.repetitions}
    assert {task: record.power_mode for task, record in records.items()} == {
        "sleep at 15W": "15W",
        "sleep at MAXN_SUPER": "MAXN_SUPER",
    }
    assert all(record.stressor.held for record in records.values())
    assert len({record.series_key for record in records.values()}) == 2
    (skip,) = ran.outcome.skipped
    assert skip.reason.startswith("operating point fake-mode: no power mode 'fake-mode'; this board has:")
    assert "MAXN_SUPER" in tree.read(".commands/nvpmodel_-q.json")
    assert not (tmp_path / "work-orin" / "undo.json").exists()
